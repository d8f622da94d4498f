//! `factum bench`: measures the store on this machine.

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {}

/// Measures and prints.
pub(crate) fn run(_args: &BenchArgs, _context: &mut Context) -> Outcome {
    Err(Failure::error("bench is not part of this build"))
}
