//! Ctrl-C for commands that should end in order: the first one asks, the second one ends at once.
//!
//! Commands that do not ask for this keep the system's default, which is safe: a store survives a kill at any moment.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};

use factum_io::Env;
use futures_util::future::{Either, select};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::failure::{Failure, Outcome};

/// Whether Ctrl-C came. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    came: Arc<AtomicBool>,
    waker: Mutex<Option<Waker>>,
}

impl Interrupt {
    /// Watches for SIGINT and SIGTERM from now on.
    pub(crate) fn watch(env: &Env) -> Outcome<Self> {
        let interrupt = Self::default();
        let failed = |error: &std::io::Error| Failure::io("cannot watch for Ctrl-C", error);
        for signal in [SIGINT, SIGTERM] {
            let came = Arc::clone(&interrupt.0.came);
            let code = i32::from(Exit::Interrupted.code());
            signal_hook::flag::register_conditional_shutdown(signal, code, came)
                .map_err(|error| failed(&error))?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| failed(&error))?;
        let shared = Arc::clone(&interrupt.0);
        let watcher = move || {
            for _ in signals.forever() {
                shared.came.store(true, Ordering::SeqCst);
                if let Some(waker) = shared.waker().take() {
                    waker.wake();
                }
            }
        };
        // The thread lives as long as the process; there is nobody to join it.
        drop(
            env.spawner
                .spawn("signals", Box::new(watcher))
                .map_err(|error| failed(&error))?,
        );
        Ok(interrupt)
    }

    /// Whether it came.
    pub(crate) fn came(&self) -> bool {
        self.0.came.load(Ordering::SeqCst)
    }

    /// Fails when it came.
    pub(crate) fn check(&self) -> Outcome {
        if self.came() {
            Err(Failure::interrupted())
        } else {
            Ok(())
        }
    }

    /// What a future gives, unless Ctrl-C comes first: the future is dropped then. A future that is always ready is never interrupted.
    pub(crate) async fn unless_came<T>(&self, future: impl Future<Output = T>) -> Outcome<T> {
        match select(pin!(future), self).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => Err(Failure::interrupted()),
        }
    }
}

impl Shared {
    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ready when Ctrl-C came.
impl Future for &Interrupt {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<()> {
        *self.0.waker() = Some(context.waker().clone());
        if self.came() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
