//! What stands in the way of a projection, before it runs.
//!
//! Relies on: the same checks as a claim. Never: makes or changes anything on the server.

use factum_projection::{Error, Obstacle};

use crate::ElasticSink;
use crate::claim::theirs;
use crate::head::{self, Owner};

impl ElasticSink {
    /// What a projection with the sink's tables would meet.
    ///
    /// # Errors
    /// - [`Kind::Unavailable`](factum_projection::Kind::Unavailable): the server is not there.
    /// - [`Kind::Denied`](factum_projection::Kind::Denied): it does not let us in.
    /// - [`Kind::Invalid`](factum_projection::Kind::Invalid): it cannot hold a projection of this name.
    ///
    /// # Cancel safety
    /// It may be dropped at any point.
    pub async fn inspect(&mut self, projection: &str) -> Result<Vec<Obstacle>, Error> {
        head::check_name(projection)?;
        let mut obstacles = Vec::new();
        for table in &self.rows.tables {
            if let Some(what) = self.taken_by(table).await? {
                obstacles.push(Obstacle::Owned { what });
                continue;
            }
            let id = head::owner_id(&table.name);
            let found = self.server.get::<Owner>(&self.meta, &id).await?;
            if let Some(owner) = found.map(|found| found.value.projection)
                && owner != projection
            {
                let what = theirs(&table.name, &owner, projection);
                obstacles.push(Obstacle::Owned { what });
            }
        }
        Ok(obstacles)
    }
}
