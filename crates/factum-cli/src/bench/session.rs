//! One run of the benchmark: where it works, how long each measurement lasts, and the rows so far.
//!
//! Every figure is taken between two measurements of its limit, and the better of these counts, so that a disturbance of the limit cannot
//! flatter the figure. With more rounds the best figure counts too.

use std::path::{Path, PathBuf};

use factum_engine::Options;
use factum_io::Env;

use super::machine::Machine;
use super::meter::{Meter, Spent};
use super::place::Place;
use super::row::Row;
use super::stats::{Histogram, ns_of};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;

/// How to measure.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Settings {
    /// Where to put files, for a while [default: beside the data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// How long each measurement lasts
    #[arg(long, global = true, value_name = "N", default_value_t = 3.0)]
    pub(super) seconds: f64,
    /// How often each figure is taken; the best one counts
    #[arg(long, global = true, value_name = "N", default_value_t = 1)]
    pub(super) rounds: u32,
    /// How many bytes of data each event has
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 256)]
    pub(super) payload: usize,
    /// How many events a store is filled with [default: 2000000 to read, 262200 to fold, 10000000 to open]
    #[arg(long, global = true, value_name = "N")]
    pub(super) events: Option<u64>,
    /// The loan applications to fold, as CloudEvents one per line [default: such events are made]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// How large segments are, in bytes [default: that of every store]
    #[arg(long, global = true, value_name = "BYTES")]
    pub(super) segment_bytes: Option<u64>,
    /// Take only figures whose names hold this
    #[arg(long, global = true, value_name = "TEXT")]
    pub(super) only: Option<String>,
    /// Wait up to so many seconds before each measurement until the machine is quiet
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 0.0)]
    pub(super) wait_quiet: f64,
}

impl Settings {
    /// How large segments are.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes.unwrap_or(Options::SEGMENT_BYTES_DEFAULT)
    }

    /// How many events of `bytes` each make an append of 1 MiB, or of what a small segment takes.
    pub(super) fn large_batch(&self, bytes: usize) -> usize {
        const BYTES_MAX: u64 = 1 << 20;
        let room = BYTES_MAX.min(self.segment_bytes() / 4);
        (usize::try_from(room).unwrap_or(usize::MAX) / bytes.max(1)).max(1)
    }
}

/// One run of the benchmark.
#[derive(Debug)]
pub(super) struct Session<'a> {
    /// How to measure.
    pub(super) settings: Settings,
    /// Files, clocks, randomness and threads.
    pub(super) env: Env,
    /// Where files go.
    pub(super) place: Place,
    machine: Machine,
    rows: Vec<Row>,
    interrupt: Interrupt,
    context: &'a mut Context,
}

/// What a measurement gave.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured {
    /// How much, in the row's unit; more is better.
    pub(super) figure: f64,
    /// How many items that was.
    pub(super) items: u64,
    /// How long each was waited for, where that was asked.
    pub(super) times: Histogram,
    /// What it cost.
    pub(super) spent: Spent,
    /// What a reader must know.
    pub(super) note: String,
    /// Which part of the limit each round had: of the better one of those measured right before and right after it.
    pub(super) rounds: Vec<f64>,
}

impl<'a> Session<'a> {
    /// Makes the directory.
    pub(super) fn begin(settings: &Settings, context: &'a mut Context) -> Outcome<Self> {
        check(settings)?;
        let env = context.env.clone();
        let beside = context.data.parent().filter(|parent| parent.is_dir());
        let parent = settings.dir.as_deref().or(beside).unwrap_or(Path::new("."));
        let interrupt = Interrupt::watch(&env)?;
        let place = Place::new(parent, &env)?;
        let machine = Machine::look(place.path(), &env);
        if machine.is_in_memory() {
            context.ui.warn("the files are on a file system in memory: the figures say nothing about a disk; use --dir");
        }
        Ok(Self {
            settings: settings.clone(),
            env,
            place,
            machine,
            rows: Vec::new(),
            interrupt,
            context,
        })
    }

    /// Removes the directory and gives the results.
    pub(super) fn end(self) -> Outcome<(Vec<Row>, Machine)> {
        self.place.end()?;
        Ok((self.rows, self.machine))
    }

    /// Says on standard error what happens.
    pub(super) fn say(&mut self, words: &str) {
        self.context.ui.note(words);
    }

    /// Whether this figure was asked for.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.settings
            .only
            .as_deref()
            .is_none_or(|text| name.contains(text))
    }

    /// Whether Ctrl-C came.
    pub(super) const fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Fails when Ctrl-C came.
    pub(super) fn check(&self) -> Outcome {
        self.interrupt.check()
    }

    /// Keeps a result.
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// How long a measurement lasts.
    pub(super) fn window_ns(&self) -> u64 {
        ns_of(self.settings.seconds).max(1)
    }

    /// Measures the limit, the figure, and the limit again; gives the best limit and the best figure, which knows all rounds.
    pub(super) fn between(
        &mut self,
        name: &str,
        mut limit: impl FnMut(&mut Self) -> Outcome<Measured>,
        mut figure: impl FnMut(&mut Self) -> Outcome<Measured>,
    ) -> Outcome<(Measured, Measured)> {
        self.say(name);
        let mut best_limit = self.once(&mut limit)?;
        let mut best: Option<Measured> = None;
        let mut rounds = Vec::new();
        let mut before = best_limit.figure;
        for _ in 0..self.settings.rounds {
            let found = self.once(&mut figure)?;
            let after = self.once(&mut limit)?;
            rounds.push(found.figure / before.max(after.figure));
            before = after.figure;
            best = Some(better(best, found));
            best_limit = better(Some(best_limit), after);
        }
        let mut best = best.unwrap_or_default();
        best.rounds = rounds;
        Ok((best_limit, best))
    }

    /// Measures one thing, after waiting for quiet.
    pub(super) fn once(
        &mut self,
        measure: &mut dyn FnMut(&mut Self) -> Outcome<Measured>,
    ) -> Outcome<Measured> {
        self.check()?;
        self.await_quiet();
        measure(self)
    }

    /// Waits until others leave the processors alone for half a second, but not for ever.
    fn await_quiet(&self) {
        const QUIET_CORES: f64 = 0.15;
        const LOOK: std::time::Duration = std::time::Duration::from_millis(500);
        let clock = &*self.env.clock;
        let until = clock
            .monotonic_ns()
            .saturating_add(ns_of(self.settings.wait_quiet));
        while clock.monotonic_ns() < until && self.check().is_ok() {
            let meter = Meter::start(clock);
            clock.sleep(LOOK);
            if meter.stop(clock).others < QUIET_CORES {
                return;
            }
        }
    }
}

fn better(known: Option<Measured>, found: Measured) -> Measured {
    match known {
        Some(known) if known.figure >= found.figure => known,
        _ => found,
    }
}

fn check(settings: &Settings) -> Outcome {
    const SECONDS_MAX: f64 = 3_600.0;
    if !(settings.seconds > 0.0 && settings.seconds <= SECONDS_MAX) {
        return Err(Failure::usage(
            "--seconds must be more than 0, and at most 3600",
        ));
    }
    if settings.rounds == 0 || settings.events == Some(0) {
        return Err(Failure::usage("--rounds and --events must be at least 1"));
    }
    // The largest batch measured must fit into one append.
    if settings.payload == 0 || settings.payload > (1 << 20) {
        return Err(Failure::usage(
            "--payload must be at least 1 and at most 1048576",
        ));
    }
    Ok(())
}
