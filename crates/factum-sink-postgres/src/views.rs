//! The names that readers use: views, pointed at one generation after the other.
//!
//! A view that has all the columns it had is replaced in place, so what others built on it, and who may read it, stays as it is. One that
//! loses a column, or has it as another type, has to be dropped and made again: whoever had rights on it is given them again, and it is refused
//! where views of others depend on it. Relies on: the transaction of whoever switches. Never: drops what is not the sink's.

use factum_projection::Error;
use tokio_postgres::types::Type;

use crate::keep::cell;
use crate::schema::{quoted, table_name, tables_of};
use crate::session::{Bound, Session};

/// A column of a view or table.
type Column = (String, String);

/// Points the names that readers use at a generation.
pub(crate) async fn publish(
    session: &Session,
    projection: &str,
    generation: u32,
) -> Result<(), Error> {
    let schema = session.schema();
    let what = format!("cannot publish {projection}");
    let old = shown(session, projection).await?;
    let new = tables_of(session, projection, generation).await?;
    for name in old
        .iter()
        .filter(|old| !new.iter().any(|(new, _)| new == *old))
    {
        check_dependents(session, name, "the new generation has no such table").await?;
        session
            .batch(&what, &format!("DROP VIEW {schema}.{}", quoted(name)))
            .await?;
    }
    for (name, _) in &new {
        show(session, name, generation, old.contains(name)).await?;
    }
    let number = i64::from(generation);
    let key: [Bound<'_>; 2] = [(&projection, Type::TEXT), (&number, Type::INT8)];
    for sql in [
        "UPDATE {s}.factum_projections SET live = $2 WHERE projection = $1",
        "UPDATE {s}.factum_generations SET published = true WHERE projection = $1 AND generation = $2",
    ] {
        let sql = sql.replace("{s}", &schema);
        session.execute(&what, &sql, &key).await?;
    }
    Ok(())
}

/// The views of the live generation that are there.
async fn shown(session: &Session, projection: &str) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT t.name FROM {0}.factum_tables t JOIN {0}.factum_projections p
           ON p.projection = t.projection AND p.live = t.generation
         JOIN pg_namespace n ON n.nspname = $2 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name AND c.relkind = 'v'
         WHERE t.projection = $1 ORDER BY t.name",
        session.schema()
    );
    let schema = session.options().schema_name();
    let values: [Bound<'_>; 2] = [(&projection, Type::TEXT), (&schema, Type::TEXT)];
    let what = format!("cannot find the views of {projection}");
    let rows = session.query(&what, &sql, &values).await?;
    rows.iter().map(|row| cell(row, 0)).collect()
}

/// Points one name at its table.
async fn show(session: &Session, name: &str, generation: u32, there: bool) -> Result<(), Error> {
    let what = format!("cannot make the view {name}");
    let schema = session.schema();
    let table = table_name(name, generation);
    let new = columns_of(session, &table).await?;
    let view = format!("{schema}.{}", quoted(name));
    let from = format!("{schema}.{}", quoted(&table));
    let select = |columns: Vec<&Column>| {
        let columns: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
        format!("VIEW {view} AS SELECT {} FROM {from}", columns.join(", "))
    };
    if !there {
        let sql = format!("CREATE {}", select(new.iter().collect()));
        return session.batch(&what, &sql).await;
    }
    let old = columns_of(session, name).await?;
    let Some(lost) = old.iter().find(|column| !new.contains(column)) else {
        // Columns may come behind those that are there, and in no other place.
        let more = new.iter().filter(|column| !old.contains(column));
        let sql = format!(
            "CREATE OR REPLACE {}",
            select(old.iter().chain(more).collect())
        );
        return session.batch(&what, &sql).await;
    };
    let (column, of) = lost;
    let why = format!("the new generation has no column {column} of type {of}");
    check_dependents(session, name, &why).await?;
    let rights = rights_of(session, name).await?;
    let sql = format!("DROP VIEW {view}; CREATE {}", select(new.iter().collect()));
    session.batch(&what, &sql).await?;
    for (who, right, grantable) in rights {
        let to = if who == "public" { who } else { quoted(&who) };
        let grantable = if grantable { " WITH GRANT OPTION" } else { "" };
        let sql = format!("GRANT {right} ON {view} TO {to}{grantable}");
        session.batch(&what, &sql).await?;
    }
    Ok(())
}

/// The columns of a view or table, in order, with their types.
async fn columns_of(session: &Session, name: &str) -> Result<Vec<Column>, Error> {
    let sql = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let schema = session.options().schema_name();
    let values: [Bound<'_>; 2] = [(&schema, Type::TEXT), (&name, Type::TEXT)];
    let what = format!("cannot find the columns of {name}");
    let rows = session.query(&what, sql, &values).await?;
    rows.iter()
        .map(|row| Ok((cell(row, 0)?, cell(row, 1)?)))
        .collect()
}

/// Nothing is built on a view that has to go.
async fn check_dependents(session: &Session, name: &str, why: &str) -> Result<(), Error> {
    let sql = "SELECT DISTINCT r.ev_class::regclass::text
         FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
         JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE d.refclassid = 'pg_class'::regclass AND n.nspname = $1 AND c.relname = $2 AND r.ev_class <> c.oid ORDER BY 1";
    let schema = session.options().schema_name();
    let values: [Bound<'_>; 2] = [(&schema, Type::TEXT), (&name, Type::TEXT)];
    let what = format!("cannot find what depends on {name}");
    let rows = session.query(&what, sql, &values).await?;
    let users: Result<Vec<String>, Error> = rows.iter().map(|row| cell(row, 0)).collect();
    let users = users?;
    if users.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the view {name} cannot be changed: {why}, and {} is built on it; change or drop that first",
        users.join(", ")
    )))
}

/// Who may do what with a view, but for its owner.
async fn rights_of(session: &Session, name: &str) -> Result<Vec<(String, String, bool)>, Error> {
    let sql = "SELECT coalesce(r.rolname::text, 'public'), a.privilege_type, a.is_grantable
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
         WHERE n.nspname = $1 AND c.relname = $2 AND a.grantee <> c.relowner";
    let schema = session.options().schema_name();
    let values: [Bound<'_>; 2] = [(&schema, Type::TEXT), (&name, Type::TEXT)];
    let what = format!("cannot find who may read {name}");
    let rows = session.query(&what, sql, &values).await?;
    rows.iter()
        .map(|row| Ok((cell(row, 0)?, cell(row, 1)?, cell(row, 2)?)))
        .collect()
}
