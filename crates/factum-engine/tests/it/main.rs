//! The engine's integration tests.
#[cfg(test)]
mod ahead;
#[cfg(test)]
mod basics;
#[cfg(test)]
mod checkpoints;
#[cfg(test)]
mod closing;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod indexes;
#[cfg(test)]
mod last;
#[cfg(test)]
mod lost_tail;
#[cfg(test)]
mod paused;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod supply;
#[cfg(test)]
mod support;
#[cfg(test)]
mod times;
#[cfg(test)]
mod troubled;
#[cfg(test)]
mod unlucky;
#[cfg(test)]
mod vouched;
