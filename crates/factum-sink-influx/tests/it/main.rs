//! The sink against a real server, started by `cargo xtask services up`.

mod connecting;
mod killed;
mod points;
mod support;
