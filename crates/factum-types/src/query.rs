//! Queries over types and tags.

use crate::name::{EventType, Tag};

/// Which events are meant: those that match any of the items. Without items it matches none.
///
/// After the dynamic-consistency-boundary specification (dcb.events): the same query reads, subscribes and guards an append.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Alternatives; at most [`QUERY_ITEMS_MAX`](crate::limits::QUERY_ITEMS_MAX).
    pub items: Vec<QueryItem>,
}

/// One alternative: any of the types (all types when none is given) and all of the tags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryItem {
    /// Any of these; when empty, every type.
    pub types: Vec<EventType>,
    /// All of these; when empty, no tag is asked for.
    pub tags: Vec<Tag>,
}

impl Query {
    /// Events of one type.
    #[must_use]
    pub fn event_type(event_type: EventType) -> Self {
        Self {
            items: vec![QueryItem {
                types: vec![event_type],
                tags: vec![],
            }],
        }
    }

    /// Events with one tag.
    #[must_use]
    pub fn tag(tag: Tag) -> Self {
        Self {
            items: vec![QueryItem {
                types: vec![],
                tags: vec![tag],
            }],
        }
    }

    /// Events of any of `types` that have all of `tags`.
    #[must_use]
    pub fn of(
        types: impl IntoIterator<Item = EventType>,
        tags: impl IntoIterator<Item = Tag>,
    ) -> Self {
        let item = QueryItem {
            types: types.into_iter().collect(),
            tags: tags.into_iter().collect(),
        };
        Self { items: vec![item] }
    }

    /// This query or that one.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.items.extend(other.items);
        self
    }

    /// Whether an event of this type with these tags is meant.
    #[must_use]
    pub fn matches(&self, event_type: &EventType, tags: &[Tag]) -> bool {
        self.items.iter().any(|item| item.matches(event_type, tags))
    }
}

impl QueryItem {
    /// Whether an event of this type with these tags is meant.
    #[must_use]
    pub fn matches(&self, event_type: &EventType, tags: &[Tag]) -> bool {
        (self.types.is_empty() || self.types.contains(event_type))
            && self.tags.iter().all(|tag| tags.contains(tag))
    }

    /// Whether the item names neither a type nor a tag, and so means every event.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.types.is_empty() && self.tags.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Query;
    use crate::name::{EventType, Tag};

    #[test]
    fn items_are_alternatives_and_tags_are_joint() {
        let kind = |t: &str| EventType::new(t).unwrap();
        let tag = |t: &str| Tag::new(t).unwrap();
        let query = Query::of([kind("A"), kind("B")], [tag("x:1"), tag("y:2")])
            .or(Query::event_type(kind("C")));
        let check = |t: &str, tags: &[&str], expected: bool| {
            let tags: Vec<_> = tags.iter().map(|t| tag(t)).collect();
            assert_eq!(query.matches(&kind(t), &tags), expected, "{t} {tags:?}");
        };
        check("A", &["y:2", "x:1", "z:3"], true);
        check("A", &["x:1"], false);
        check("C", &[], true);
        check("D", &["x:1", "y:2"], false);
        assert!(!Query::default().matches(&kind("A"), &[]));
    }
}
