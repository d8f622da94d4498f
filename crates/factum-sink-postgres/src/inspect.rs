//! What stands in the way of a projection in a schema, found without touching it.
//!
//! Relies on: the sink's own tables, where they are. Never: makes a schema or a table.

use factum_projection::{Error, Manage, Obstacle};

use crate::{PostgresSink, schema};

impl PostgresSink {
    /// What a projection with the sink's tables would meet.
    ///
    /// # Errors
    /// As for [`PostgresSink::connect`]; [`Kind::Denied`](factum_projection::Kind::Denied) too where the role may not read what the sink keeps.
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
            let session = &self.session;
            let owned = if known {
                schema::owned_by(session, table, projection).await?
            } else {
                schema::taken_by(session, &table.name).await?
            };
            if let Some(what) = owned {
                obstacles.push(Obstacle::Owned { what });
                continue;
            }
            let Some(generation) = live else {
                continue;
            };
            if let Some(what) = schema::differs(session, table, projection, generation).await? {
                obstacles.push(Obstacle::Differs { generation, what });
            }
        }
        Ok(obstacles)
    }
}
