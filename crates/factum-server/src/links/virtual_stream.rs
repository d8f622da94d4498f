//! Which streams are virtual, and which events they point to.
//!
//! | stream             | points to                                           | asked of the store as        |
//! |--------------------|-----------------------------------------------------|------------------------------|
//! | `$ce-<category>`   | every event of the category's streams               | the category                 |
//! | `$et-<type>`       | every event of the type, of system streams too      | the type                     |
//! | `$bc-<id>`         | every event of the correlation                      | the tag `$correlationId:<id>` |
//! | `$streams`         | the first event of every stream                     | everything, revision 0       |
//! | `$category-<category>` | the first event of each of the category's streams | the category, revision 0   |
//!
//! Streams whose names begin with `$` are in no `$ce-`, `$category-` or `$streams`; so `$$order-1` makes no category `$$order`. Links that
//! clients have written themselves are in no `$et-`. A first event that is no longer stored is in no `$streams`.
//! Relies on: nothing. Never: reads.

use factum_store::Source;
use factum_types::{Category, EventType, Query, RecordedEvent, Revision, StreamName, Tag};

use super::link::LINK_TYPE;
use crate::wire::event::correlation_tag;

/// A stream that is made of the store's index when it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VirtualStream {
    name: StreamName,
    of: Of,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Category(Category),
    EventType(EventType),
    Correlation(Tag),
    First,
    FirstInCategory(Category),
    /// No event can be in it.
    Nothing,
}

impl VirtualStream {
    /// Whether a name is that of a virtual stream that every user may read. Those of the system's types name what the system keeps to itself.
    pub(crate) fn is_for_all(name: &StreamName) -> bool {
        !name.as_str().starts_with("$et-$") && Self::parse(name).is_some()
    }

    /// The virtual stream of this name, `None` when it names an ordinary stream: without a prefix of these, or with nothing behind it.
    ///
    /// Also virtual are those that cannot have an event, such as `$et-` with more than a type may have, or `$ce-$order`.
    pub(crate) fn parse(name: &StreamName) -> Option<Self> {
        let text = name.as_str();
        let of = if text == "$streams" {
            Some(Of::First)
        } else if let Some(category) = behind("$ce-", text) {
            user_category(category).map(Of::Category)
        } else if let Some(category) = behind("$category-", text) {
            user_category(category).map(Of::FirstInCategory)
        } else if let Some(event_type) = behind("$et-", text) {
            EventType::new(event_type)
                .ok()
                .filter(|event_type| event_type.as_str() != LINK_TYPE)
                .map(Of::EventType)
        } else {
            correlation_tag(behind("$bc-", text)?).map(Of::Correlation)
        };
        Some(Self {
            name: name.clone(),
            of: of.unwrap_or(Of::Nothing),
        })
    }

    /// Its name.
    pub(crate) const fn name(&self) -> &StreamName {
        &self.name
    }

    /// Which events of the store are looked at for it.
    pub(crate) fn source(&self) -> Source {
        match &self.of {
            Of::Category(category) | Of::FirstInCategory(category) => {
                Source::Category(category.clone())
            }
            Of::EventType(event_type) => Source::Query(Query::event_type(event_type.clone())),
            Of::Correlation(tag) => Source::Query(Query::tag(tag.clone())),
            Of::First => Source::All,
            Of::Nothing => Source::Query(Query::default()),
        }
    }

    /// Whether only some of the events of its source are in it.
    pub(super) const fn is_selection(&self) -> bool {
        matches!(self.of, Of::First | Of::FirstInCategory(_))
    }

    /// Whether an event of its source is in it.
    pub(super) fn holds(&self, event: &RecordedEvent) -> bool {
        !self.is_selection()
            || event.revision == Revision::FIRST && !is_system(event.stream.as_str())
    }
}

fn behind<'a>(prefix: &str, text: &'a str) -> Option<&'a str> {
    text.strip_prefix(prefix).filter(|rest| !rest.is_empty())
}

fn user_category(text: &str) -> Option<Category> {
    Category::new(text)
        .ok()
        .filter(|category| !is_system(category.as_str()))
}

fn is_system(stream: &str) -> bool {
    stream.starts_with('$')
}

#[cfg(test)]
mod tests {
    use super::{Of, VirtualStream};
    use factum_store::Source;
    use factum_types::{Category, EventType, Query, StreamName, Tag};

    fn parse(name: &str) -> Option<VirtualStream> {
        VirtualStream::parse(&StreamName::new(name).unwrap())
    }

    #[test]
    fn names_become_sources() {
        let check = |name: &str, source: Source, is_selection: bool| {
            let stream = parse(name).unwrap_or_else(|| panic!("{name} is virtual"));
            assert_eq!(stream.name().as_str(), name);
            assert_eq!(stream.source(), source, "{name}");
            assert_eq!(stream.is_selection(), is_selection, "{name}");
        };
        let category = |text: &str| Source::Category(Category::new(text).unwrap());
        let of_type = |text: &str| Source::Query(Query::event_type(EventType::new(text).unwrap()));
        check("$ce-order", category("order"), false);
        check("$category-order", category("order"), true);
        check("$et-OrderPlaced", of_type("OrderPlaced"), false);
        check("$et-$metadata", of_type("$metadata"), false);
        let tag = Tag::new("$correlationId:a:b-c").unwrap();
        check("$bc-a:b-c", Source::Query(Query::tag(tag)), false);
        check("$streams", Source::All, true);
    }

    #[test]
    fn others_are_ordinary() {
        for name in [
            "order-1",
            "$ce-",
            "$et-",
            "$bc-",
            "$category-",
            "$ce",
            "$streams-1",
            "$$$ce-order",
            "$$$streams",
            "$all",
            "ce-order",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn what_can_have_no_event_asks_for_none() {
        let long = "x".repeat(300);
        for name in [
            "$ce-$order".to_owned(),
            "$category-$$order".to_owned(),
            "$et-$>".to_owned(),
            format!("$et-{long}"),
            format!("$bc-{long}"),
        ] {
            let stream = parse(&name).unwrap();
            assert_eq!(stream.of, Of::Nothing, "{name}");
            assert_eq!(stream.source(), Source::Query(Query::default()));
        }
    }
}
