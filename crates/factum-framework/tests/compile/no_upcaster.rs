//! A new version that says nothing about the one before.
use factum_framework::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "OrderShipped", version = 2)]
struct Shipped {
    carrier: String,
}

fn main() {}
