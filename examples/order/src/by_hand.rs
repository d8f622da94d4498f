//! The order again, wholly by hand: no macro of Factum, and the same names, versions, tags and bytes.
//!
//! What the derive writes for `order::OrderEvent` is written out here: five structs for the data, and `Event` for the choice between them.
//! The decider needs no macro in either form; it is here so that this file stands alone. Either form reads what the other wrote.

#![expect(missing_docs, reason = "the names say it")]

use factum::framework::codec;
use factum::{Decider, Emit, Env, Error, Event, EventKind, RecordedEvent, Snapshots, Tag};
use serde::{Deserialize, Serialize};

use crate::asked::{Item, OrderCommand, OrderError};
use crate::order::Status;

#[derive(Clone, Debug, PartialEq)]
pub enum OrderEvent {
    Placed(Placed),
    Confirmed(Confirmed),
    ItemAdded(ItemAdded),
    Shipped(Shipped),
    Cancelled(Cancelled),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    pub customer: String,
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confirmed {
    pub by: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemAdded {
    pub item: Item,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shipped {
    pub tracking: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cancelled {
    pub reason: String,
}

impl Event for OrderEvent {
    const KINDS: &'static [EventKind] = &[
        EventKind::new("OrderPlaced", 1, "{ customer: String, items: Vec<Item> }"),
        EventKind::new("OrderConfirmed", 1, "{ by: String }"),
        EventKind::new("OrderItemAdded", 1, "{ item: Item }"),
        EventKind::new("OrderShipped", 1, "{ tracking: String }"),
        EventKind::new("OrderCancelled", 1, "{ reason: String }"),
    ];

    fn kind(&self) -> &'static EventKind {
        match self {
            Self::Placed(_) => &Self::KINDS[0],
            Self::Confirmed(_) => &Self::KINDS[1],
            Self::ItemAdded(_) => &Self::KINDS[2],
            Self::Shipped(_) => &Self::KINDS[3],
            Self::Cancelled(_) => &Self::KINDS[4],
        }
    }

    fn tags(&self) -> Result<Vec<Tag>, Error> {
        match self {
            Self::Placed(placed) => Ok(vec![codec::tag("customer", &placed.customer)?]),
            _ => Ok(Vec::new()),
        }
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Placed(placed) => codec::encode(placed),
            Self::Confirmed(confirmed) => codec::encode(confirmed),
            Self::ItemAdded(added) => codec::encode(added),
            Self::Shipped(shipped) => codec::encode(shipped),
            Self::Cancelled(cancelled) => codec::encode(cancelled),
        }
    }

    fn decode(name: &str, version: u32, data: &[u8]) -> Result<Self, Error> {
        let Some(kind) = Self::KINDS.iter().find(|kind| kind.name == name) else {
            return Err(Error::unknown_event(name, Self::KINDS));
        };
        match (name, version) {
            ("OrderPlaced", 1) => codec::decode(name, version, data).map(Self::Placed),
            ("OrderConfirmed", 1) => codec::decode(name, version, data).map(Self::Confirmed),
            ("OrderItemAdded", 1) => codec::decode(name, version, data).map(Self::ItemAdded),
            ("OrderShipped", 1) => codec::decode(name, version, data).map(Self::Shipped),
            ("OrderCancelled", 1) => codec::decode(name, version, data).map(Self::Cancelled),
            _ => Err(Error::unknown_version(name, version, kind.version)),
        }
    }
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
            OrderEvent::Placed(placed) => {
                self.status = Status::Placed;
                self.total = placed.items.iter().map(|item| item.price).sum();
            }
            OrderEvent::Confirmed(_) => self.status = Status::Confirmed,
            OrderEvent::ItemAdded(added) => self.total += added.item.price,
            OrderEvent::Shipped(_) => self.status = Status::Shipped,
            OrderEvent::Cancelled(_) => self.status = Status::Cancelled,
        }
    }

    fn decide(&self, command: OrderCommand, _: &mut Env) -> Result<Emit<OrderEvent>, OrderError> {
        use OrderCommand::{AddItem, Cancel, Confirm, Place, Ship};
        Ok(match (self.status, command) {
            (Status::New, Place { items, .. }) if items.is_empty() => {
                return Err(OrderError::Empty);
            }
            (Status::New, Place { customer, items }) => {
                OrderEvent::Placed(Placed { customer, items }).into()
            }
            (Status::Placed, Confirm { by }) => OrderEvent::Confirmed(Confirmed { by }).into(),
            (Status::Placed, AddItem(item)) => OrderEvent::ItemAdded(ItemAdded { item }).into(),
            (Status::Confirmed, Ship { tracking }) => {
                OrderEvent::Shipped(Shipped { tracking }).into()
            }
            (Status::Placed | Status::Confirmed, Cancel { reason }) => {
                OrderEvent::Cancelled(Cancelled { reason }).into()
            }
            (Status::Cancelled, Cancel { .. }) => Emit::none(),
            (status, _) => return Err(OrderError::Not(status)),
        })
    }
}

impl Snapshots for Order {
    fn samples() -> Vec<OrderEvent> {
        let (sku, price) = ("book".to_owned(), 20);
        let item = Item { sku, price };
        vec![
            OrderEvent::Placed(Placed {
                customer: "ann".into(),
                items: vec![item.clone()],
            }),
            OrderEvent::ItemAdded(ItemAdded { item }),
            OrderEvent::Confirmed(Confirmed { by: "bob".into() }),
            OrderEvent::Shipped(Shipped {
                tracking: "T1".into(),
            }),
            OrderEvent::Cancelled(Cancelled {
                reason: "changed mind".into(),
            }),
        ]
    }
}
