//! An event without a stored name.
use factum_framework::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone)]
struct OrderShipped {}

fn main() {}
