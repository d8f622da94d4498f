//! Personal fields about nobody.
use factum_framework::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "OrderPlaced")]
struct NoSubject {
    #[personal]
    address: String,
}

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "OrderPlaced")]
struct NoField {
    #[personal(subject = customer, category = "contact")]
    address: String,
}

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "OrderPlaced")]
struct ItsOwn {
    #[personal(subject = address, category = "contact")]
    address: String,
}

const LOCK: &str = "OrderPlaced v1 { customer: u64, address: String }";

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "OrderPlaced", lock = LOCK)]
struct NotLocked {
    customer: u64,
    #[personal(subject = customer, category = "contact")]
    address: String,
}

fn main() {}
