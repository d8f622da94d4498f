//! What stands in the database: the sink's own tables, and a table per generation.
//!
//! Relies on: names checked by `Table::check`, and one transaction around a claim, under a lock that all claims of the schema take.
//! Never: takes over what something else made.

use factum_projection::manage::{no_generation, other_version};
use factum_projection::{Claim, Error, Kind, Lease, Table, Which};
use tokio_postgres::types::Type;

use crate::keep::{cell, forget, locked};
use crate::session::{Bound, Session};
use crate::value::sql_type;
use crate::views;

/// The sink's own tables; `{s}` is the schema.
const OWN: &str = "
CREATE TABLE IF NOT EXISTS {s}.factum_projections (
  projection text PRIMARY KEY, live bigint, newest bigint NOT NULL);
CREATE TABLE IF NOT EXISTS {s}.factum_generations (
  projection text NOT NULL, generation bigint NOT NULL, version text NOT NULL, epoch bigint NOT NULL, position bigint,
  edits bigint NOT NULL DEFAULT 0, paused boolean NOT NULL DEFAULT false, bulk boolean NOT NULL DEFAULT false,
  published boolean NOT NULL DEFAULT false, PRIMARY KEY (projection, generation)) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS {s}.factum_tables (
  name text NOT NULL, projection text NOT NULL, generation bigint NOT NULL, definition text NOT NULL,
  PRIMARY KEY (name, projection, generation));
CREATE TABLE IF NOT EXISTS {s}.factum_parked (
  projection text NOT NULL, generation bigint NOT NULL, position bigint NOT NULL, partition text NOT NULL,
  event text NOT NULL, stream text NOT NULL, revision bigint NOT NULL, event_type text NOT NULL, reason text NOT NULL,
  attempts bigint NOT NULL, since bigint NOT NULL, wanted boolean NOT NULL, PRIMARY KEY (projection, generation, position));
";

/// Whether the sink's own tables are in the schema.
pub(crate) async fn is_made(session: &Session) -> Result<bool, Error> {
    let kind = kind_of(session, "factum_parked").await?;
    Ok(kind.is_some())
}

/// Makes the schema and the sink's own tables, and keeps others from doing the same until the transaction ends.
pub(crate) async fn make_own(session: &Session) -> Result<(), Error> {
    let name = session.options().schema_name();
    let what = format!("cannot make the tables of the sink in the schema {name}");
    // One number for each schema; two that share one wait for each other and no more.
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('factum ' || $1, 0))";
    let values: [Bound<'_>; 1] = [(&name, Type::TEXT)];
    session.query(&what, lock, &values).await?;
    if is_made(session).await? {
        return Ok(());
    }
    let there = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
    let schema = session.schema();
    if session.query(&what, there, &values).await?.is_empty() {
        session
            .batch(&what, &format!("CREATE SCHEMA {schema}"))
            .await?;
    }
    session.batch(&what, &OWN.replace("{s}", &schema)).await
}

/// Makes what is missing, and raises the epoch; says also whether the generation is filled in bulk.
pub(crate) async fn claim(
    session: &Session,
    tables: &[Table],
    claim: Claim<'_>,
) -> Result<(Lease, bool), Error> {
    make_own(session).await?;
    let projection = claim.projection;
    let (live, newest) = numbers(session, projection).await?;
    let generation = match claim.which {
        Which::Live => live.unwrap_or(newest + 1),
        Which::New => newest + 1,
        Which::Number(number) => number,
        _ => return Err(Error::invalid("this sink does not know such a generation")),
    };
    let made = locked(session, projection, generation).await?;
    match &made {
        None if matches!(claim.which, Which::Number(_)) => {
            return Err(no_generation(projection, generation));
        }
        Some(theirs) if theirs.version != claim.version => {
            let theirs = &theirs.version;
            return Err(other_version(projection, generation, theirs, claim.version));
        }
        _ => (),
    }
    let bulk = claim.bulk && live != Some(generation) && claim.which != Which::Live;
    for table in tables {
        unless(owned_by(session, table, projection).await?)?;
        if made.is_some() {
            if let Some(what) = differs(session, table, projection, generation).await? {
                return Err(Error::outdated(what));
            }
        } else {
            make_table(session, table, projection, generation, bulk).await?;
        }
    }
    if bulk {
        drop_indexes(session, tables, generation).await?;
    } else {
        if made.is_some_and(|made| made.bulk) {
            settle(session, tables, projection, generation).await?;
        }
        make_indexes(session, tables, generation).await?;
    }
    let epoch = raise(session, claim, generation, bulk).await?;
    if claim.which == Which::Live && live.is_none() {
        views::publish(session, projection, generation).await?;
    }
    let lease = Lease {
        projection: projection.to_owned(),
        generation,
        epoch,
    };
    Ok((lease, bulk))
}

/// Which generation is live, and the highest number that was ever given. One of a dropped generation is never given again: its epochs would
/// begin again too, and the lease of a runner that missed the drop would hold.
async fn numbers(session: &Session, projection: &str) -> Result<(Option<u32>, u32), Error> {
    let sql = format!(
        "SELECT live, newest FROM {}.factum_projections WHERE projection = $1",
        session.schema()
    );
    let what = format!("cannot find {projection}");
    let rows = session
        .query(&what, &sql, &[(&projection, Type::TEXT)])
        .await?;
    let Some(row) = rows.first() else {
        return Ok((None, 0));
    };
    let live: Option<i64> = cell(row, 0)?;
    let number = |number: i64| {
        let what = format!("{projection} has a generation with the number {number}");
        u32::try_from(number).map_err(|error| Error::invalid(what).because(error))
    };
    Ok((live.map(number).transpose()?, number(cell(row, 1)?)?))
}

async fn raise(
    session: &Session,
    claim: Claim<'_>,
    generation: u32,
    bulk: bool,
) -> Result<u64, Error> {
    let schema = session.schema();
    let what = format!("cannot claim {}", claim.projection);
    let number = i64::from(generation);
    let key: [Bound<'_>; 2] = [(&claim.projection, Type::TEXT), (&number, Type::INT8)];
    let noted = format!(
        "INSERT INTO {schema}.factum_projections AS old (projection, newest) VALUES ($1, $2)
         ON CONFLICT (projection) DO UPDATE SET newest = greatest(old.newest, excluded.newest)"
    );
    session.execute(&what, &noted, &key).await?;
    let sql = format!(
        "INSERT INTO {schema}.factum_generations AS old (projection, generation, version, epoch, bulk) VALUES ($1, $2, $3, 1, $4)
         ON CONFLICT (projection, generation) DO UPDATE SET epoch = old.epoch + 1, bulk = excluded.bulk RETURNING epoch"
    );
    let [name, number] = key;
    let values: [Bound<'_>; 4] = [
        name,
        number,
        (&claim.version, Type::TEXT),
        (&bulk, Type::BOOL),
    ];
    let rows = session.query(&what, &sql, &values).await?;
    let epoch = rows.first().map(|row| cell::<i64>(row, 0)).transpose()?;
    epoch
        .map(i64::cast_unsigned)
        .ok_or_else(|| Error::invalid(format!("{what}: no epoch came back")))
}

/// Whose a name that readers use is, in words, where this projection cannot have it: another projection's, or that of something that none made.
pub(crate) async fn owned_by(
    session: &Session,
    table: &Table,
    projection: &str,
) -> Result<Option<String>, Error> {
    let name = table.name.as_str();
    let schema = session.schema();
    let sql = format!(
        "SELECT t.projection, p.live IS NOT NULL FROM {schema}.factum_tables t
         LEFT JOIN {schema}.factum_projections p ON p.projection = t.projection AND p.live = t.generation
         WHERE t.name = $1 ORDER BY t.projection <> $2 DESC, p.live IS NULL LIMIT 1"
    );
    let what = format!("cannot find the owner of {name}");
    let values: [Bound<'_>; 2] = [(&name, Type::TEXT), (&projection, Type::TEXT)];
    let rows = session.query(&what, &sql, &values).await?;
    let read = |row| Ok::<_, Error>((cell::<String>(row, 0)?, cell::<bool>(row, 1)?));
    match rows.first().map(read).transpose()? {
        Some((owner, _)) if owner != projection => Ok(Some(format!(
            "{name} belongs to projection {owner}, not to {projection}"
        ))),
        // It has tables by this name, and the view while readers are shown one of them: else the name may be given away.
        Some((_, shown)) => match kind_of(session, name).await? {
            Some((kind, _)) if shown && kind == "view" => Ok(None),
            found => Ok(found.map(|found| taken(session, name, &found))),
        },
        None => taken_by(session, name).await,
    }
}

/// What has this name in the schema, in words, where no projection made anything by it.
pub(crate) async fn taken_by(session: &Session, name: &str) -> Result<Option<String>, Error> {
    let found = kind_of(session, name).await?;
    Ok(found.map(|found| taken(session, name, &found)))
}

fn taken(session: &Session, name: &str, (kind, owner): &(String, String)) -> String {
    let schema = session.options().schema_name();
    format!(
        "the schema {schema} has a {kind} {name} of the role {owner} that no projection made; choose another name, or remove it"
    )
}

fn unless(obstacle: Option<String>) -> Result<(), Error> {
    obstacle.map_or(Ok(()), |what| Err(Error::invalid(what)))
}

/// What has this name in the schema, and whose it is.
async fn kind_of(session: &Session, name: &str) -> Result<Option<(String, String)>, Error> {
    let sql = "SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index'
           WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table' END,
         pg_get_userbyid(c.relowner)::text
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";
    let schema = session.options().schema_name();
    let values: [Bound<'_>; 2] = [(&schema, Type::TEXT), (&name, Type::TEXT)];
    let what = format!("cannot look for {name}");
    let rows = session.query(&what, sql, &values).await?;
    let found = rows.first().map(|row| Ok((cell(row, 0)?, cell(row, 1)?)));
    found.transpose()
}

/// Where a generation has another table than this one, in words: it keeps those it was made with, for what it has applied is in no other.
pub(crate) async fn differs(
    session: &Session,
    table: &Table,
    projection: &str,
    generation: u32,
) -> Result<Option<String>, Error> {
    let (name, real) = (&table.name, table_name(&table.name, generation));
    let ours = tables_of(session, projection, generation).await?;
    let ours = ours.into_iter().find(|(ours, _)| ours == name);
    let there = kind_of(session, &real).await?;
    let there = there.is_some_and(|(kind, _)| kind == "table");
    Ok(match ours {
        Some((_, made)) if there && made == definition(table) => None,
        Some(_) if there => Some(format!(
            "table {name} of projection {projection} has other columns in generation {generation}"
        )),
        Some(_) => Some(format!(
            "the table {real} of projection {projection} was removed"
        )),
        None => Some(format!(
            "generation {generation} of projection {projection} has no table {name}"
        )),
    })
}

async fn make_table(
    session: &Session,
    table: &Table,
    projection: &str,
    generation: u32,
    bulk: bool,
) -> Result<(), Error> {
    let name = table_name(&table.name, generation);
    unless(taken_by(session, &name).await?)?;
    let schema = session.schema();
    let definition = definition(table);
    let columns = if bulk {
        columns_sql(table)
    } else {
        definition.clone()
    };
    let sql = format!("CREATE TABLE {schema}.{} ({columns})", quoted(&name));
    session.batch(&format!("cannot make {name}"), &sql).await?;
    let sql = format!(
        "INSERT INTO {schema}.factum_tables (name, projection, generation, definition) VALUES ($1, $2, $3, $4)"
    );
    let number = i64::from(generation);
    let values: [Bound<'_>; 4] = [
        (&table.name, Type::TEXT),
        (&projection, Type::TEXT),
        (&number, Type::INT8),
        (&definition, Type::TEXT),
    ];
    session
        .execute(&format!("cannot note {name}"), &sql, &values)
        .await
        .map(drop)
}

/// Columns and key.
fn definition(table: &Table) -> String {
    format!("{}, PRIMARY KEY ({})", columns_sql(table), key_sql(table))
}

pub(crate) fn columns_sql(table: &Table) -> String {
    let columns = table.columns.iter().map(|column| {
        let must = table.key.contains(&column.name);
        let must = if must { " NOT NULL" } else { "" };
        format!("{} {}{must}", quoted(&column.name), sql_type(column.holds))
    });
    columns.collect::<Vec<_>>().join(", ")
}

pub(crate) fn key_sql(table: &Table) -> String {
    let key: Vec<String> = table.key.iter().map(|name| quoted(name)).collect();
    key.join(", ")
}

/// Makes the primary keys that are missing; says whether all could be. If not, rows are there twice, or one's key is too long.
pub(crate) async fn make_keys(
    session: &Session,
    tables: &[&Table],
    generation: u32,
) -> Result<bool, Error> {
    let schema = session.schema();
    for table in tables {
        let name = table_name(&table.name, generation);
        let what = format!("cannot make the key of {name}");
        if has_key(session, &name).await? {
            continue;
        }
        session.batch(&what, "SAVEPOINT factum_key").await?;
        let on = quoted(&name);
        let sql = format!(
            "ALTER TABLE {schema}.{on} ADD PRIMARY KEY ({})",
            key_sql(table)
        );
        match session.batch_slow(&what, &sql).await {
            Ok(()) => session.batch(&what, "RELEASE factum_key").await?,
            Err(error) if error.kind() == Kind::Refused => {
                let back = "ROLLBACK TO factum_key; RELEASE factum_key";
                session.batch(&what, back).await?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

async fn has_key(session: &Session, name: &str) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2 AND i.indisprimary";
    let schema = session.options().schema_name();
    let values: [Bound<'_>; 2] = [(&schema, Type::TEXT), (&name, Type::TEXT)];
    let what = format!("cannot find the key of {name}");
    let rows = session.query(&what, sql, &values).await?;
    Ok(!rows.is_empty())
}

/// Removes all rows, and makes the primary keys that are missing.
pub(crate) async fn empty(
    session: &Session,
    tables: &[Table],
    generation: u32,
) -> Result<(), Error> {
    let schema = session.schema();
    for table in tables {
        let name = table_name(&table.name, generation);
        let sql = format!("TRUNCATE {schema}.{}", quoted(&name));
        session.batch(&format!("cannot empty {name}"), &sql).await?;
    }
    let tables: Vec<&Table> = tables.iter().collect();
    make_keys(session, &tables, generation).await.map(drop)
}

/// Makes the keys that a bulk left out. Where they cannot be made the generation is as if nothing had been applied.
pub(crate) async fn settle(
    session: &Session,
    tables: &[Table],
    projection: &str,
    generation: u32,
) -> Result<(), Error> {
    let all: Vec<&Table> = tables.iter().collect();
    if !make_keys(session, &all, generation).await? {
        empty(session, tables, generation).await?;
        forget(session, projection, generation).await?;
    }
    Ok(())
}

/// The names of the indexes of a table, and their columns.
fn indexes(table: &Table, generation: u32) -> impl Iterator<Item = (String, &Vec<String>)> {
    let name = table_name(&table.name, generation);
    let numbered = table.indexes.iter().enumerate();
    numbered.map(move |(index, columns)| (format!("{name}_i{index}"), columns))
}

/// Makes those that are missing, which may take long.
pub(crate) async fn make_indexes(
    session: &Session,
    tables: &[Table],
    generation: u32,
) -> Result<(), Error> {
    let schema = session.schema();
    for table in tables {
        for (name, columns) in indexes(table, generation) {
            let on = quoted(&table_name(&table.name, generation));
            let columns: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
            let columns = columns.join(", ");
            let sql = format!(
                "CREATE INDEX IF NOT EXISTS {} ON {schema}.{on} ({columns})",
                quoted(&name)
            );
            session
                .batch_slow(&format!("cannot make the index {name}"), &sql)
                .await?;
        }
    }
    Ok(())
}

async fn drop_indexes(session: &Session, tables: &[Table], generation: u32) -> Result<(), Error> {
    let schema = session.schema();
    for table in tables {
        for (name, _) in indexes(table, generation) {
            let sql = format!("DROP INDEX IF EXISTS {schema}.{}", quoted(&name));
            session
                .batch(&format!("cannot drop the index {name}"), &sql)
                .await?;
        }
    }
    Ok(())
}

/// Fresh statistics, so that the first readers get good plans.
pub(crate) async fn analyze(
    session: &Session,
    tables: &[Table],
    generation: u32,
) -> Result<(), Error> {
    let schema = session.schema();
    for table in tables {
        let name = table_name(&table.name, generation);
        let sql = format!("ANALYZE {schema}.{}", quoted(&name));
        session
            .batch_slow(&format!("cannot analyse {name}"), &sql)
            .await?;
    }
    Ok(())
}

/// The tables of a generation: the names that readers use, and what they were made with.
pub(crate) async fn tables_of(
    session: &Session,
    projection: &str,
    generation: u32,
) -> Result<Vec<(String, String)>, Error> {
    let sql = format!(
        "SELECT name, definition FROM {}.factum_tables WHERE projection = $1 AND generation = $2 ORDER BY name",
        session.schema()
    );
    let number = i64::from(generation);
    let values: [Bound<'_>; 2] = [(&projection, Type::TEXT), (&number, Type::INT8)];
    let what = format!("cannot list the tables of {projection}");
    let rows = session.query(&what, &sql, &values).await?;
    rows.iter()
        .map(|row| Ok((cell(row, 0)?, cell(row, 1)?)))
        .collect()
}

pub(crate) fn table_name(table: &str, generation: u32) -> String {
    format!("{table}__g{generation}")
}

/// A name as SQL takes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
