//! Versions 1 and 3 have variants of their own, and nothing says what becomes of version 2.
use factum_framework::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone)]
enum Order {
    #[event(name = "OrderShipped", version = 1)]
    ShippedV1 {},
    #[event(name = "OrderShipped", version = 3)]
    Shipped { carrier: String },
}

fn main() {}
