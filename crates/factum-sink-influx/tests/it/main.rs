//! The sink against a real server, started by `cargo xtask services up`.

mod points;
mod support;
