//! The bank from outside.

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod domain;
#[cfg(test)]
mod dying;
#[cfg(test)]
mod live;
#[cfg(test)]
mod property;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod world;
