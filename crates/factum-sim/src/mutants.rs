//! The gate: every planted bug must be caught by some layer, within what runs for each change.
//!
//! Relies on: `factum_engine::mutant`. Never: counts a bug as caught because the sound engine fails too; that is checked apart.

use std::time::Duration;

pub use factum_engine::mutant::Mutant;

use crate::layer::{Failure, Layer, campaign};

/// Which layers look for a bug, in this order, and how many cases of each.
const SEARCH: [(Layer, u64); 5] = [
    (Layer::Exhaustive, super::layer::exhaustive::CASES),
    (Layer::Chain, 200),
    (Layer::Random, 1_000),
    (Layer::Rot, 200),
    // Beyond the calls of an opening, so that appends fail too.
    (Layer::Fault, 12_000),
];

/// How a planted bug fared.
#[derive(Debug)]
pub struct Verdict {
    /// The bug.
    pub mutant: Mutant,
    /// What caught it; `None`: it survived.
    pub caught: Option<Failure>,
    /// How long that took.
    pub took: Duration,
}

/// Plants one bug and looks for it.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "how long the search took is only printed"
)]
pub fn hunt(mutant: Mutant) -> Verdict {
    let began = std::time::Instant::now();
    factum_engine::mutant::select(Some(mutant));
    let caught = SEARCH
        .into_iter()
        .find_map(|(layer, cases)| campaign(layer, 0..cases, true).failures.into_iter().next());
    factum_engine::mutant::select(None);
    Verdict {
        mutant,
        caught,
        took: began.elapsed(),
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = format!("{:?}", self.mutant);
        let took = self.took.as_secs_f32();
        match &self.caught {
            None => write!(f, "{name:<24} SURVIVED ({took:.1} s)"),
            Some(failure) => {
                let why: String = failure.violation.to_string().chars().take(90).collect();
                write!(
                    f,
                    "{name:<24} {} seed {} ({took:.1} s): {why}",
                    failure.layer, failure.seed
                )
            }
        }
    }
}
