//! An order: placed, confirmed, items added, shipped, cancelled. Its events and rules are in `order`, what may be asked of it in `asked`;
//! `by_hand` has the same events without the derive.

pub mod asked;
pub mod by_hand;
pub mod order;

pub use asked::{Item, OrderCommand, OrderError};
pub use order::{Order, OrderEvent};
