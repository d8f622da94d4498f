//! The projector of the design, and what a reader of its table sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_projection::{Error, Projector, Rows, Table};
use factum_store::{AppendBatch, EventStore, MemoryStore, Source};
use factum_types::{
    Category, EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName,
};
use pollster::block_on;

/// Placed inserts, confirmed and shipped update; customers are counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders;

impl<W: Rows> Projector<W> for Orders {
    fn name(&self) -> &'static str {
        "orders"
    }

    fn source(&self) -> Source {
        Source::Category(Category::new("order").unwrap())
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let data: serde_json::Value = serde_json::from_slice(&event.data)
            .map_err(|error| Error::refused(format!("not JSON: {error}")))?;
        let text = |field: &str| data[field].as_str().map(str::to_owned);
        let id = ("id", event.stream.as_str().into());
        match event.event_type.as_str() {
            "Placed" => {
                let customer = text("customer").ok_or_else(|| Error::refused("no customer"))?;
                let row = [
                    id,
                    ("customer", customer.as_str().into()),
                    ("status", "placed".into()),
                    ("items", (&data["items"]).into()),
                ];
                to.insert("orders", &row)?;
                to.increment("customers", &[("id", customer.into())], "orders", 1)
            }
            "Confirmed" => {
                let set = [("status", "confirmed".into()), ("at", event.time.into())];
                to.update("orders", &[id], &set)
            }
            "Shipped" => to.update("orders", &[id], &[("status", "shipped".into())]),
            "Forgotten" => to.delete("orders", &[id]),
            _ => Ok(()),
        }
    }
}

pub(crate) fn tables() -> [Table; 2] {
    [
        Table::new("orders")
            .text("id")
            .text("customer")
            .text("status")
            .time("at")
            .json("items")
            .key(["id"])
            .index(["customer", "status"]),
        Table::new("customers")
            .text("id")
            .integer("orders")
            .key(["id"]),
    ]
}

pub(crate) fn append(store: &dyn EventStore, stream: &str, kind: &str, data: &str) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = u128::from(NEXT.fetch_add(1, Ordering::SeqCst)) << 64 | u128::from(std::process::id());
    let kind = EventType::new(kind).unwrap();
    let event = NewEvent::json(EventId::from_bytes(id.to_be_bytes()), kind, data.to_owned());
    let stream = StreamName::new(stream).unwrap();
    let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
    block_on(store.append(batch)).unwrap();
}

/// One order's events up to a step, from 0 to 3.
pub(crate) fn step(store: &dyn EventStore, order: u64, step: u64) {
    let stream = format!("order-{order}");
    let placed = format!(
        r#"{{"customer":"customer-{}","items":[{order},"it's \"one\""]}}"#,
        order % 7
    );
    match step {
        0 => append(store, &stream, "Placed", &placed),
        1 => append(store, &stream, "Confirmed", "{}"),
        2 => append(store, &stream, "Shipped", "{}"),
        _ => append(store, &stream, "Forgotten", "{}"),
    }
}

/// Some orders, each as far as its number says.
pub(crate) fn orders(count: u64) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    for at in 0..4 {
        for order in (0..count).filter(|order| order % 5 >= at) {
            step(&*store, order, at);
        }
    }
    store
}
