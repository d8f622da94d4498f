//! Generations: which there are, which one readers see, and how that changes at once.
//!
//! Relies on: views in place of renamed tables, because a rename takes the views of others along. Never: shows a mixture or an absence.

use factum_projection::{Error, Lease};
use factum_types::Position;
use rusqlite::params;

use crate::error::said;
use crate::{SqliteSink, keep, schema};

/// A generation in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Generation {
    /// From 1.
    pub number: u32,
    /// Whether readers see it.
    pub live: bool,
    /// How far it is.
    pub checkpoint: Option<Position>,
}

impl SqliteSink {
    /// The generations of a projection, oldest first; none when it was never claimed.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](factum_projection::Kind::Unavailable): the file is locked.
    pub fn generations(&mut self, projection: &str) -> Result<Vec<Generation>, Error> {
        self.within(|sink| sink.list(projection))
    }

    /// Shows readers the generation of this lease, from one moment to the next. The one before stays as it is, and can go on.
    ///
    /// # Errors
    /// - [`Kind::Fenced`](factum_projection::Kind::Fenced): the lease is worth nothing any more.
    /// - [`Kind::Invalid`](factum_projection::Kind::Invalid): it is behind the live one, whose readers would see the past: run it until it
    ///   has caught up, and try again.
    /// - [`Kind::Unavailable`](factum_projection::Kind::Unavailable): the file is locked; try again.
    pub fn switch(&mut self, lease: &Lease) -> Result<(), Error> {
        let name = &lease.projection;
        self.within(|sink| {
            let ours = keep::check_epoch(sink.connection(), lease)?;
            let all = sink.list(name)?;
            let live = all.iter().find(|generation| generation.live);
            if let Some(live) = live.filter(|live| live.checkpoint > ours) {
                return Err(Error::invalid(format!(
                    "generation {} of {name} is behind generation {}, which is live",
                    lease.generation, live.number
                )));
            }
            schema::publish(sink.connection(), name, lease.generation)
        })
    }

    /// Shows readers an earlier generation again, as far as that is.
    ///
    /// # Errors
    /// - [`Kind::Invalid`](factum_projection::Kind::Invalid): there is none of this number.
    /// - [`Kind::Unavailable`](factum_projection::Kind::Unavailable): the file is locked; try again.
    pub fn switch_back(&mut self, projection: &str, number: u32) -> Result<(), Error> {
        self.within(|sink| {
            sink.find(projection, number)?;
            schema::publish(sink.connection(), projection, number)
        })
    }

    /// Removes a generation that readers do not see, with its tables. Its number is never given again, so a runner that still fills it
    /// is fenced for ever.
    ///
    /// # Errors
    /// - [`Kind::Invalid`](factum_projection::Kind::Invalid): there is none of this number, or it is live.
    /// - [`Kind::Unavailable`](factum_projection::Kind::Unavailable): the file is locked; try again.
    pub fn drop_generation(&mut self, projection: &str, number: u32) -> Result<(), Error> {
        self.within(|sink| {
            if sink.find(projection, number)?.live {
                let what = format!("generation {number} of {projection} is live; switch first");
                return Err(Error::invalid(what));
            }
            let trouble = |error| said(format!("cannot drop generation {number}"), error);
            let connection = sink.connection();
            for (name, _) in schema::tables_of(connection, projection, number)? {
                let name = schema::quoted(&schema::table_name(&name, number));
                let sql = format!("DROP TABLE IF EXISTS {name}");
                connection.execute_batch(&sql).map_err(trouble)?;
            }
            schema::note_dropped(connection, projection, number)?;
            for own in ["factum_tables", "factum_parked", "factum_generations"] {
                let sql = format!("DELETE FROM {own} WHERE projection = ?1 AND generation = ?2");
                let key = params![projection, number];
                connection.execute(&sql, key).map_err(trouble)?;
            }
            Ok(())
        })
    }

    fn find(&self, projection: &str, number: u32) -> Result<Generation, Error> {
        let all = self.list(projection)?;
        let found = all
            .into_iter()
            .find(|generation| generation.number == number);
        found.ok_or_else(|| schema::no_generation(projection, number))
    }

    fn list(&self, projection: &str) -> Result<Vec<Generation>, Error> {
        let connection = self.connection();
        schema::make_own(connection)?;
        let live = schema::live(connection, projection)?;
        let read = || {
            let sql = "SELECT generation, position FROM factum_generations WHERE projection = ?1 ORDER BY generation";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([projection], |row| {
                let (number, at): (u32, Option<i64>) = (row.get(0)?, row.get(1)?);
                Ok(Generation {
                    number,
                    live: live == Some(number),
                    checkpoint: at.map(keep::position),
                })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| {
            said(
                format!("cannot list the generations of {projection}"),
                error,
            )
        })
    }
}
