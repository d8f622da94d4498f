//! What the read models should say: a fold of the whole log.

use std::collections::BTreeMap;
use std::sync::Arc;

use factum::store::ReadRequest;
use factum::{Engine, Event, EventStore};
use factum_example_order::OrderEvent;

use crate::servers::Fault;

/// An order, as it follows from its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    /// Who ordered.
    pub(crate) customer: String,
    /// `placed`, `confirmed`, `shipped` or `cancelled`.
    pub(crate) status: &'static str,
    /// How many items.
    pub(crate) items: i64,
    /// What they cost.
    pub(crate) total: i64,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// By stream.
    pub(crate) orders: BTreeMap<String, Truth>,
    /// How many events there are.
    pub(crate) events: i64,
}

impl Log {
    /// Reads and folds it.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn fold(store: &Arc<Engine>) -> Result<Self, Fault> {
        let mut log = Self::default();
        for event in pollster::block_on(store.read(ReadRequest::all()).collect())? {
            let data =
                OrderEvent::decode(event.event_type.as_str(), event.schema_version, &event.data)?;
            log.events += 1;
            let order = log.orders.entry(event.stream.to_string()).or_default();
            match data {
                OrderEvent::Placed { customer, items } => {
                    (order.customer, order.status) = (customer, "placed");
                    order.items = i64::try_from(items.len())?;
                    order.total = i64::try_from(items.iter().map(|item| item.price).sum::<u64>())?;
                }
                OrderEvent::Confirmed { .. } => order.status = "confirmed",
                OrderEvent::ItemAdded { item } => {
                    order.items += 1;
                    order.total += i64::try_from(item.price)?;
                }
                OrderEvent::Shipped { .. } => order.status = "shipped",
                OrderEvent::Cancelled { .. } => order.status = "cancelled",
            }
        }
        Ok(log)
    }

    /// What all orders cost.
    #[must_use]
    pub(crate) fn total(&self) -> i64 {
        self.orders.values().map(|order| order.total).sum()
    }

    /// How many orders are in each status.
    #[must_use]
    pub(crate) fn by_status(&self) -> BTreeMap<String, i64> {
        count(self.orders.values().map(|order| order.status.to_owned()))
    }

    /// How many orders each customer has.
    #[must_use]
    pub(crate) fn by_customer(&self) -> BTreeMap<String, i64> {
        count(self.orders.values().map(|order| order.customer.clone()))
    }
}

fn count(names: impl Iterator<Item = String>) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}
