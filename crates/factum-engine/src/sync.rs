//! Locks, as the engine uses them: the standard ones, or those of the schedule explorer in its tests.
//!
//! A thread that panics while it holds a lock leaves a state that nobody may trust; so a poisoned lock stops the others too.

#[cfg(not(feature = "unstable-shuttle"))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "unstable-shuttle")]
pub(crate) use shuttle::sync::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

/// Locks, or stops with a plain word when another thread panicked inside.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|_| stopped())
}

/// Locks for reading.
pub(crate) fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|_| stopped())
}

/// Locks for writing.
pub(crate) fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(|_| stopped())
}

/// Waits on a condition, giving the lock back meanwhile.
pub(crate) fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait(guard).unwrap_or_else(|_| stopped())
}

/// Waits on a condition, but not longer than this.
#[cfg(not(feature = "unstable-shuttle"))]
pub(crate) fn wait_timeout<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    limit: std::time::Duration,
) -> MutexGuard<'a, T> {
    condition
        .wait_timeout(guard, limit)
        .unwrap_or_else(|_| stopped())
        .0
}

/// The schedule explorer knows no time: the limit has always passed.
#[cfg(feature = "unstable-shuttle")]
pub(crate) fn wait_timeout<'a, T>(
    _: &Condvar,
    guard: MutexGuard<'a, T>,
    _: std::time::Duration,
) -> MutexGuard<'a, T> {
    guard
}

/// Lets threads run that are ready and have no processor; returns at once where there are none.
#[cfg(not(feature = "unstable-shuttle"))]
pub(crate) fn let_others_run() {
    std::thread::yield_now();
}

/// The schedule explorer takes it for a place where another thread may run, as there are many.
#[cfg(feature = "unstable-shuttle")]
pub(crate) fn let_others_run() {
    shuttle::thread::yield_now();
}

fn stopped() -> ! {
    unreachable!(
        "a thread of the engine panicked while it held a lock; its state cannot be trusted"
    )
}
