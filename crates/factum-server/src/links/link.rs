//! A link: an event of a virtual stream, derived from the event it points to.
//!
//! Relies on: ring for a hash. Never: stored.

use factum_types::{EventId, Position, RecordedEvent, StreamName, Timestamp};
use ring::digest;
use uuid::Builder;

/// The type of links.
pub(crate) const LINK_TYPE: &str = "$>";

/// An event of a virtual stream. Everything about it follows from the stream's name, its number and its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// The virtual stream that it belongs to.
    pub(crate) stream: StreamName,
    /// Its number in that stream, from 0.
    pub(crate) number: u64,
    /// The event that it points to.
    pub(crate) target: RecordedEvent,
}

impl Link {
    /// Where it stands in the order of all: where its target does.
    pub(crate) const fn position(&self) -> Position {
        self.target.position
    }

    /// When it was made: when its target was recorded.
    pub(crate) const fn time(&self) -> Timestamp {
        self.target.time
    }

    /// What it says: `N@stream`, the revision and the stream of its target.
    pub(crate) fn data(&self) -> String {
        format!("{}@{}", self.target.revision, self.target.stream)
    }

    /// Its id: always the same for a target in a virtual stream, and another in every other stream.
    ///
    /// A UUID of version 8 (RFC 9562, section 5.8) with the first 122 free bits of SHA-256 over the virtual stream's name, the
    /// target's revision, big-endian, and its stream's name, with a zero byte after the first name, which no name contains.
    pub(crate) fn id(&self) -> EventId {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(self.stream.as_str().as_bytes());
        hash.update(&[0]);
        hash.update(&self.target.revision.number().to_be_bytes());
        hash.update(self.target.stream.as_str().as_bytes());
        let digest = hash.finish();
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        EventId::from_bytes(Builder::from_custom_bytes(bytes).into_uuid().into_bytes())
    }
}
