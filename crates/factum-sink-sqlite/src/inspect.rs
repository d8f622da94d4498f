//! What stands in the way of a projection in a file, found without touching it.
//!
//! Relies on: a connection that only reads. Never: makes a file or a table.

use std::path::Path;

use factum_projection::{Error, Kind, Obstacle, Table};
use rusqlite::{Connection, OpenFlags};

use crate::error::said;
use crate::schema::{self, sql_type};

/// What a projection with these tables would meet in a file; nothing where there is no file yet.
///
/// # Errors
/// - [`Kind::Invalid`]: a table is not well formed, or the file is not a database.
/// - [`Kind::Unavailable`]: it cannot be opened, or its directory is not there.
pub fn inspect(
    path: impl AsRef<Path>,
    projection: &str,
    tables: &[Table],
) -> Result<Vec<Obstacle>, Error> {
    let path = path.as_ref();
    Table::check_all(tables)?;
    if !path.exists() {
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
        return match parent.filter(|it| !it.is_dir()) {
            Some(parent) => {
                let what = format!("there is no directory {}", parent.display());
                Err(Error::new(Kind::Unavailable, what))
            }
            None => Ok(Vec::new()),
        };
    }
    let open = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let connection =
        open.map_err(|error| said(format!("cannot open {}", path.display()), error))?;
    look(&connection, projection, tables).map_err(|error| match error.kind() {
        Kind::Refused => Error::invalid(error.to_string()).because(error),
        _ => error,
    })
}

fn look(
    connection: &Connection,
    projection: &str,
    tables: &[Table],
) -> Result<Vec<Obstacle>, Error> {
    let mut obstacles = Vec::new();
    let known = schema::kind_of(connection, "factum_tables")?.is_some();
    let live = if known {
        schema::live(connection, projection)?
    } else {
        None
    };
    for table in tables {
        let owned = if known {
            schema::owned_by(connection, table, projection)?
        } else {
            schema::taken_by(connection, &table.name)?
        };
        if let Some(what) = owned {
            obstacles.push(Obstacle::Owned { what });
            continue;
        }
        if let Some(generation) = live {
            let differences = differences(connection, table, generation)?;
            let differs = differences
                .into_iter()
                .map(|what| Obstacle::Differs { generation, what });
            obstacles.extend(differs);
        }
    }
    Ok(obstacles)
}

/// Where the table of a generation has other columns than are declared now.
fn differences(
    connection: &Connection,
    table: &Table,
    generation: u32,
) -> Result<Vec<String>, Error> {
    let real = schema::table_name(&table.name, generation);
    let read = || {
        let mut statement = connection.prepare("SELECT name, type FROM pragma_table_info(?1)")?;
        let rows = statement.query_map([&real], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
    };
    let columns = read().map_err(|error| said(format!("cannot look at {real}"), error))?;
    let name = &table.name;
    if columns.is_empty() {
        return Ok(vec![format!("there is no table {name} in it")]);
    }
    let mut found = Vec::new();
    for column in &table.columns {
        let real = columns.iter().find(|(real, _)| *real == column.name);
        match real {
            None => found.push(format!("table {name} has no column {} in it", column.name)),
            Some((_, holds)) if holds != sql_type(column.holds) => found.push(format!(
                "column {} of table {name} is {holds} in it, not {}",
                column.name,
                sql_type(column.holds)
            )),
            Some(_) => (),
        }
    }
    for (real, _) in columns {
        if table.find(&real).is_none() {
            found.push(format!("table {name} has a column {real} in it"));
        }
    }
    Ok(found)
}
