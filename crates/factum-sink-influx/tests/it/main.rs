//! The sink against a real server, started by `cargo xtask services up`.

#[cfg(test)]
mod connecting;
#[cfg(test)]
mod cut;
#[cfg(test)]
mod held;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod points;
#[cfg(test)]
mod support;
