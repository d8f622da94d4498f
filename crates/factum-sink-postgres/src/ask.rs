//! Reading a read model with SQL of one's own.
//!
//! Relies on: a transaction that PostgreSQL lets only read, with a limit of time. Never: sends two statements as one, so that none can end
//! that transaction.

use std::time::Duration;

use factum_projection::{Error, Kind};

use crate::PostgresSink;
use crate::error::{Late, Writes};
use crate::session::Session;

/// How many rows are fetched at once.
const FETCH_ROWS: u64 = 1_000;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Each row as a JSON object.
    pub rows: Vec<String>,
    /// Whether there are more rows than were asked for.
    pub cut: bool,
}

impl PostgresSink {
    /// Asks one statement that only reads, for at most so many rows, within so much time.
    ///
    /// # Errors
    /// - [`Kind::Invalid`]: the statement is wrong, is several, writes ([`Writes`] is its [cause](Error::cause)), or was not
    ///   answered in time ([`Late`] is its cause); or as for [`PostgresSink::connect`].
    /// - [`Kind::Unavailable`]: the server is not there.
    ///
    /// # Cancel safety
    /// It may be dropped at any point; the sink should be dropped with it.
    pub async fn ask(&mut self, sql: &str, rows: u64, time: Duration) -> Result<Asked, Error> {
        drop(self.home().await);
        let sql = sql.trim().trim_end_matches(';');
        let asked = self.session.within_all(time, async |session| {
            let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX >> 1).max(1);
            let schema = session.schema();
            session.begin().await?;
            // Of one statement each; the whole has the same limit.
            let limits = format!(
                "SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = {millis}; SET LOCAL search_path = {schema}, public, pg_catalog"
            );
            session.batch("cannot begin", &limits).await?;
            answer(session, sql, rows).await
        });
        let asked = asked.await;
        let late = |error: &Error| error.cause::<Late>().is_some();
        let over = |error: &Error| error.kind() == Kind::Unavailable || late(error);
        if asked.as_ref().is_err_and(over) {
            // It may still be at work on the query.
            self.session.lose();
        }
        self.session.roll_back().await;
        // The query's affair, and not the server's.
        let ours = |error: &Error| late(error) || error.cause::<Writes>().is_some();
        asked.map_err(|error| match ours(&error) {
            true => Error::invalid(error.to_string()).because(error),
            false => error,
        })
    }
}

async fn answer(session: &Session, sql: &str, rows: u64) -> Result<Asked, Error> {
    let what = "the query was not answered";
    let columns = session.columns(what, sql).await?;
    if columns.is_empty() {
        return Err(Error::invalid(
            "a query only reads, and this statement gives no rows",
        ));
    }
    let declare = format!(
        "DECLARE factum_query NO SCROLL CURSOR FOR SELECT row_to_json(factum_row)::text FROM ({sql}\n) AS factum_row"
    );
    session.execute(what, &declare, &[]).await?;
    let mut asked = Asked {
        columns,
        ..Asked::default()
    };
    loop {
        let fetch = format!("FETCH {FETCH_ROWS} FROM factum_query");
        let fetched = session.query(what, &fetch, &[]).await?;
        let last = fetched.is_empty();
        for row in &fetched {
            if asked.rows.len() as u64 >= rows {
                asked.cut = true;
                return Ok(asked);
            }
            let text: Result<String, _> = row.try_get(0);
            asked
                .rows
                .push(text.map_err(|error| Error::invalid(error.to_string()))?);
        }
        if last {
            return Ok(asked);
        }
    }
}
