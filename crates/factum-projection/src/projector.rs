//! What an application writes: how an event changes a read model.
//!
//! Relies on: the event and a writer. Never: sees a clock, a connection or a commit.

use factum_store::Source;
use factum_types::RecordedEvent;

use crate::error::Error;

/// Applies events to a read model by means of a writer `W`.
///
/// It must give the same writes for the same event, always: what it wrote is taken back after a crash and written again, and a rebuild
/// runs it over the whole log. Ask of the writer what is needed (`W: Rows`) and the projector fits every sink that can do it.
pub trait Projector<W: ?Sized>: Send + Sync {
    /// The name of the projection, by which its progress is stored. Never changes.
    fn name(&self) -> &str;

    /// The version of what it writes, at most 64 bytes; changed with every change that makes other rows of the same events. A generation
    /// that was filled by another version is not gone on with but rebuilt.
    fn version(&self) -> &str {
        "1"
    }

    /// Which events it is given. A single stream, a category, a query, or everything.
    fn source(&self) -> Source;

    /// The events among which order counts: the stream, unless said otherwise. When one fails, only those of its partition wait.
    fn partition(&self, event: &RecordedEvent) -> String {
        event.stream.as_str().to_owned()
    }

    /// Writes what the event changes; nothing for an event that does not matter.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused) ([`Error::refused`]): this event can never be applied; it is parked with the message. What the
    /// writer answers is passed on with `?`.
    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error>;
}
