//! A short log of orders, and its projector.
//!
//! Relies on: the memory store. Never: has two events of one id.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use factum_store::{AppendBatch, EventStore, MemoryStore, ReadRequest, Source};
use factum_types::{
    Category, EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName,
};

use crate::error::Error;
use crate::projector::Projector;
use crate::rows::Rows;
use crate::table::Table;

/// Orders by stream, and how many events there were of each type; an event of type `Broken` is refused until it is fixed.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    /// Whether broken events can be applied by now.
    pub fixed: Arc<AtomicBool>,
}

impl<W: Rows + ?Sized> Projector<W> for Orders {
    fn name(&self) -> &'static str {
        "kit_orders"
    }

    fn source(&self) -> Source {
        Category::new("order").map_or(Source::All, Source::Category)
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let id = ("id", event.stream.as_str().into());
        match event.event_type.as_str() {
            "Placed" => to.insert("kit_orders", &[id, ("status", "placed".into())])?,
            "Confirmed" => to.update("kit_orders", &[id], &[("status", "confirmed".into())])?,
            "Forgotten" => to.delete("kit_orders", &[id])?,
            "Broken" if !self.fixed.load(Ordering::SeqCst) => {
                return Err(Error::refused("broken is not understood"));
            }
            _ => (),
        }
        let kind = [("type", event.event_type.as_str().into())];
        to.increment("kit_counts", &kind, "events", 1)
    }
}

/// The tables of [`Orders`].
#[must_use]
pub fn orders_tables() -> [Table; 2] {
    [
        Table::new("kit_orders")
            .text("id")
            .text("status")
            .key(["id"])
            .index(["status"]),
        Table::new("kit_counts")
            .text("type")
            .integer("events")
            .key(["type"]),
    ]
}

/// Orders that are placed, confirmed, looked at, forgotten, and one that is broken; among events that the projector is not given.
///
/// # Panics
/// Never: the names are well formed.
pub async fn log() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    for order in 0..4 {
        add(&store, &format!("order-{order}"), "Placed").await;
        add(&store, "other-1", "Placed").await;
        add(&store, &format!("order-{order}"), "Confirmed").await;
    }
    for (order, kind) in [
        ("order-2", "Broken"),
        ("order-2", "Looked"),
        ("order-0", "Forgotten"),
        ("order-0", "Placed"),
    ] {
        add(&store, order, kind).await;
    }
    store
}

pub(super) async fn add(store: &MemoryStore, stream: &str, kind: &str) {
    let number = super::ok(store.head().await.map_err(Error::from));
    let number = number.map_or(1, |head| head.raw() + 2);
    let id = EventId::from_bytes(u128::from(number).to_be_bytes());
    let names = (EventType::new(kind), StreamName::new(stream));
    let (Ok(kind), Ok(stream)) = names else {
        panic!("{names:?}");
    };
    let event = NewEvent::json(id, kind, "{}");
    let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
    super::ok(store.append(batch).await.map_err(Error::from));
}

/// The events of the log.
pub(super) async fn events() -> Vec<RecordedEvent> {
    let mut events = log().await.read(ReadRequest::all());
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push(super::ok(event.map_err(Error::from)));
    }
    all
}
