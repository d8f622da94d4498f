//! Questions to a read model in PostgreSQL.
//!
//! Relies on: the sink, which sees to it that nothing is written. Never: waits longer than it may.

use std::fmt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use factum_query::{Done, Error, Kind, Limits, Out, Row, Value};
use factum_sink_postgres::{Asked, Late, PostgresSink, Writes};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

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
        let read = serde_json::from_str::<Cells>(&row);
        let Cells(values) = read.map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        if values.len() != done.columns.len() {
            let what = "a row has another number of columns than the statement";
            return Err(Error::new(Kind::Invalid, what));
        }
        out(Row {
            columns: &done.columns,
            values: &values,
        })?;
        done.rows += 1;
    }
    Ok(done)
}

/// The values of a JSON object in their order; two members may have one name, as two columns may.
struct Cells(Vec<Value>);

impl<'de> Deserialize<'de> for Cells {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Cells;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row as an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut row: A) -> Result<Cells, A::Error> {
        let mut cells = Vec::new();
        while let Some((_, value)) = row.next_entry::<IgnoredAny, Value>()? {
            cells.push(value);
        }
        Ok(Cells(cells))
    }
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
    let kind = match error.kind() {
        _ if error.cause::<Late>().is_some() => Kind::Limit,
        _ if error.cause::<Writes>().is_some() => Kind::Refused,
        factum_projection::Kind::Unavailable => Kind::Unavailable,
        factum_projection::Kind::Denied => Kind::Denied,
        _ => Kind::Invalid,
    };
    Error::new(kind, error.to_string()).because(error.clone())
}

#[cfg(test)]
mod tests {
    use super::{Cells, Late, said};
    use factum_query::Kind;

    #[test]
    fn columns_of_one_name_are_two() {
        let Cells(cells) = serde_json::from_str(r#"{"a":1,"b":null,"a":"x"}"#).unwrap();
        assert_eq!(serde_json::json!(cells), serde_json::json!([1, null, "x"]));
    }

    #[test]
    fn what_took_too_long_is_known_by_its_cause_and_not_by_its_words() {
        let text = "no table (SQLSTATE 57014)";
        let error = factum_projection::Error::invalid(text);
        assert_eq!(said(&error).kind(), Kind::Invalid);
        let late = error.because(Late::default());
        assert_eq!(said(&late).kind(), Kind::Limit);
        let late = factum_projection::Error::invalid(text).because(late);
        assert_eq!(said(&late).kind(), Kind::Limit);
    }
}
