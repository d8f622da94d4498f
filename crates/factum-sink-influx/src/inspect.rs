//! What stands in the way of a projection, before it runs.
//!
//! Relies on: what a claim keeps. Never: makes or changes anything on the server.

use factum_projection::{Error, Obstacle};

use crate::{InfluxSink, keep};

impl InfluxSink {
    /// What a projection into the sink's database would meet.
    ///
    /// # Errors
    /// - [`Kind::Unavailable`](factum_projection::Kind::Unavailable): the server is not there.
    /// - [`Kind::Denied`](factum_projection::Kind::Denied): it does not let us in.
    /// - [`Kind::Invalid`](factum_projection::Kind::Invalid): it cannot hold a projection of this name.
    ///
    /// # Cancel safety
    /// It may be dropped at any point.
    pub async fn inspect(&mut self, projection: &str) -> Result<Vec<Obstacle>, Error> {
        keep::check_name(projection)?;
        // Kept before anything else is, so it may be all there is.
        let owner = self.owner().await?.filter(|owner| owner != projection);
        let obstacle = owner.map(|owner| Obstacle::Owned {
            what: self.theirs(&owner, projection),
        });
        Ok(obstacle.into_iter().collect())
    }

    /// Why the database cannot be had.
    pub(crate) fn theirs(&self, owner: &str, projection: &str) -> String {
        let database = &self.options.database;
        format!("database {database} belongs to projection {owner}, not to {projection}")
    }
}
