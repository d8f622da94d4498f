//! The sink against a real server, started by `cargo xtask services up`.

mod connecting;
mod cut;
mod killed;
mod points;
mod support;
