//! Two of the events again, without the derive: the same names, versions, tags and bytes.

use factum::framework::codec;
use factum::{Error, Event, EventKind, Tag};
use serde::{Deserialize, Serialize};

use crate::Item;

/// What may happen to an order.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderEvent {
    /// It was placed.
    Placed(Placed),
    /// It was shipped.
    Shipped(Shipped),
}

/// An order was placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// By whom.
    pub customer: String,
    /// What was ordered.
    pub items: Vec<Item>,
}

/// An order was shipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shipped {
    /// How the parcel is found.
    pub tracking: String,
}

impl Event for OrderEvent {
    const KINDS: &'static [EventKind] = &[
        EventKind::new("OrderPlaced", 1, "{ customer: String, items: Vec<Item> }"),
        EventKind::new("OrderShipped", 1, "{ tracking: String }"),
    ];

    fn kind(&self) -> &'static EventKind {
        match self {
            Self::Placed(_) => &Self::KINDS[0],
            Self::Shipped(_) => &Self::KINDS[1],
        }
    }

    fn tags(&self) -> Result<Vec<Tag>, Error> {
        match self {
            Self::Placed(placed) => Ok(vec![codec::tag("customer", &placed.customer)?]),
            Self::Shipped(_) => Ok(Vec::new()),
        }
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Placed(placed) => codec::encode(placed),
            Self::Shipped(shipped) => codec::encode(shipped),
        }
    }

    fn decode(name: &str, version: u32, data: &[u8]) -> Result<Self, Error> {
        match (name, version) {
            ("OrderPlaced", 1) => codec::decode(name, version, data).map(Self::Placed),
            ("OrderShipped", 1) => codec::decode(name, version, data).map(Self::Shipped),
            ("OrderPlaced" | "OrderShipped", _) => Err(Error::unknown_version(name, version, 1)),
            _ => Err(Error::unknown_event(name, Self::KINDS)),
        }
    }
}
