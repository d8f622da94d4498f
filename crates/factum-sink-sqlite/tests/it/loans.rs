//! A long log: 262,200 events.

use std::collections::BTreeMap;
use std::sync::Arc;

use factum_projection::{Error, Projector, Rows, Runner, Table};
use factum_sink_sqlite::SqliteSink;
use factum_store::{EventStore, ReadRequest, Source};
use factum_types::RecordedEvent;
use pollster::block_on;

use super::support::{long_log, rows};

/// One row for each application: its last event, and how many it had.
#[derive(Debug, Clone)]
pub(crate) struct Loans;

impl<W: Rows> Projector<W> for Loans {
    fn name(&self) -> &'static str {
        "loans"
    }

    fn source(&self) -> Source {
        Source::All
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let id = ("id", event.stream.as_str().into());
        let last = ("last", event.event_type.as_str().into());
        to.upsert("loans", &[id.clone(), last])?;
        to.increment("loans", &[id], "events", 1)
    }
}

pub(crate) fn table() -> Table {
    Table::new("loans")
        .text("id")
        .text("last")
        .integer("events")
        .key(["id"])
}

#[test]
fn a_long_log_is_folded_as_by_hand() {
    let (store, count) = long_log();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let sink = SqliteSink::open(&path, [table()]).unwrap();
    let mut runner = Runner::new(Arc::clone(&store) as _, sink, Loans);
    let caught_up = block_on(runner.run_until_caught_up()).unwrap();
    assert_eq!(caught_up.applied, u64::try_from(count).unwrap());
    assert_eq!(count, 262_200);

    let mut expected: BTreeMap<String, (String, u32)> = BTreeMap::new();
    let mut events = store.read(ReadRequest::all());
    while let Some(event) = block_on(events.next()) {
        let event = event.unwrap();
        let entry = expected.entry(event.stream.to_string()).or_default();
        entry.0 = event.event_type.to_string();
        entry.1 += 1;
    }
    let expected: Vec<String> = expected
        .into_iter()
        .map(|(id, (last, events))| format!("[Text({id:?}), Text({last:?}), Integer({events})]"))
        .collect();
    let seen = rows(&path, "SELECT id, last, events FROM loans ORDER BY id");
    assert!(seen == expected, "{} rows", seen.len());
}
