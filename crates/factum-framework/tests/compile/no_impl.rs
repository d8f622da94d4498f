//! A chain whose step is named but not written.
use factum_framework::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "OrderShipped", version = 1)]
struct ShippedV1 {}

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "OrderShipped", version = 2, upcast_from = ShippedV1)]
struct Shipped {
    carrier: String,
}

fn main() {}
