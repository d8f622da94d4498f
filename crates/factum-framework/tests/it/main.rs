//! The framework from outside.

#[cfg(test)]
mod account;
#[cfg(test)]
mod again;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod deciding;
#[cfg(test)]
mod events;
#[cfg(feature = "files")]
#[cfg(test)]
mod folding;
#[cfg(test)]
mod hooked;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod loading_all;
#[cfg(test)]
mod personal;
#[cfg(test)]
mod processing;
#[cfg(test)]
mod reacting;
#[cfg(test)]
mod remembering;
#[cfg(test)]
mod running;
#[cfg(test)]
mod sharing;
#[cfg(feature = "files")]
#[cfg(test)]
mod steps;
#[cfg(test)]
mod stopping;
#[cfg(feature = "files")]
#[cfg(test)]
mod transforming;
#[cfg(test)]
mod travel;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod weak;
