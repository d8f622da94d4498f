//! The events of an order, and what may be done with it when.

#![expect(missing_docs, reason = "the names say it")]

use factum::{Decider, Emit, Env, Event, RecordedEvent, Snapshots};
use serde::{Deserialize, Serialize};

use crate::asked::{Item, OrderCommand, OrderError};

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(lock = LOCK)]
pub enum OrderEvent {
    #[event(name = "OrderPlaced")]
    Placed {
        #[tag]
        customer: String,
        items: Vec<Item>,
    },
    #[event(name = "OrderConfirmed")]
    Confirmed { by: String },
    #[event(name = "OrderItemAdded")]
    ItemAdded { item: Item },
    #[event(name = "OrderShipped")]
    Shipped { tracking: String },
    #[event(name = "OrderCancelled")]
    Cancelled { reason: String },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    #[default]
    New,
    Placed,
    Confirmed,
    Shipped,
    Cancelled,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub status: Status,
    pub total: u64,
}

impl Decider for Order {
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Error = OrderError;

    fn evolve(&mut self, event: &OrderEvent, _: &RecordedEvent) {
        match event {
            OrderEvent::Placed { items, .. } => {
                self.status = Status::Placed;
                self.total = items.iter().map(|item| item.price).sum();
            }
            OrderEvent::Confirmed { .. } => self.status = Status::Confirmed,
            OrderEvent::ItemAdded { item } => self.total += item.price,
            OrderEvent::Shipped { .. } => self.status = Status::Shipped,
            OrderEvent::Cancelled { .. } => self.status = Status::Cancelled,
        }
    }

    fn decide(&self, command: OrderCommand, _: &mut Env) -> Result<Emit<OrderEvent>, OrderError> {
        use OrderCommand::{AddItem, Cancel, Confirm, Place, Ship};
        Ok(match (self.status, command) {
            (Status::New, Place { items, .. }) if items.is_empty() => {
                return Err(OrderError::Empty);
            }
            (Status::New, Place { customer, items }) => {
                OrderEvent::Placed { customer, items }.into()
            }
            (Status::Placed, Confirm { by }) => OrderEvent::Confirmed { by }.into(),
            (Status::Placed, AddItem(item)) => OrderEvent::ItemAdded { item }.into(),
            (Status::Confirmed, Ship { tracking }) => OrderEvent::Shipped { tracking }.into(),
            (Status::Placed | Status::Confirmed, Cancel { reason }) => {
                OrderEvent::Cancelled { reason }.into()
            }
            (Status::Cancelled, Cancel { .. }) => Emit::none(),
            (status, _) => return Err(OrderError::Not(status)),
        })
    }
}

/// Which shapes are stored; a build with another shape fails, and says what to write.
const LOCK: &str = include_str!("../events.lock");

impl Snapshots for Order {
    fn samples() -> Vec<OrderEvent> {
        let item = Item {
            sku: "book".into(),
            price: 20,
        };
        vec![
            OrderEvent::Placed {
                customer: "ann".into(),
                items: vec![item.clone()],
            },
            OrderEvent::ItemAdded { item },
            OrderEvent::Confirmed { by: "bob".into() },
            OrderEvent::Shipped {
                tracking: "T1".into(),
            },
            OrderEvent::Cancelled {
                reason: "changed mind".into(),
            },
        ]
    }
}
