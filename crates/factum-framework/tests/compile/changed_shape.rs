//! A shape that is not what the lock file has, and an event that it does not have.
use factum_framework::Event;
use serde::{Deserialize, Serialize};

const LOCK: &str = "OrderPlaced v1 { total: u64 }";

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(lock = LOCK)]
enum Order {
    #[event(name = "OrderPlaced")]
    Placed { total: String },
    #[event(name = "OrderShipped")]
    Shipped,
}

fn main() {}
