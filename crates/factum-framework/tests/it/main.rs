//! The framework from outside.

#[cfg(test)]
mod account;
#[cfg(test)]
mod deciding;
#[cfg(test)]
mod events;
#[cfg(test)]
mod processing;
#[cfg(test)]
mod reacting;
#[cfg(test)]
mod remembering;
#[cfg(test)]
mod running;
#[cfg(test)]
mod travel;
