//! Orders.

use factum::{Decider, Emit, Env, Event, RecordedEvent, Snapshots};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(lock = LOCK)]
pub enum OrderEvent {
    #[event(name = "OrderPlaced")]
    Placed {
        #[tag]
        customer: String,
        total: u64,
    },
    #[event(name = "OrderConfirmed")]
    Confirmed { by: String },
    #[event(name = "OrderItemAdded")]
    ItemAdded { sku: String, price: u64 },
    #[event(name = "OrderShipped")]
    Shipped { tracking: String },
    #[event(name = "OrderCancelled")]
    Cancelled { reason: String },
}

const LOCK: &str = include_str!("../events.lock");

#[derive(Clone, Debug)]
pub enum OrderCommand {
    Place { customer: String, total: u64 },
    Confirm { by: String },
    AddItem { sku: String, price: u64 },
    Ship { tracking: String },
    Cancel { reason: String },
}

#[derive(Default, Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Status {
    #[default]
    New,
    Placed,
    Confirmed,
    Shipped,
    Cancelled,
}

#[derive(Default, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub status: Status,
    pub total: u64,
}

impl Decider for Order {
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Error = &'static str;

    fn evolve(&mut self, event: &OrderEvent, _: &RecordedEvent) {
        match event {
            OrderEvent::Placed { total, .. } => {
                self.status = Status::Placed;
                self.total = *total;
            }
            OrderEvent::Confirmed { .. } => self.status = Status::Confirmed,
            OrderEvent::ItemAdded { price, .. } => self.total += price,
            OrderEvent::Shipped { .. } => self.status = Status::Shipped,
            OrderEvent::Cancelled { .. } => self.status = Status::Cancelled,
        }
    }

    fn decide(&self, command: OrderCommand, _: &mut Env) -> Result<Emit<OrderEvent>, &'static str> {
        use OrderCommand::*;
        match (self.status, command) {
            (Status::New, Place { customer, total }) => {
                Ok(OrderEvent::Placed { customer, total }.into())
            }
            (Status::Placed, Confirm { by }) => Ok(OrderEvent::Confirmed { by }.into()),
            (Status::Placed, AddItem { sku, price }) => {
                Ok(OrderEvent::ItemAdded { sku, price }.into())
            }
            (Status::Confirmed, Ship { tracking }) => Ok(OrderEvent::Shipped { tracking }.into()),
            (Status::Placed | Status::Confirmed, Cancel { reason }) => {
                Ok(OrderEvent::Cancelled { reason }.into())
            }
            (Status::Cancelled, Cancel { .. }) => Ok(Emit::none()),
            (Status::Shipped, _) => Err("the order is on its way"),
            _ => Err("not now"),
        }
    }
}

impl Snapshots for Order {
    fn samples() -> Vec<OrderEvent> {
        vec![
            OrderEvent::Placed {
                customer: "ann".into(),
                total: 20,
            },
            OrderEvent::ItemAdded {
                sku: "pen".into(),
                price: 3,
            },
            OrderEvent::Confirmed { by: "bob".into() },
            OrderEvent::Shipped {
                tracking: "T1".into(),
            },
            OrderEvent::Cancelled {
                reason: "lost".into(),
            },
        ]
    }
}
