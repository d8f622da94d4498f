//! Short ways to say names in cases.
//!
//! Never: called with a text that is not a name; that would be a mistake in a case.

use factum_store::{Condition, StreamWrite};
use factum_types::{
    Category, EventType, ExpectedRevision, NewEvent, Position, Query, Revision, StreamName, Tag,
};

pub(crate) fn stream(name: impl AsRef<str>) -> StreamName {
    StreamName::new(name).expect("a case uses valid names")
}

pub(crate) fn typed(name: impl AsRef<str>) -> EventType {
    EventType::new(name).expect("a case uses valid names")
}

pub(crate) fn tag(name: impl AsRef<str>) -> Tag {
    Tag::new(name).expect("a case uses valid names")
}

pub(crate) fn category(name: impl AsRef<str>) -> Category {
    Category::new(name).expect("a case uses valid names")
}

pub(crate) fn query(types: &[&str], tags: &[&str]) -> Query {
    Query::of(types.iter().map(typed), tags.iter().map(tag))
}

pub(crate) const fn exactly(revision: u64) -> ExpectedRevision {
    ExpectedRevision::Exactly(Revision::new(revision))
}

pub(crate) const fn no_match(query: Query, after: Option<Position>) -> Condition {
    Condition::NoMatch { query, after }
}

pub(crate) fn write(
    stream: &StreamName,
    expected: ExpectedRevision,
    events: Vec<NewEvent>,
) -> StreamWrite {
    StreamWrite::events(stream.clone(), expected, events)
}
