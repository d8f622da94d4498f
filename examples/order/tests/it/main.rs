//! The order from outside.

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod order;
#[cfg(test)]
mod property;
#[cfg(test)]
mod support;
