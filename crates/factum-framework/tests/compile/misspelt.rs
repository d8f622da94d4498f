//! Words that the derive does not know.
use factum_framework::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(title = "OrderPlaced")]
struct Placed {}

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "OrderShipped")]
struct Shipped {
    #[tag(many)]
    parcels: Vec<String>,
}

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "OrderClosed", version = 1, raw)]
struct Closed {}

fn main() {}
