//! The tests of the PostgreSQL sink, on real servers: `cargo xtask services up`.

#[cfg(test)]
mod connecting;
#[cfg(test)]
mod generations;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod support;
