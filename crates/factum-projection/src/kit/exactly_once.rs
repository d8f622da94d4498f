//! Every call fails once, and the read model must come out the same.
//!
//! Relies on: a way to open the sink again. Never: takes a failure that was not noticed.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use factum_framework::Retry;
use factum_store::EventStore;

use super::faulty::{Fault, Faulty, Plan};
use crate::projector::Projector;
use crate::runner::Runner;
use crate::sink::Sink;

/// Folds what the store has, with a failure at every call to the sink and to the projector in turn, of every kind, and once with none;
/// says how many runs that were.
///
/// `open` opens the sink of a run, again after the runner was killed; `read` reads its read model. Runs must not share one.
///
/// # Panics
/// A read model is another than without failures, or a failure was not noticed.
pub async fn check_exactly_once<S, P, T>(
    store: Arc<dyn EventStore>,
    projector: P,
    batch_events: usize,
    open: impl AsyncFn(u64) -> S,
    read: impl AsyncFn(u64) -> T,
) -> u64
where
    S: Sink,
    P: Projector<S::Writer> + Clone,
    T: PartialEq + Debug,
{
    let start = async |run: u64, plan: &Plan| {
        let sink = Faulty::new(open(run).await, plan.clone());
        let projector = Faulty::new(projector.clone(), plan.clone());
        let mut backoff = Retry::jittered(u32::MAX);
        backoff.delay_max = Duration::from_millis(1);
        let runner = Runner::new(Arc::clone(&store), sink, projector).backoff(backoff);
        runner.batch_events(batch_events)
    };
    let calm = Plan::new(u64::MAX, Fault::DownBefore);
    if let Err(error) = start(0, &calm).await.run_until_caught_up().await {
        panic!("without a failure: {error}");
    }
    let expected = read(0).await;
    let mut run = 0;
    for at in 0..calm.calls() {
        for fault in [
            Fault::KilledBefore,
            Fault::KilledAfter,
            Fault::DownBefore,
            Fault::DownAfter,
        ] {
            run += 1;
            let plan = Plan::new(at, fault);
            let killed = start(run, &plan).await.run_until_caught_up().await;
            let kills = matches!(fault, Fault::KilledBefore | Fault::KilledAfter);
            assert_eq!(killed.is_err(), kills, "{fault:?} at call {at}: {killed:?}");
            if killed.is_err() {
                let again = Plan::new(u64::MAX, fault);
                if let Err(error) = start(run, &again).await.run_until_caught_up().await {
                    panic!("after {fault:?} at call {at}: {error}");
                }
            }
            assert_eq!(read(run).await, expected, "after {fault:?} at call {at}");
        }
    }
    run + 1
}
