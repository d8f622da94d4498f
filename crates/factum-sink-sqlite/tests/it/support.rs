//! Orders and their projector, files, and what readers see.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use factum_projection::{Error, Projector, Rows, Runner, Table};
use factum_sink_sqlite::SqliteSink;
use factum_store::{AppendBatch, EventStore, MemoryStore, Source};
use factum_types::{
    Category, EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName,
};
use loan_applications::log;
use rusqlite::Connection;

/// The projector of the design: placed inserts, confirmed and shipped update.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrderDetails {
    /// Whether an order without a customer can be applied.
    pub(crate) fixed: Arc<AtomicBool>,
}

impl<W: Rows> Projector<W> for OrderDetails {
    fn name(&self) -> &'static str {
        "order_details"
    }

    fn source(&self) -> Source {
        Source::Category(Category::new("order").unwrap())
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let data: serde_json::Value = serde_json::from_slice(&event.data)
            .map_err(|error| Error::refused(format!("not JSON: {error}")))?;
        let text = |field: &str| data[field].as_str().map(str::to_owned);
        let key = [("id", event.stream.as_str().into())];
        match event.event_type.as_str() {
            "OrderPlaced" => {
                let customer = text("customerId").or_else(|| {
                    let fixed = self.fixed.load(Ordering::SeqCst);
                    fixed.then(|| "unknown".to_owned())
                });
                let customer = customer.ok_or_else(|| Error::refused("no customerId"))?;
                let [id] = key;
                let row = [
                    id,
                    ("customer", customer.as_str().into()),
                    ("status", "placed".into()),
                ];
                to.insert("order_details", &row)?;
                let customer = [("id", customer.into())];
                to.increment("customers", &customer, "orders", 1)
            }
            "OrderConfirmed" => {
                let set = [
                    ("status", "confirmed".into()),
                    ("confirmed_at", event.time.into()),
                ];
                to.update("order_details", &key, &set)
            }
            "OrderShipped" => {
                let set = [
                    ("status", "shipped".into()),
                    ("tracking", text("trackingNumber").into()),
                ];
                to.update("order_details", &key, &set)
            }
            "OrderForgotten" => to.delete("order_details", &key),
            _ => Ok(()),
        }
    }
}

pub(crate) fn tables() -> [Table; 2] {
    [
        Table::new("order_details")
            .text("id")
            .text("customer")
            .text("status")
            .time("confirmed_at")
            .text("tracking")
            .key(["id"]),
        Table::new("customers")
            .text("id")
            .integer("orders")
            .key(["id"]),
    ]
}

pub(crate) fn open(path: &Path) -> SqliteSink {
    SqliteSink::open(path, tables()).unwrap()
}

pub(crate) fn runner(
    store: &Arc<MemoryStore>,
    path: &Path,
    orders: &OrderDetails,
) -> Runner<SqliteSink, OrderDetails> {
    Runner::new(Arc::clone(store) as _, open(path), orders.clone())
}

pub(crate) fn append(store: &MemoryStore, stream: &str, kind: &str, data: &str) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = u128::from(NEXT.fetch_add(1, Ordering::SeqCst)).to_be_bytes();
    let kind = EventType::new(kind).unwrap();
    let event = NewEvent::json(EventId::from_bytes(id), kind, data.to_owned());
    let stream = StreamName::new(stream).unwrap();
    let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
    pollster::block_on(store.append(batch)).unwrap();
}

/// Orders of two customers; the third has none.
pub(crate) fn orders(count: usize) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    for order in 0..count {
        let stream = format!("order-{order}");
        let customer = order % 2;
        let placed = format!(r#"{{"customerId":"customer-{customer}"}}"#);
        append(&store, &stream, "OrderPlaced", &placed);
        append(&store, "audit-1", "Looked", "{}");
        append(&store, &stream, "OrderConfirmed", "{}");
        let shipped = r#"{"trackingNumber":"it's 1"}"#;
        append(&store, &stream, "OrderShipped", shipped);
    }
    store
}

/// All rows as text, as a reader of its own sees them.
pub(crate) fn rows(path: &Path, sql: &str) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement
        .query_map([], |row| {
            let cells = (0..columns).map(|column| row.get::<_, rusqlite::types::Value>(column));
            let cells: rusqlite::Result<Vec<_>> = cells.collect();
            Ok(format!("{:?}", cells?))
        })
        .unwrap();
    rows.map(Result::unwrap).collect()
}

pub(crate) fn details(path: &Path) -> Vec<String> {
    let mut all = rows(path, "SELECT * FROM order_details ORDER BY id");
    all.extend(rows(path, "SELECT * FROM customers ORDER BY id"));
    all
}

/// A log with many events: the real one where it lies beside the project, or one as long that is made.
pub(crate) fn long_log() -> (Arc<MemoryStore>, usize) {
    let store = Arc::new(MemoryStore::new());
    let count = pollster::block_on(log::import_long(&*store)).unwrap();
    (store, count)
}
