//! Running cases: one on a fresh store under watch, or all of them.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use crate::check::{Outcome, Stop, fail};
use crate::wait::block_on;
use crate::{Case, Factory, Trial, suite};

/// How many times the patience for one answer a whole case may take.
const CASE_PATIENCE_FACTOR: u32 = 6;

/// How every case ended.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The names of those that passed.
    pub passed: Vec<&'static str>,
    /// Those that could not be tried, and why.
    pub skipped: Vec<(&'static str, String)>,
    /// Those that failed, and how.
    pub failed: Vec<(&'static str, String)>,
}

impl Report {
    /// Whether something was tried and nothing failed. Skipped cases do not count; look at them.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.failed.is_empty() && !self.passed.is_empty()
    }

    fn add(&mut self, name: &'static str, outcome: Outcome) {
        match outcome {
            Ok(()) => self.passed.push(name),
            Err(Stop::Skipped(why)) => self.skipped.push((name, why)),
            Err(Stop::Failed(why)) => self.failed.push((name, why)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, why) in &self.failed {
            writeln!(f, "FAILED  {name}: {why}")?;
        }
        for (name, why) in &self.skipped {
            writeln!(f, "SKIPPED {name}: {why}")?;
        }
        let (passed, failed, skipped) = (self.passed.len(), self.failed.len(), self.skipped.len());
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Runs the whole suite, so many cases at once, each on a store of its own.
pub fn run_all(factory: &Arc<dyn Factory>, threads: usize) -> Report {
    run_named(factory, "", threads)
}

/// Runs the cases whose names contain `part`, so many at once, each on a store of its own. Cases are reported by name.
pub fn run_named(factory: &Arc<dyn Factory>, part: &str, threads: usize) -> Report {
    let cases = suite().into_iter().filter(|case| case.name.contains(part));
    let waiting: Mutex<VecDeque<Case>> = Mutex::new(cases.collect());
    let report = Mutex::new(Report::default());
    let work = || {
        loop {
            let case = waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(case) = case else { break };
            let outcome = run_case(factory, case);
            report
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(case.name, outcome);
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.passed.sort_unstable();
    report.skipped.sort_unstable();
    report.failed.sort_unstable();
    report
}

/// Runs one case on a fresh store.
///
/// # Errors
/// [`Stop::Failed`] says what is wrong and with which seed, a case that hangs or panics included; [`Stop::Skipped`] what is missing.
#[expect(
    clippy::disallowed_methods,
    reason = "a test kit brings its own threads; a store decides nothing by them"
)]
pub fn run_case(factory: &Arc<dyn Factory>, case: Case) -> Outcome {
    let knobs = factory.knobs();
    let (patience, seed) = (knobs.patience * CASE_PATIENCE_FACTOR, knobs.seed);
    let (done, outcome) = mpsc::channel();
    let factory = Arc::clone(factory);
    // A thread of its own, so that a store that blocks inside a poll fails the case; that thread is then left behind.
    let spawned = thread::Builder::new()
        .name(case.name.to_owned())
        .spawn(move || {
            let outcome = match block_on(knobs.patience, factory.make()) {
                Some(store) => {
                    let trial = Trial::new(store, knobs);
                    let run = std::panic::AssertUnwindSafe(|| (case.run)(&trial));
                    std::panic::catch_unwind(run)
                        .unwrap_or_else(|panic| fail(format!("panicked: {}", message(&*panic))))
                }
                None => fail("the factory did not make a store in time"),
            };
            // Nobody listens any more when the watch has given up.
            drop(done.send(outcome));
        });
    if let Err(error) = spawned {
        return fail(format!("no thread for the case: {error}"));
    }
    let outcome = outcome
        .recv_timeout(patience)
        .unwrap_or_else(|_| fail(format!("hangs: no end after {patience:?}")));
    outcome.map_err(|stop| stop.at(format!("seed {seed:#x}")))
}

/// Runs the case of this name; what [`conformance_tests!`](crate::conformance_tests) calls. A skipped case is said on standard error, past
/// the capture of the test harness.
///
/// # Panics
/// When the case fails, or there is none of this name.
pub fn assert_case(factory: &Arc<dyn Factory>, name: &str) {
    let case = suite().into_iter().find(|case| case.name == name);
    match run_case(
        factory,
        case.expect("the tests are made from the same table"),
    ) {
        Ok(()) => {}
        Err(stop @ Stop::Skipped(_)) => {
            // If standard error is closed there is nobody to tell.
            drop(writeln!(std::io::stderr().lock(), "{name} {stop}"));
        }
        Err(stop) => fail_test(name, &stop),
    }
}

#[expect(clippy::panic, reason = "how a test fails")]
fn fail_test(name: &str, stop: &Stop) -> ! {
    panic!("{name} {stop}")
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
        .to_owned()
}
