//! Many at once.
//!
//! Relies on: threads of its own, which end before it returns. Never: leaves one behind.

use std::future::Future;
use std::sync::Barrier;

use crate::world::run_here;

/// Lets so many writers act at the same moment, each on a thread of its own, and gives what each got, in order of their numbers.
///
/// ```
/// use std::future::IntoFuture;
/// use std::sync::Arc;
///
/// use factum_framework::{Repository, Retry, kit};
/// use factum_store::MemoryStore;
/// # use factum_framework::{Decider, Emit, Env, Event};
/// # use factum_types::RecordedEvent;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "Taken")]
/// # struct Taken {}
/// # #[derive(Default, Clone)]
/// # struct Seats { taken: u32 }
/// # impl Decider for Seats {
/// #     type Command = ();
/// #     type Event = Taken;
/// #     type Error = &'static str;
/// #     fn evolve(&mut self, _: &Taken, _: &RecordedEvent) { self.taken += 1; }
/// #     fn decide(&self, (): (), _: &mut Env) -> Result<Emit<Taken>, &'static str> {
/// #         if self.taken == 5 { Err("full") } else { Ok(Taken {}.into()) }
/// #     }
/// # }
///
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// let outcomes = kit::race(64, |_| {
///     repository.run::<Seats>("seats-1", ()).retry(Retry::jittered(1_000)).into_future()
/// });
/// assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
/// ```
///
/// # Panics
/// A writer did.
pub fn race<T, F>(writers: usize, act: impl Fn(usize) -> F + Sync) -> Vec<T>
where
    T: Send,
    F: Future<Output = T>,
{
    let (barrier, act) = (Barrier::new(writers), &act);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|number| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    run_here(act(number))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}
