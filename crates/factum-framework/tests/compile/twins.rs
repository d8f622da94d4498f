//! Two variants for one name and version, and a version that is handled and brought up at once.
use factum_framework::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone)]
enum Twins {
    #[event(name = "OrderShipped")]
    Shipped {},
    #[event(name = "OrderShipped")]
    Sent {},
}

#[derive(Event, Serialize, Deserialize, Clone)]
enum Both {
    #[event(name = "OrderShipped")]
    ShippedV1 {},
    #[event(name = "OrderShipped", version = 2, raw)]
    Shipped {},
}

fn main() {}
