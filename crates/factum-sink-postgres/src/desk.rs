//! The sink as an administrator sees it, and read row by row.
//!
//! Relies on: the lock that claims take, so that generations do not change under a switch. Never: looks at an epoch.

use factum_projection::manage::{check_drop, check_switch, no_generation};
use factum_projection::{
    Behind, Edit, Error, Generation, Manage, Parked, ReadBack, Row, Table, Value,
};
use futures_core::future::BoxFuture;
use tokio_postgres::types::{ToSql, Type};

use crate::error::{kept, not_refused};
use crate::keep::{self, cell, position};
use crate::schema::{self, quoted, table_name, tables_of};
use crate::session::{Bound, Session};
use crate::value::{Sent, one_type, value_of};
use crate::{PostgresSink, views};

type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

impl PostgresSink {
    async fn list(&mut self, projection: &str) -> Result<Vec<Generation>, Error> {
        drop(self.home().await);
        self.session.ready().await?;
        if !schema::is_made(&self.session).await? {
            return Ok(Vec::new());
        }
        list(&self.session, projection).await
    }

    async fn find(&mut self, projection: &str, number: u32) -> Result<Generation, Error> {
        let all = self.list(projection).await?;
        let found = all.into_iter().find(|it| it.number == number);
        found.ok_or_else(|| no_generation(projection, number))
    }

    async fn shape(&mut self, projection: &str, number: u32, table: &str) -> Result<Table, Error> {
        self.find(projection, number).await?;
        let shape = self.rows.table(table).cloned().map_err(not_refused)?;
        let there = tables_of(&self.session, projection, number).await?;
        if there.iter().any(|(name, _)| name == table) {
            return Ok(shape);
        }
        Err(Error::invalid(format!(
            "generation {number} of {projection} has no table {table}"
        )))
    }

    async fn change(&mut self, projection: &str, number: u32, to: Change) -> Result<(), Error> {
        self.find(projection, number).await?;
        self.session.begin().await?;
        let done = change(&self.session, projection, number, to).await;
        self.session.end(done.map_err(not_refused)).await
    }

    async fn count_now(
        &mut self,
        projection: &str,
        number: u32,
        table: &str,
    ) -> Result<u64, Error> {
        self.shape(projection, number, table).await?;
        let sql = format!("SELECT count(*) FROM {}", self.target(table, number));
        let what = format!("cannot count {table}");
        let rows = self.session.query(&what, &sql, &[]).await?;
        let count = rows.first().map(|row| cell::<i64>(row, 0)).transpose()?;
        Ok(count.unwrap_or(0).cast_unsigned())
    }

    fn target(&self, table: &str, number: u32) -> String {
        let name = quoted(&table_name(table, number));
        format!("{}.{name}", self.session.schema())
    }

    async fn page_now(
        &mut self,
        projection: &str,
        number: u32,
        table: &str,
        after: Option<&Row>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let shape = self.shape(projection, number, table).await?;
        let names = |all: &mut dyn Iterator<Item = &String>| {
            let all: Vec<String> = all.map(|name| quoted(name)).collect();
            all.join(", ")
        };
        let columns = names(&mut shape.columns.iter().map(|column| &column.name));
        let key = names(&mut shape.key.iter());
        let places: Vec<String> = (2..shape.key.len() + 2)
            .map(|at| format!("${at}"))
            .collect();
        let behind = match after {
            Some(_) => format!("WHERE ({key}) > ({})", places.join(", ")),
            None => String::new(),
        };
        let target = self.target(table, number);
        let sql = format!("SELECT {columns} FROM {target} {behind} ORDER BY {key} LIMIT $1");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut sent: Vec<(Sent<'_>, Type)> = Vec::new();
        for name in after.iter().flat_map(|_| &shape.key) {
            let value = after.and_then(|row| row.get(name)).unwrap_or(&Value::Null);
            let of = shape.find(name).map_or(Type::TEXT, |it| one_type(it.holds));
            sent.push((Sent::Value(value), of));
        }
        let mut values: Vec<Bound<'_>> = vec![(&limit, Type::INT8)];
        let more = sent.iter();
        values.extend(more.map(|(value, of)| (value as &(dyn ToSql + Sync), of.clone())));
        let what = format!("cannot read {table}");
        let rows = self.session.query(&what, &sql, &values).await?;
        rows.iter()
            .map(|row| {
                let columns = shape.columns.iter().enumerate();
                let cells = columns.map(|(index, column)| {
                    let value = value_of(row, index).map_err(|error| kept(&what, error))?;
                    Ok((column.name.clone(), value))
                });
                cells.collect()
            })
            .collect()
    }
}

/// What is changed about a generation.
enum Change {
    Edit(Edit),
    Switch(Behind),
    Drop,
}

async fn change(session: &Session, name: &str, number: u32, to: Change) -> Result<(), Error> {
    let behind = match to {
        Change::Edit(edit) => return keep::edit(session, name, number, &edit).await,
        Change::Switch(behind) => Some(behind),
        Change::Drop => None,
    };
    schema::make_own(session).await?;
    // Checkpoints stand still meanwhile.
    let sql = format!(
        "SELECT generation FROM {}.factum_generations WHERE projection = $1 ORDER BY generation FOR UPDATE",
        session.schema()
    );
    let what = format!("cannot lock the generations of {name}");
    session.query(&what, &sql, &[(&name, Type::TEXT)]).await?;
    let all = list(session, name).await?;
    match behind {
        Some(behind) => {
            check_switch(name, &all, number, behind)?;
            if all.iter().any(|it| it.live && it.number == number) {
                return Ok(());
            }
            // New readers wait behind us while we wait for old ones; and less than PostgreSQL waits before it ends one of us as deadlocked.
            session.batch(&what, "SET LOCAL lock_timeout = 500").await?;
            views::publish(session, name, number).await
        }
        None => {
            check_drop(name, &all, number)?;
            drop_generation(session, name, number).await
        }
    }
}

async fn list(session: &Session, projection: &str) -> Result<Vec<Generation>, Error> {
    let sql = format!(
        "SELECT g.generation, p.live IS NOT DISTINCT FROM g.generation, g.published, g.bulk, g.version, g.position, g.epoch, g.paused,
           (SELECT count(*) FROM {0}.factum_parked w WHERE w.projection = g.projection AND w.generation = g.generation)
         FROM {0}.factum_generations g LEFT JOIN {0}.factum_projections p ON p.projection = g.projection
         WHERE g.projection = $1 ORDER BY g.generation",
        session.schema()
    );
    let what = format!("cannot list the generations of {projection}");
    let key: [Bound<'_>; 1] = [(&projection, Type::TEXT)];
    let rows = session.query(&what, &sql, &key).await?;
    rows.iter()
        .map(|row| {
            let number: i64 = cell(row, 0)?;
            Ok(Generation {
                number: u32::try_from(number)
                    .map_err(|error| Error::invalid(format!("{what}: {error}")).because(error))?,
                live: cell(row, 1)?,
                published: cell(row, 2)?,
                bulk: cell(row, 3)?,
                version: cell(row, 4)?,
                checkpoint: cell::<Option<i64>>(row, 5)?.map(position),
                epoch: cell::<i64>(row, 6)?.cast_unsigned(),
                paused: cell(row, 7)?,
                parked: cell::<i64>(row, 8)?.cast_unsigned(),
            })
        })
        .collect()
}

async fn drop_generation(session: &Session, name: &str, number: u32) -> Result<(), Error> {
    let schema = session.schema();
    let what = format!("cannot drop generation {number} of {name}");
    for (table, _) in tables_of(session, name, number).await? {
        let table = quoted(&table_name(&table, number));
        session
            .batch(&what, &format!("DROP TABLE IF EXISTS {schema}.{table}"))
            .await?;
    }
    let number = i64::from(number);
    let key: [Bound<'_>; 2] = [(&name, Type::TEXT), (&number, Type::INT8)];
    for own in ["factum_tables", "factum_parked", "factum_generations"] {
        let sql = format!("DELETE FROM {schema}.{own} WHERE projection = $1 AND generation = $2");
        session.execute(&what, &sql, &key).await?;
    }
    Ok(())
}

impl Manage for PostgresSink {
    fn projections(&mut self) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            drop(self.home().await);
            self.session.ready().await?;
            if !schema::is_made(&self.session).await? {
                return Ok(Vec::new());
            }
            let sql = format!(
                "SELECT DISTINCT projection FROM {}.factum_generations ORDER BY projection",
                self.session.schema()
            );
            let rows = self.session.query("cannot list the projections", &sql, &[]);
            rows.await?.iter().map(|row| cell(row, 0)).collect()
        })
    }

    fn generations<'a>(&'a mut self, projection: &'a str) -> Answer<'a, Vec<Generation>> {
        Box::pin(self.list(projection))
    }

    fn parked<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        limit: usize,
    ) -> Answer<'a, Vec<Parked>> {
        Box::pin(async move {
            self.find(projection, generation).await?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            keep::parked(&self.session, projection, generation, limit).await
        })
    }

    fn edit<'a>(&'a mut self, projection: &'a str, generation: u32, edit: Edit) -> Answer<'a, ()> {
        Box::pin(self.change(projection, generation, Change::Edit(edit)))
    }

    fn switch<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        behind: Behind,
    ) -> Answer<'a, ()> {
        Box::pin(self.change(projection, generation, Change::Switch(behind)))
    }

    fn drop_generation<'a>(&'a mut self, projection: &'a str, generation: u32) -> Answer<'a, ()> {
        Box::pin(self.change(projection, generation, Change::Drop))
    }
}

impl ReadBack for PostgresSink {
    fn tables(&self) -> &[Table] {
        self.rows.tables()
    }

    fn count<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        table: &'a str,
    ) -> Answer<'a, u64> {
        Box::pin(self.count_now(projection, generation, table))
    }

    fn page<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        table: &'a str,
        after: Option<&'a Row>,
        limit: usize,
    ) -> Answer<'a, Vec<Row>> {
        Box::pin(self.page_now(projection, generation, table, after, limit))
    }
}
