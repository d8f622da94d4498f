//! A chain that leads from version 1 to version 3.
use factum_framework::{Event, UpcastFrom};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "OrderShipped", version = 1)]
struct ShippedV1 {}

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "OrderShipped", version = 3, upcast_from = ShippedV1)]
struct Shipped {
    carrier: String,
}

impl UpcastFrom<ShippedV1> for Shipped {
    fn upcast(_: ShippedV1) -> Self {
        Self { carrier: String::new() }
    }
}

fn main() {}
