//! The layers: each a kind of campaign, by seed.
//!
//! A layer is a function from a case's number to what it found. Cases are independent, so that they run on as many threads as there are
//! and any of them can be run again alone.
//! Relies on: a case depends on its number only. Never: stops at a failure of another case.

pub mod actor;
pub mod chain;
pub mod crash;
pub mod exhaustive;
pub mod fault;
pub mod lying;
pub mod process;
pub mod random;
pub mod rot;
pub mod scripts;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::violation::{Checked, Violation};

/// A layer that cases of can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Small scripts, every crash state.
    Exhaustive,
    /// Long runs with crashes, kills and faults.
    Random,
    /// Damage to stored bytes.
    Rot,
    /// Every kind of error at every call.
    Fault,
    /// Crashes during recoveries from crashes.
    Chain,
    /// A disk that says it has synced.
    Lying,
}

/// All layers, in the order in which they are run.
pub const LAYERS: [Layer; 6] = [
    Layer::Exhaustive,
    Layer::Random,
    Layer::Rot,
    Layer::Fault,
    Layer::Chain,
    Layer::Lying,
];

impl Layer {
    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exhaustive => "exhaustive",
            Self::Random => "random",
            Self::Rot => "rot",
            Self::Fault => "fault",
            Self::Chain => "chain",
            Self::Lying => "lying",
        }
    }

    /// The layer of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        LAYERS.into_iter().find(|layer| layer.name() == name)
    }

    /// Runs one case; gives how many states were checked.
    ///
    /// # Errors
    /// The broken promise.
    pub fn case(self, seed: u64) -> Checked<u64> {
        match self {
            Self::Exhaustive => exhaustive::case(seed),
            Self::Random => random::case(seed),
            Self::Rot => rot::case(seed),
            Self::Fault => fault::case(seed),
            Self::Chain => chain::case(seed),
            Self::Lying => lying::case(seed),
        }
    }

    /// How many cases run for each change.
    #[must_use]
    pub const fn ci_cases(self) -> u64 {
        match self {
            Self::Exhaustive => exhaustive::CASES,
            Self::Random => 2_000,
            Self::Rot => 600,
            Self::Fault => fault::CASES,
            Self::Chain => 500,
            Self::Lying => 200,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A case that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The layer.
    pub layer: Layer,
    /// The case.
    pub seed: u64,
    /// What was found.
    pub violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            layer,
            seed,
            violation,
        } = self;
        write!(
            f,
            "{layer} seed {seed}: {violation}\n  replay: cargo run --profile sim -p factum-sim -- replay --layer {layer} --seed {seed}"
        )
    }
}

/// What a campaign of one layer came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Cases run.
    pub cases: u64,
    /// States checked in them.
    pub states: u64,
    /// The first failures, by seed.
    pub failures: Vec<Failure>,
    /// How many failed in all.
    pub failed: u64,
}

/// Runs one case; a panic is a broken promise too.
///
/// # Errors
/// The broken promise.
pub fn run_case(layer: Layer, seed: u64) -> Checked<u64> {
    catch_unwind(AssertUnwindSafe(|| layer.case(seed))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Violation::new(format!(
            "the engine stopped: {}",
            text.unwrap_or_default()
        )))
    })
}

/// Runs cases on two threads; with `first_only`, stops soon after one fails.
#[must_use]
pub fn campaign(layer: Layer, seeds: std::ops::Range<u64>, first_only: bool) -> Summary {
    const FAILURES_MAX: usize = 20;
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    let mutant = factum_engine::mutant::selected();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                factum_engine::mutant::select(mutant);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run_case(layer, seed);
                    let Ok(mut summary) = summary.lock() else {
                        return;
                    };
                    summary.cases += 1;
                    match outcome {
                        Ok(states) => summary.states += states,
                        Err(violation) => {
                            summary.failed += 1;
                            if first_only {
                                stop.store(true, Ordering::Relaxed);
                            }
                            if summary.failures.len() < FAILURES_MAX {
                                summary.failures.push(Failure {
                                    layer,
                                    seed,
                                    violation,
                                });
                            }
                        }
                    }
                }
            });
        }
    });
    let mut summary = summary.into_inner().unwrap_or_default();
    summary.failures.sort_by_key(|failure| failure.seed);
    summary
}
