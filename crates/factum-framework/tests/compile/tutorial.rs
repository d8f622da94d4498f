//! What docs/tutorial.md runs into: a field is added, and the version is not raised.
use factum_framework::Event;
use serde::{Deserialize, Serialize};

const LOCK: &str = "OrderPlaced v1 { customer: String, total: u64 }";

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(lock = LOCK)]
pub enum OrderEvent {
    #[event(name = "OrderPlaced")]
    Placed {
        #[tag]
        customer: String,
        total: u64,
        currency: String,
    },
}

fn main() {}
