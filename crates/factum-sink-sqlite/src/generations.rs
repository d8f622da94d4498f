//! The file as an administrator sees it: generations, which one readers see, and what is done by hand.
//!
//! Relies on: views in place of renamed tables, because a rename takes the views of others along. Never: shows a mixture or an absence.

use factum_projection::manage::{check_drop, check_switch};
use factum_projection::{Behind, Edit, Error, Generation, Manage, Parked};
use futures_core::future::BoxFuture;
use rusqlite::params;

use crate::error::said;
use crate::{SqliteSink, keep, schema};

type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

impl Manage for SqliteSink {
    fn projections(&mut self) -> Answer<'_, Vec<String>> {
        Box::pin(async move { self.within(|sink| sink.names()) })
    }

    fn generations<'a>(&'a mut self, projection: &'a str) -> Answer<'a, Vec<Generation>> {
        Box::pin(async move { self.within(|sink| sink.list(projection)) })
    }

    fn parked<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        limit: usize,
    ) -> Answer<'a, Vec<Parked>> {
        Box::pin(async move {
            let state = self.within(|sink| {
                schema::make_own(sink.connection())?;
                keep::state_of(sink.connection(), projection, generation)
            })?;
            Ok(state.parked.iter().take(limit).cloned().collect())
        })
    }

    fn edit<'a>(&'a mut self, projection: &'a str, generation: u32, edit: Edit) -> Answer<'a, ()> {
        Box::pin(async move {
            self.within(|sink| {
                schema::make_own(sink.connection())?;
                keep::edit(sink.connection(), projection, generation, &edit)
            })
        })
    }

    fn switch<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        behind: Behind,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            self.within(|sink| {
                let all = sink.list(projection)?;
                check_switch(projection, &all, generation, behind)?;
                schema::publish(sink.connection(), projection, generation)
            })
        })
    }

    fn drop_generation<'a>(&'a mut self, projection: &'a str, generation: u32) -> Answer<'a, ()> {
        Box::pin(async move {
            self.within(|sink| {
                check_drop(projection, &sink.list(projection)?, generation)?;
                sink.remove(projection, generation)
            })
        })
    }
}

impl SqliteSink {
    fn remove(&self, projection: &str, number: u32) -> Result<(), Error> {
        let trouble = |error| said(format!("cannot drop generation {number}"), error);
        let connection = self.connection();
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
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        schema::make_own(self.connection())?;
        let read = || {
            let sql = "SELECT DISTINCT projection FROM factum_generations ORDER BY projection";
            let mut statement = self.connection().prepare_cached(sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| said("cannot list the projections", error))
    }

    fn list(&self, projection: &str) -> Result<Vec<Generation>, Error> {
        let connection = self.connection();
        schema::make_own(connection)?;
        let live = schema::live(connection, projection)?;
        let read = || {
            let sql = "SELECT generation, published, bulk, version, position, epoch, paused,
                 (SELECT count(*) FROM factum_parked AS parked
                  WHERE parked.projection = its.projection AND parked.generation = its.generation)
                 FROM factum_generations AS its WHERE projection = ?1 ORDER BY generation";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([projection], |row| {
                let mut generation = Generation::default();
                generation.number = row.get(0)?;
                generation.live = live == Some(generation.number);
                generation.published = row.get(1)?;
                generation.bulk = row.get(2)?;
                generation.version = row.get(3)?;
                generation.checkpoint = row.get::<_, Option<i64>>(4)?.map(keep::position);
                generation.epoch = row.get::<_, i64>(5)?.cast_unsigned();
                generation.paused = row.get(6)?;
                generation.parked = row.get::<_, i64>(7)?.cast_unsigned();
                Ok(generation)
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
