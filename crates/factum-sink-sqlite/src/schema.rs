//! What stands in the file: the sink's own tables, a table per generation, and the views that readers use.
//!
//! Relies on: names checked by `Table::check`. Never: takes over what something else made.

use factum_projection::manage::{no_generation, other_version};
use factum_projection::{Claim, ColumnType, Error, Lease, Table, Which};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::said;

/// The sink's own tables.
const OWN: &str = "
CREATE TABLE IF NOT EXISTS factum_projections (
  projection TEXT PRIMARY KEY, live INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS factum_generations (
  projection TEXT NOT NULL, generation INTEGER NOT NULL, version TEXT NOT NULL, epoch INTEGER NOT NULL, position INTEGER,
  edits INTEGER NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0, bulk INTEGER NOT NULL DEFAULT 0, published INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (projection, generation)) STRICT;
CREATE TABLE IF NOT EXISTS factum_dropped (
  projection TEXT PRIMARY KEY, newest INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS factum_tables (
  name TEXT NOT NULL, projection TEXT NOT NULL, generation INTEGER NOT NULL, columns TEXT NOT NULL,
  PRIMARY KEY (name, projection, generation)) STRICT;
CREATE TABLE IF NOT EXISTS factum_parked (
  projection TEXT NOT NULL, generation INTEGER NOT NULL, position INTEGER NOT NULL, partition TEXT NOT NULL,
  event TEXT NOT NULL, stream TEXT NOT NULL, revision INTEGER NOT NULL, event_type TEXT NOT NULL, reason TEXT NOT NULL,
  attempts INTEGER NOT NULL, since INTEGER NOT NULL, wanted INTEGER NOT NULL,
  PRIMARY KEY (projection, generation, position)) STRICT;
";

/// Makes what is missing, and raises the epoch.
pub(crate) fn claim(
    connection: &Connection,
    tables: &[Table],
    claim: Claim<'_>,
) -> Result<Lease, Error> {
    make_own(connection)?;
    let projection = claim.projection;
    let live = live(connection, projection)?;
    let newest = newest(connection, projection)?;
    let generation = match claim.which {
        Which::Live => live.unwrap_or(newest + 1),
        Which::New => newest + 1,
        Which::Number(number) => number,
        _ => return Err(Error::invalid("this sink does not know such a generation")),
    };
    let made = version_of(connection, projection, generation)?;
    match &made {
        None if matches!(claim.which, Which::Number(_)) => {
            return Err(no_generation(projection, generation));
        }
        Some(theirs) if theirs != claim.version => {
            return Err(other_version(projection, generation, theirs, claim.version));
        }
        _ => (),
    }
    for table in tables {
        unless(owned_by(connection, table, projection)?)?;
        if made.is_some() {
            check_table(connection, table, projection, generation)?;
        } else {
            make_table(connection, table, projection, generation)?;
        }
    }
    let bulk = claim.bulk && live != Some(generation) && claim.which != Which::Live;
    if bulk {
        drop_indexes(connection, tables, generation)?;
    } else {
        make_indexes(connection, tables, generation)?;
    }
    let epoch: i64 = connection
        .query_row(
            "INSERT INTO factum_generations (projection, generation, version, epoch, bulk) VALUES (?1, ?2, ?3, 1, ?4)
             ON CONFLICT DO UPDATE SET epoch = epoch + 1, bulk = excluded.bulk RETURNING epoch",
            params![projection, generation, claim.version, bulk],
            |row| row.get(0),
        )
        .map_err(|error| said(format!("cannot claim {projection}"), error))?;
    if claim.which == Which::Live && live.is_none() {
        publish(connection, projection, generation)?;
    }
    Ok(Lease {
        projection: projection.to_owned(),
        generation,
        epoch: epoch.cast_unsigned(),
    })
}

pub(crate) fn make_own(connection: &Connection) -> Result<(), Error> {
    let made = connection.execute_batch(OWN);
    made.map_err(|error| said("cannot make the tables of the sink", error))
}

pub(crate) fn live(connection: &Connection, projection: &str) -> Result<Option<u32>, Error> {
    connection
        .query_row(
            "SELECT live FROM factum_projections WHERE projection = ?1",
            [projection],
            |row| row.get(0),
        )
        .optional()
        .map_err(|error| said(format!("cannot find {projection}"), error))
}

/// The highest number that was ever given. One of a dropped generation is never given again: its epochs would begin again too, and the
/// lease of a runner that missed the drop would hold.
fn newest(connection: &Connection, projection: &str) -> Result<u32, Error> {
    let sql = "SELECT coalesce(max(number), 0) FROM (
         SELECT generation AS number FROM factum_generations WHERE projection = ?1
         UNION ALL SELECT newest FROM factum_dropped WHERE projection = ?1)";
    connection
        .query_row(sql, [projection], |row| row.get(0))
        .map_err(|error| {
            said(
                format!("cannot find the generations of {projection}"),
                error,
            )
        })
}

/// Notes that the number of a generation was given, before it is forgotten with it.
pub(crate) fn note_dropped(
    connection: &Connection,
    projection: &str,
    generation: u32,
) -> Result<(), Error> {
    let noted = connection.execute(
        "INSERT INTO factum_dropped (projection, newest) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET newest = max(newest, excluded.newest)",
        params![projection, generation],
    );
    noted.map_err(|error| said(format!("cannot note what {projection} dropped"), error))?;
    Ok(())
}

/// The version of the projector that fills a generation; `None` when there is no such one.
fn version_of(
    connection: &Connection,
    projection: &str,
    generation: u32,
) -> Result<Option<String>, Error> {
    connection
        .query_row(
            "SELECT version FROM factum_generations WHERE projection = ?1 AND generation = ?2",
            params![projection, generation],
            |row| row.get(0),
        )
        .optional()
        .map_err(|error| said(format!("cannot find generation {generation}"), error))
}

/// Whose a name that readers use is, in words, where this projection cannot have it: another projection's, or that of something that none made.
pub(crate) fn owned_by(
    connection: &Connection,
    table: &Table,
    projection: &str,
) -> Result<Option<String>, Error> {
    let name = &table.name;
    let owner: Option<(String, bool)> = connection
        .query_row(
            "SELECT t.projection, p.live IS NOT NULL FROM factum_tables t
             LEFT JOIN factum_projections p ON p.projection = t.projection AND p.live = t.generation
             WHERE t.name = ?1 ORDER BY t.projection <> ?2 DESC, p.live IS NULL",
            [name, projection],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(|error| said(format!("cannot find the owner of {name}"), error))?;
    match owner {
        Some((owner, _)) if owner != projection => Ok(Some(format!(
            "{name} belongs to projection {owner}, not to {projection}"
        ))),
        // It has tables by this name, and the view while readers are shown one of them: else the name may be given away.
        Some((_, shown)) => match kind_of(connection, name)? {
            Some((kind, _)) if !shown || kind != "view" => Ok(Some(taken(name, &kind))),
            _ => Ok(None),
        },
        None => taken_by(connection, name),
    }
}

/// What has this name in the file, in words, where no projection made anything by it.
pub(crate) fn taken_by(connection: &Connection, name: &str) -> Result<Option<String>, Error> {
    let found = kind_of(connection, name)?;
    Ok(found.map(|(kind, _)| taken(name, &kind)))
}

fn taken(name: &str, kind: &str) -> String {
    format!(
        "the file has a {kind} {name} that no projection made; choose another name, or remove it"
    )
}

fn unless(obstacle: Option<String>) -> Result<(), Error> {
    obstacle.map_or(Ok(()), |what| Err(Error::invalid(what)))
}

/// What has this name in the file, and how it was made.
pub(crate) fn kind_of(
    connection: &Connection,
    name: &str,
) -> Result<Option<(String, String)>, Error> {
    connection
        .query_row(
            "SELECT type, sql FROM sqlite_schema WHERE name = ?1 AND type IN ('table', 'view')",
            [name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(|error| said(format!("cannot look for {name}"), error))
}

/// A generation keeps the tables it was made with: what it has applied is in no other.
fn check_table(
    connection: &Connection,
    table: &Table,
    projection: &str,
    generation: u32,
) -> Result<(), Error> {
    let name = table_name(&table.name, generation);
    let ours = tables_of(connection, projection, generation)?;
    let ours = ours.iter().any(|(name, _)| *name == table.name);
    let what = match kind_of(connection, &name)?.filter(|_| ours) {
        Some((_, made)) if made == create(table, &name) => return Ok(()),
        Some(_) => format!(
            "table {} of projection {projection} has other columns in generation {generation}",
            table.name
        ),
        None => format!(
            "generation {generation} of projection {projection} has no table {}",
            table.name
        ),
    };
    Err(Error::outdated(what))
}

fn make_table(
    connection: &Connection,
    table: &Table,
    projection: &str,
    generation: u32,
) -> Result<(), Error> {
    let name = table_name(&table.name, generation);
    let sql = create(table, &name);
    unless(taken_by(connection, &name)?)?;
    let made = connection.execute_batch(&sql);
    made.map_err(|error| said(format!("cannot make {name}"), error))?;
    let noted = connection.execute(
        "INSERT INTO factum_tables (name, projection, generation, columns) VALUES (?1, ?2, ?3, ?4)",
        params![table.name, projection, generation, columns(table)],
    );
    noted.map_err(|error| said(format!("cannot note {name}"), error))?;
    Ok(())
}

fn create(table: &Table, name: &str) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let must = table.key.contains(&column.name);
            let must = if must { " NOT NULL" } else { "" };
            format!("{} {}{must}", quoted(&column.name), sql_type(column.holds))
        })
        .collect();
    let key: Vec<String> = table.key.iter().map(|name| quoted(name)).collect();
    format!(
        "CREATE TABLE {} ({}, PRIMARY KEY ({})) STRICT",
        quoted(name),
        columns.join(", "),
        key.join(", ")
    )
}

/// The names of the indexes of a table, and their columns.
fn indexes(table: &Table, generation: u32) -> impl Iterator<Item = (String, &Vec<String>)> {
    let name = table_name(&table.name, generation);
    let numbered = table.indexes.iter().enumerate();
    numbered.map(move |(index, columns)| (quoted(&format!("{name}_i{index}")), columns))
}

/// Makes those that are missing.
pub(crate) fn make_indexes(
    connection: &Connection,
    tables: &[Table],
    generation: u32,
) -> Result<(), Error> {
    for table in tables {
        for (name, columns) in indexes(table, generation) {
            let on = quoted(&table_name(&table.name, generation));
            let columns: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
            let columns = columns.join(", ");
            let sql = format!("CREATE INDEX IF NOT EXISTS {name} ON {on} ({columns})");
            let made = connection.execute_batch(&sql);
            made.map_err(|error| said(format!("cannot make the index {name}"), error))?;
        }
    }
    Ok(())
}

fn drop_indexes(connection: &Connection, tables: &[Table], generation: u32) -> Result<(), Error> {
    for table in tables {
        for (name, _) in indexes(table, generation) {
            let dropped = connection.execute_batch(&format!("DROP INDEX IF EXISTS {name}"));
            dropped.map_err(|error| said(format!("cannot drop the index {name}"), error))?;
        }
    }
    Ok(())
}

pub(crate) fn sql_type(holds: ColumnType) -> &'static str {
    match holds {
        ColumnType::Integer | ColumnType::Bool | ColumnType::Time => "INTEGER",
        ColumnType::Real => "REAL",
        ColumnType::Bytes => "BLOB",
        _ => "TEXT",
    }
}

fn columns(table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| quoted(&column.name))
        .collect();
    columns.join(", ")
}

/// Points the names that readers use at a generation.
pub(crate) fn publish(
    connection: &Connection,
    projection: &str,
    generation: u32,
) -> Result<(), Error> {
    let trouble = |error| said(format!("cannot publish {projection}"), error);
    if let Some(old) = live(connection, projection)? {
        for (name, _) in tables_of(connection, projection, old)? {
            let dropped =
                connection.execute_batch(&format!("DROP VIEW IF EXISTS {}", quoted(&name)));
            dropped.map_err(trouble)?;
        }
    }
    for (name, columns) in tables_of(connection, projection, generation)? {
        let from = quoted(&table_name(&name, generation));
        let view = format!(
            "CREATE VIEW {} AS SELECT {columns} FROM {from}",
            quoted(&name)
        );
        connection.execute_batch(&view).map_err(trouble)?;
    }
    connection
        .execute(
            "INSERT INTO factum_projections (projection, live) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET live = excluded.live",
            params![projection, generation],
        )
        .map_err(trouble)?;
    connection
        .execute(
            "UPDATE factum_generations SET published = 1 WHERE projection = ?1 AND generation = ?2",
            params![projection, generation],
        )
        .map_err(trouble)?;
    Ok(())
}

/// The tables of a generation: the names that readers use, and their columns.
pub(crate) fn tables_of(
    connection: &Connection,
    projection: &str,
    generation: u32,
) -> Result<Vec<(String, String)>, Error> {
    let read = || {
        let sql =
            "SELECT name, columns FROM factum_tables WHERE projection = ?1 AND generation = ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![projection, generation], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        rows.collect::<rusqlite::Result<_>>()
    };
    read().map_err(|error| said(format!("cannot list the tables of {projection}"), error))
}

pub(crate) fn table_name(table: &str, generation: u32) -> String {
    format!("{table}__g{generation}")
}

/// A name as SQL takes it; names have no quotes in them.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
