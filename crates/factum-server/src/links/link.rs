//! What a link is: an event of type `$>` with `number@stream` as its data; and the links of virtual streams, derived from what they point to.
//!
//! Relies on: ring for a hash. Never: stores a link of a virtual stream.

use factum_types::{
    Bytes, ContentType, EventId, EventType, Metadata, RecordKind, RecordedEvent, Revision,
    StreamName,
};
use ring::digest;
use uuid::Builder;

/// The type of links.
pub(crate) const LINK_TYPE: &str = "$>";

/// The type of links, as one.
pub(crate) fn link_type() -> EventType {
    EventType::new(LINK_TYPE).expect("the type of links is a type")
}

/// What the data of a link says about the event that it points to.
pub(crate) fn link_to(stream: &StreamName, revision: Revision) -> Bytes {
    format!("{revision}@{stream}").into()
}

/// Whether an event is a link.
pub(crate) fn is_link(event: &RecordedEvent) -> bool {
    event.event_type.as_str() == LINK_TYPE
}

/// Where a link points; `None` for what is no link, or one that says nothing of use.
pub(crate) fn points_to(event: &RecordedEvent) -> Option<(StreamName, Revision)> {
    is_link(event).then(|| target(&event.data)).flatten()
}

fn target(data: &[u8]) -> Option<(StreamName, Revision)> {
    let (number, stream) = std::str::from_utf8(data).ok()?.split_once('@')?;
    Some((
        StreamName::new(stream).ok()?,
        Revision::new(number.parse().ok()?),
    ))
}

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
    /// It as an event: where its target stands in the order of all, at the time when that was recorded.
    pub(crate) fn as_event(&self) -> RecordedEvent {
        RecordedEvent {
            id: self.id(),
            stream: self.stream.clone(),
            revision: Revision::new(self.number),
            position: self.target.position,
            time: self.target.time,
            event_type: link_type(),
            data: link_to(&self.target.stream, self.target.revision),
            content_type: ContentType::Binary,
            schema_version: 1,
            tags: Vec::new(),
            metadata: Metadata::default(),
            personal: Bytes::new(),
            kind: RecordKind::Event,
        }
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

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn what_is_no_link_points_nowhere() {
        let (stream, revision) = target(b"7@order-1@x").unwrap();
        assert_eq!((stream.as_str(), revision.number()), ("order-1@x", 7));
        for wrong in [
            &b""[..],
            b"@",
            b"7@",
            b"x@order",
            b"-1@order",
            b"\xFF@order",
        ] {
            assert!(target(wrong).is_none(), "{wrong:?}");
        }
    }
}
