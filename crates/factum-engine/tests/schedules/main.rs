//! The engine's threads under a schedule explorer; needs the feature `unstable-shuttle`.
#[cfg(test)]
mod writers;
