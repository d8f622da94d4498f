//! The tests of the PostgreSQL sink, on real servers: `cargo xtask services up`.

#[cfg(test)]
mod bulk;
#[cfg(test)]
mod connecting;
#[cfg(test)]
mod down;
#[cfg(test)]
mod generations;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod own_server;
#[cfg(test)]
mod rebuild;
#[cfg(test)]
mod support;
