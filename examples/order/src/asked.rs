//! What may be asked of an order, and why it is refused.

#![expect(missing_docs, reason = "the names say it")]

use serde::{Deserialize, Serialize};

use crate::order::Status;

#[derive(Clone, Debug)]
pub enum OrderCommand {
    Place { customer: String, items: Vec<Item> },
    Confirm { by: String },
    AddItem(Item),
    Ship { tracking: String },
    Cancel { reason: String },
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OrderError {
    #[error("an order needs an item")]
    Empty,
    #[error("not possible for an order that is {0:?}")]
    Not(Status),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub sku: String,
    pub price: u64,
}
