//! The order from outside.

#[cfg(test)]
mod order;
