//! What stands in the way of a projection in a schema, found without touching it.
//!
//! Relies on: the sink's own tables, where they are. Never: makes a schema or a table.

use factum_projection::{Error, Kind, Manage, Obstacle};

use crate::{PostgresSink, schema};

impl PostgresSink {
    /// What a projection with the sink's tables would meet.
    ///
    /// # Errors
    /// As for [`PostgresSink::connect`].
    ///
    /// # Cancel safety
    /// It may be dropped at any point.
    pub async fn inspect(&mut self, projection: &str) -> Result<Vec<Obstacle>, Error> {
        drop(self.home().await);
        self.session.ready().await?;
        let known = schema::is_made(&self.session).await?;
        let live = if known {
            self.live(projection).await?.map(|live| live.number)
        } else {
            None
        };
        let mut obstacles = Vec::new();
        for table in self.rows.tables() {
            let owner = if known {
                schema::check_owner(&self.session, table, projection).await
            } else {
                schema::check_free(&self.session, &table.name).await
            };
            match owner {
                Err(error) if error.kind() == Kind::Invalid => {
                    let what = error.to_string();
                    obstacles.push(Obstacle::Owned { what });
                    continue;
                }
                other => other?,
            }
            let Some(generation) = live else {
                continue;
            };
            let made = schema::check_table(&self.session, table, projection, generation).await;
            match made {
                Err(error) if error.kind() == Kind::Outdated => {
                    let what = error.to_string().replace(": build a new generation", "");
                    obstacles.push(Obstacle::Differs { generation, what });
                }
                other => other?,
            }
        }
        Ok(obstacles)
    }
}
