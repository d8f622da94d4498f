//! A thread with a small runtime, on which the connection lives.
//!
//! What lives here: the thread, and tasks on it that end with whoever waits for them. Relies on: tokio; factum-io for the thread.
//! Never: lets a task keep the thread. Whoever was given something that needs it does: a client, a read, a subscription.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};

use factum_io::Spawner;
use factum_io::spawn::JoinHandle;
use factum_store::{Kind, StoreError};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task;

/// The thread. Dropping this ends it, and waits for that.
pub(crate) struct Background {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    /// In a lock because a handle of a thread need not be shared.
    thread: Mutex<Option<Box<dyn JoinHandle>>>,
    id: Arc<OnceLock<ThreadId>>,
}

impl Background {
    /// Starts it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`]: the system has no threads or descriptors left.
    pub(crate) fn start(spawner: &dyn Spawner) -> Result<Self, StoreError> {
        let trouble = |error: std::io::Error| {
            let text = format!("the thread of the client cannot be started: {error}");
            StoreError::new(Kind::Unavailable, text).because(error)
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(trouble)?;
        let (handle, runtime) = (runtime.handle().clone(), Ending(Some(runtime)));
        let (stop, stopped) = oneshot::channel();
        let id = Arc::new(OnceLock::new());
        let told = Arc::clone(&id);
        let body = Box::new(move || {
            told.get_or_init(|| thread::current().id());
            // Whether it was told to stop or forgotten, it stops.
            runtime.run(stopped);
        });
        let thread = spawner.spawn("factum-client", body).map_err(trouble)?;
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Mutex::new(Some(thread)),
            id,
        })
    }

    /// Runs `work` there, for as long as the task is held.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        Task(self.handle.spawn(work))
    }

    /// What has to be made where a runtime is.
    pub(crate) fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.handle.enter()
    }
}

/// The runtime, which may end anywhere: also where it could not be waited for, when the thread was refused to a caller inside another runtime.
struct Ending(Option<Runtime>);

impl Ending {
    fn run(&self, until: impl Future) {
        if let Some(runtime) = &self.0 {
            runtime.block_on(async { drop(until.await) });
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A look-up of a name under way has a thread of its own and is not waited for.
            runtime.shutdown_background();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = thread.take() else {
            return;
        };
        // What a waker drops may be the last thing that held this; then this is that thread, and it ends once it gets there.
        if self.id.get() != Some(&thread::current().id()) {
            // If it panicked, its tasks have already said so.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Background")
    }
}

/// Work on the thread. Ready on any executor; dropping it ends the work.
pub(crate) struct Task<T>(task::JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(|error| {
            let text = format!("the work of the client ended early: {error}");
            StoreError::new(Kind::Internal, text)
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use factum_io::Spawner;
    use factum_io::spawn::JoinHandle;
    use factum_store::Kind;
    use tokio::runtime::Builder;

    use super::Background;

    #[derive(Debug)]
    struct NoThreads;

    impl Spawner for NoThreads {
        fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn JoinHandle>> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    #[test]
    fn a_thread_that_is_refused_inside_a_runtime_is_an_error_and_no_panic() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let error = runtime
            .block_on(async { Background::start(&NoThreads) })
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    }
}
