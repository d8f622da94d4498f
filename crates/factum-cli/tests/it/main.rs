//! The built binary, driven as a person or a script would: answers, exit codes, and what bad input does.

#[cfg(test)]
mod support;

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod in_and_out;
#[cfg(test)]
mod load;
#[cfg(test)]
mod one_writer;
#[cfg(test)]
mod past;
#[cfg(test)]
mod projections;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod silent;
#[cfg(test)]
mod sinks;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod transform;
