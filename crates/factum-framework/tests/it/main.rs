//! The framework from outside.

#[cfg(test)]
mod account;
#[cfg(test)]
mod deciding;
#[cfg(test)]
mod events;
#[cfg(test)]
mod loading_all;
#[cfg(test)]
mod remembering;
#[cfg(test)]
mod running;
#[cfg(test)]
mod travel;
