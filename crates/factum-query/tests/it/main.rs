//! Queries over real stores and files, and what bad ones meet.
#[cfg(test)]
mod over_events;
