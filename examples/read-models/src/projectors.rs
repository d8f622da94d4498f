//! The four read models: how each event changes them.

use factum::store::Source;
use factum::types::Category;
use factum::{Event, RecordedEvent};
use factum_example_order::{Item, OrderEvent};
use factum_projection::{ColumnType, Error, Points, Projector, Rows, Table, Value};

/// An order as a page shows it; in PostgreSQL. The second version has the total too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrderDetails {
    with_total: bool,
}

/// The orders of each customer; in SQLite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CustomerOrders;

/// What happened when, and for how much; in InfluxDB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Analytics;

/// Orders that can be searched; in OpenSearch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search;

impl OrderDetails {
    /// As it was first thought of.
    #[must_use]
    pub(crate) const fn first() -> Self {
        Self { with_total: false }
    }

    /// As it is after somebody asked what an order costs.
    #[must_use]
    pub(crate) const fn with_total() -> Self {
        Self { with_total: true }
    }

    /// Its table.
    #[must_use]
    pub(crate) fn table(self) -> Table {
        let table = Table::new("order_details")
            .text("id")
            .text("customer")
            .integer("items")
            .text("status")
            .time("confirmed_at")
            .text("tracking");
        let table = if self.with_total {
            table.integer("total")
        } else {
            table
        };
        table.key(["id"])
    }
}

impl CustomerOrders {
    /// Its table.
    #[must_use]
    pub(crate) fn table(self) -> Table {
        Table::new("customer_orders")
            .text("order_id")
            .text("customer")
            .text("status")
            .index(["customer"])
            .key(["order_id"])
    }
}

impl Search {
    /// Its table, which is an index there.
    #[must_use]
    pub(crate) fn table(self) -> Table {
        Table::new("orders")
            .text("id")
            .text("customer")
            .text("status")
            .text("contents")
            .column("lines", ColumnType::Json)
            .key(["id"])
    }
}

/// The event as the domain knows it.
fn read(event: &RecordedEvent) -> Result<OrderEvent, Error> {
    let version = event.schema_version;
    OrderEvent::decode(event.event_type.as_str(), version, &event.data)
        .map_err(|error| Error::refused(error.to_string()))
}

fn orders() -> Source {
    Category::new("order").map_or(Source::All, Source::Category)
}

fn id(event: &RecordedEvent) -> Value {
    event.stream.as_str().into()
}

/// What items cost.
fn price(items: &[Item]) -> i64 {
    let prices = items
        .iter()
        .map(|item| i64::try_from(item.price).unwrap_or(i64::MAX));
    prices.fold(0, i64::saturating_add)
}

impl<W: Rows> Projector<W> for OrderDetails {
    fn name(&self) -> &str {
        "order_details"
    }

    fn version(&self) -> &str {
        if self.with_total { "2" } else { "1" }
    }

    fn source(&self) -> Source {
        orders()
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let table = "order_details";
        let key = [("id", id(event))];
        match read(event)? {
            OrderEvent::Placed { customer, items } => {
                let [id] = key;
                let mut row = vec![
                    id,
                    ("customer", customer.into()),
                    (
                        "items",
                        i64::try_from(items.len()).unwrap_or(i64::MAX).into(),
                    ),
                    ("status", "placed".into()),
                ];
                if self.with_total {
                    row.push(("total", price(&items).into()));
                }
                to.insert(table, &row)
            }
            OrderEvent::Confirmed { .. } => to.update(
                table,
                &key,
                &[
                    ("status", "confirmed".into()),
                    ("confirmed_at", event.time.into()),
                ],
            ),
            OrderEvent::ItemAdded { item } => {
                to.increment(table, &key, "items", 1)?;
                if self.with_total {
                    to.increment(table, &key, "total", price(&[item]))?;
                }
                Ok(())
            }
            OrderEvent::Shipped { tracking } => to.update(
                table,
                &key,
                &[("status", "shipped".into()), ("tracking", tracking.into())],
            ),
            OrderEvent::Cancelled { .. } => {
                to.update(table, &key, &[("status", "cancelled".into())])
            }
        }
    }
}

impl<W: Rows> Projector<W> for CustomerOrders {
    fn name(&self) -> &str {
        "customer_orders"
    }

    fn source(&self) -> Source {
        orders()
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let table = "customer_orders";
        let key = ("order_id", id(event));
        let status = match read(event)? {
            OrderEvent::Placed { customer, .. } => {
                let row = [
                    key,
                    ("customer", customer.into()),
                    ("status", "placed".into()),
                ];
                return to.insert(table, &row);
            }
            OrderEvent::ItemAdded { .. } => return Ok(()),
            OrderEvent::Confirmed { .. } => "confirmed",
            OrderEvent::Shipped { .. } => "shipped",
            OrderEvent::Cancelled { .. } => "cancelled",
        };
        to.update(table, &[key], &[("status", status.into())])
    }
}

impl<W: Points> Projector<W> for Analytics {
    fn name(&self) -> &str {
        "analytics"
    }

    fn source(&self) -> Source {
        orders()
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let worth = match read(event)? {
            OrderEvent::Placed { items, .. } => price(&items),
            OrderEvent::ItemAdded { item } => price(&[item]),
            _ => 0,
        };
        let tags = [("type", event.event_type.as_str())];
        to.point("orders", &tags, &[("worth", worth.into())], None)
    }
}

impl<W: Rows> Projector<W> for Search {
    fn name(&self) -> &str {
        "search"
    }

    fn source(&self) -> Source {
        orders()
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let key = ("id", id(event));
        let status = match read(event)? {
            OrderEvent::Placed { customer, items } => {
                let names: Vec<&str> = items.iter().map(|item| item.sku.as_str()).collect();
                let lines = serde_json::to_value(&items)
                    .map_err(|error| Error::refused(error.to_string()))?;
                let row = [
                    key,
                    ("customer", customer.into()),
                    ("status", "placed".into()),
                    ("contents", names.join(" ").into()),
                    ("lines", (&lines).into()),
                ];
                return to.insert("orders", &row);
            }
            OrderEvent::ItemAdded { .. } => return Ok(()),
            OrderEvent::Confirmed { .. } => "confirmed",
            OrderEvent::Shipped { .. } => "shipped",
            OrderEvent::Cancelled { .. } => "cancelled",
        };
        to.update("orders", &[key], &[("status", status.into())])
    }
}
