//! What factum-format promises to files already written, and to anybody who hands it bytes.

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod mutations;
