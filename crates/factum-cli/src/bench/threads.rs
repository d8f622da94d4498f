//! Some threads doing the same until a moment comes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_io::Env;

use crate::failure::{Failure, Outcome};

/// Runs `body` on so many threads, each with its number, and gives what each one gave.
pub(super) fn side_by_side<T, F>(env: &Env, count: usize, body: F) -> Outcome<Vec<T>>
where
    T: Send + 'static,
    F: Fn(usize) -> Outcome<T> + Send + Sync + 'static,
{
    let body = Arc::new(body);
    let results = Arc::new(Mutex::new(Vec::with_capacity(count)));
    let mut threads = Vec::with_capacity(count);
    for number in 0..count {
        let (body, results) = (Arc::clone(&body), Arc::clone(&results));
        let run = move || {
            let result = body(number);
            lock(&results).push(result);
        };
        let thread = env
            .spawner
            .spawn(&format!("bench-{number}"), Box::new(run))
            .map_err(|error| Failure::io("cannot start a thread", &error))?;
        threads.push(thread);
    }
    for thread in threads {
        thread
            .join()
            .map_err(|_panic| Failure::error("a thread of the benchmark panicked"))?;
    }
    std::mem::take(&mut *lock(&results)).into_iter().collect()
}

/// Nothing here is left half-done by a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
