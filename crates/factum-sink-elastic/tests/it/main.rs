//! The sink against a real server, started by `cargo xtask services up`.

#[cfg(test)]
mod alike;
#[cfg(test)]
mod bulk;
#[cfg(test)]
mod cut;
#[cfg(test)]
mod held;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod support;
