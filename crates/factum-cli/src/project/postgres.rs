//! Questions to a read model in PostgreSQL.
//!
//! Relies on: the sink, which sees to it that nothing is written. Never: waits longer than it may.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use factum_query::{Done, Error, Kind, Limits, Out, Row, Value};
use factum_sink_postgres::{Asked, PostgresSink};

/// How often it is looked whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks, and hands the rows out.
pub(super) fn ask(
    sink: Result<PostgresSink, factum_projection::Error>,
    sql: &str,
    limits: Limits,
    is_stopped: impl Fn() -> bool,
    out: Out<'_>,
) -> Result<Done, Error> {
    let mut sink = sink.map_err(|error| said(&error))?;
    let asked = until_stopped(sink.ask(sql, limits.rows, limits.time), is_stopped)?;
    let Asked { columns, rows, cut } = asked.map_err(|error| said(&error))?;
    let mut done = Done {
        columns,
        rows: 0,
        cut,
        events: 0,
    };
    for row in rows {
        let read = serde_json::from_str::<Value>(&row);
        let row = read.map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        let value = |name: &String| row.get(name).cloned().unwrap_or_default();
        let values: Vec<Value> = done.columns.iter().map(value).collect();
        out(Row {
            columns: &done.columns,
            values: &values,
        })?;
        done.rows += 1;
    }
    Ok(done)
}

/// Waits for an answer, and looks now and then whether to stop.
fn until_stopped<T>(
    answer: impl Future<Output = T>,
    is_stopped: impl Fn() -> bool,
) -> Result<T, Error> {
    let mut answer = pin!(answer);
    let mut context = Context::from_waker(Waker::noop());
    let timer = factum_framework::World::real().timer;
    loop {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
            return Ok(answer);
        }
        if is_stopped() {
            return Err(Error::new(Kind::Stopped, "the query was stopped"));
        }
        pollster::block_on(timer.wait(LOOK_EVERY));
    }
}

fn said(error: &factum_projection::Error) -> Error {
    let text = error.to_string();
    let kind = match error.kind() {
        _ if text.contains("57014") => Kind::Limit,
        _ if text.contains("25006") => Kind::Refused,
        factum_projection::Kind::Unavailable => Kind::Unavailable,
        _ => Kind::Invalid,
    };
    Error::new(kind, text).because(error.clone())
}
