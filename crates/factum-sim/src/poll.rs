//! Futures without a runtime: polled by hand, with a waker that does nothing.
//!
//! Relies on: the engine makes progress only in its steps, so polling again after each is enough. Never: blocks.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use factum_store::{EventStream, StoreError};
use factum_types::RecordedEvent;

use crate::violation::{Checked, Violation};

/// A future that owns all it needs.
pub type Owned<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls once.
#[must_use]
pub fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// The output of a future that must be ready at once.
///
/// # Errors
/// When it is not.
pub fn now<T>(what: &str, future: impl Future<Output = T>) -> Checked<T> {
    poll(std::pin::pin!(future)).ok_or_else(|| Violation::new(format!("{what} waits for ever")))
}

/// Everything a read gives, errors in their places.
///
/// # Errors
/// When the stream waits, which no read may.
pub fn items(mut stream: EventStream) -> Checked<Vec<Result<RecordedEvent, StoreError>>> {
    let mut items = Vec::new();
    while let Some(item) = now("a read", stream.next())? {
        items.push(item);
    }
    Ok(items)
}

/// The events of a read without damage.
///
/// # Errors
/// When it waits.
pub fn events(stream: EventStream) -> Checked<Result<Vec<RecordedEvent>, StoreError>> {
    Ok(items(stream)?.into_iter().collect())
}
