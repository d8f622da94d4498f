//! The sink against a real server, started by `cargo xtask services up`.

mod alike;
mod cut;
mod killed;
mod refused;
mod support;
