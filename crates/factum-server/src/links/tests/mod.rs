//! Virtual streams against a fold over everything, on both stores.

mod counting;
mod damage;
mod following;
mod gone;
mod reading;
mod support;
