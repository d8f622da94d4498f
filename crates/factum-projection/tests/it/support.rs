//! A log of orders, and its projector.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use factum_framework::Stop;
use factum_projection::{Error, MemorySink, Projector, Rows, Table, Value};
use factum_store::{AppendBatch, EventStore, MemoryStore, Source};
use factum_types::{
    Category, EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName,
};

/// Orders by stream, and how many events there were of each type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders {
    /// Whether the broken event can be applied by now.
    pub(crate) fixed: Arc<AtomicBool>,
    /// Stopped by every event.
    pub(crate) stop: Option<Stop>,
}

impl<W: Rows> Projector<W> for Orders {
    fn name(&self) -> &'static str {
        "orders"
    }

    fn source(&self) -> Source {
        Source::Category(Category::new("order").unwrap())
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        if let Some(stop) = &self.stop {
            stop.stop();
        }
        let id = [("id", event.stream.as_str().into())];
        let status = |status: &str| [("status", Value::from(status))];
        match event.event_type.as_str() {
            "Placed" => to.insert("orders", &[id[0].clone(), status("placed")[0].clone()])?,
            "Confirmed" => to.update("orders", &id, &status("confirmed"))?,
            "Broken" if !self.fixed.load(Ordering::SeqCst) => {
                return Err(Error::refused("broken is not understood"));
            }
            _ => (),
        }
        let kind = [("type", event.event_type.as_str().into())];
        to.increment("counts", &kind, "events", 1)
    }
}

pub(crate) fn sink() -> MemorySink {
    MemorySink::new([
        Table::new("orders").text("id").text("status").key(["id"]),
        Table::new("counts")
            .text("type")
            .integer("events")
            .key(["type"]),
    ])
    .unwrap()
}

pub(crate) fn append(store: &MemoryStore, stream: &str, types: &[&str]) {
    let events = types
        .iter()
        .map(|name| {
            let id = EventId::from_bytes(next_id().to_be_bytes());
            NewEvent::json(id, EventType::new(name).unwrap(), "{}")
        })
        .collect();
    let stream = StreamName::new(stream).unwrap();
    let batch = AppendBatch::events(stream, ExpectedRevision::Any, events);
    pollster::block_on(store.append(batch)).unwrap();
}

fn next_id() -> u128 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::SeqCst).into()
}

/// What the read model says of an order.
pub(crate) fn status(sink: &MemorySink, id: &str) -> Option<String> {
    let row = sink
        .rows("orders")
        .into_iter()
        .find(|row| row["id"] == id.into())?;
    match &row["status"] {
        Value::Text(text) => Some(text.clone()),
        other => panic!("{other:?}"),
    }
}
