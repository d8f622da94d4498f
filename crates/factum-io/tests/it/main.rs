//! What both disks promise, tried through the public API.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod fault;
#[cfg(test)]
mod model;
#[cfg(test)]
mod power;
#[cfg(test)]
mod real;
#[cfg(test)]
mod rot;
#[cfg(test)]
mod same;
#[cfg(test)]
mod support;
