//! A crowd of tasks in a closed loop: each waits for its answer before it asks again, as services do.
//!
//! Relies on: a runtime with two threads. Never: counts what was answered outside the time measured.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use factum_io::Clock;

use super::meter::Meter;
use super::session::{Measured, Session};
use super::stats::{Histogram, per_second};
use crate::failure::{Failure, Outcome};

const THREADS: usize = 2;
/// So long goes by before what is measured, but not more than so many times as long as that: a store that was just made takes memory from the
/// system as it fills its first segments, and only then goes on as it will for hours. On a virtual machine whose host has to find that memory, this
/// alone takes half of the first second.
const WARM_UP_NS_MAX: u64 = 2_000_000_000;
const WARM_UP_TIMES: u64 = 2;

/// One member of the crowd.
pub(super) trait Writer: Send + 'static {
    /// Asks once and waits for the answer; gives how many events that was.
    fn write(&mut self) -> impl Future<Output = Outcome<u64>> + Send;
}

/// When to count, in nanoseconds of the clock.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: u64,
    end: u64,
}

/// Lets all of them write for as long as a measurement lasts; the figure is events per second. The threads are called so that a
/// profiler tells them apart.
pub(super) fn run<W: Writer>(
    session: &Session<'_>,
    threads: &str,
    writers: Vec<W>,
) -> Outcome<Measured> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name(threads)
        .build()
        .map_err(|error| Failure::io("cannot start a runtime", &error))?;
    let clock = &session.env.clock;
    let length = session.window_ns();
    let start = clock.monotonic_ns() + (length * WARM_UP_TIMES).min(WARM_UP_NS_MAX);
    let window = Window {
        start,
        end: start + length,
    };
    let failed = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = writers
        .into_iter()
        .map(|writer| {
            runtime.spawn(write_on(
                writer,
                Arc::clone(clock),
                window,
                Arc::clone(&failed),
            ))
        })
        .collect();
    sleep_until(&**clock, window.start);
    let meter = Meter::start(&**clock);
    sleep_until(&**clock, window.end);
    let spent = meter.stop(&**clock);
    let mut all = Measured {
        spent,
        ..Measured::default()
    };
    for task in tasks {
        let (times, events) = runtime
            .block_on(task)
            .map_err(|_panic| Failure::error("a task of the benchmark panicked"))??;
        all.times.merge(&times);
        all.items += events;
    }
    all.figure = per_second(all.items, length);
    Ok(all)
}

fn sleep_until(clock: &dyn Clock, moment: u64) {
    let left = moment.saturating_sub(clock.monotonic_ns());
    clock.sleep(std::time::Duration::from_nanos(left));
}

async fn write_on<W: Writer>(
    mut writer: W,
    clock: Arc<dyn Clock>,
    window: Window,
    failed: Arc<AtomicBool>,
) -> Outcome<(Histogram, u64)> {
    let mut times = Histogram::default();
    let mut counted = 0;
    let mut before = clock.monotonic_ns();
    while before < window.end && !failed.load(Ordering::Relaxed) {
        let events = writer
            .write()
            .await
            .inspect_err(|_error| failed.store(true, Ordering::Relaxed))?;
        let after = clock.monotonic_ns();
        if (window.start..window.end).contains(&after) {
            times.add(after - before);
            counted += events;
        }
        before = after;
    }
    Ok((times, counted))
}
