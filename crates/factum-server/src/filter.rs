//! Which events of `$all` are wanted: by the name of their stream or by their type.
//!
//! One for reads, subscriptions and groups. Relies on: fancy-regex, because clients send look-aheads. Never: works on a name without a limit.

use std::fmt;

use factum_types::RecordedEvent;
use fancy_regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// The longest pattern, and the most bytes of prefixes.
const PATTERN_BYTES_MAX: usize = 16 << 10;
/// The most prefixes.
const PREFIXES_MAX: usize = 1_024;
/// How much work a pattern may be on one name.
const BACKTRACK_MAX: usize = 100_000;
/// What clients send to leave out the events of the system.
const NO_SYSTEM: [&str; 2] = [r"^[^\$].*", r"^[^$].*"];

/// What of an event is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FilterOn {
    /// The name of its stream.
    StreamName,
    /// Its type.
    EventType,
}

/// What it must be like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FilterBy {
    /// Somewhere in it is a match.
    Regex(String),
    /// It begins with one of these.
    Prefixes(Vec<String>),
}

/// Which events are meant.
#[derive(Clone)]
pub struct Filter {
    on: FilterOn,
    by: FilterBy,
    /// `None` for prefixes, and for what leaves out the system's, which is told without it.
    pattern: Option<Regex>,
}

impl Filter {
    /// The filter, when the pattern is one.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(on: FilterOn, by: FilterBy) -> Result<Self, String> {
        let pattern = match &by {
            FilterBy::Prefixes(all) if all.len() > PREFIXES_MAX => {
                return Err(format!(
                    "{} prefixes are more than {PREFIXES_MAX}",
                    all.len()
                ));
            }
            FilterBy::Prefixes(all) => {
                check_length(all.iter().map(String::len).sum())?;
                None
            }
            FilterBy::Regex(pattern) if NO_SYSTEM.contains(&pattern.as_str()) => None,
            FilterBy::Regex(pattern) => {
                check_length(pattern.len())?;
                Some(compile(pattern)?)
            }
        };
        Ok(Self { on, by, pattern })
    }

    /// The filter that a client asks for: prefixes count where there are any.
    ///
    /// # Errors
    /// As for [`Filter::new`].
    pub(crate) fn asked(
        on: FilterOn,
        regex: String,
        prefixes: Vec<String>,
    ) -> Result<Self, String> {
        let by = if prefixes.is_empty() {
            FilterBy::Regex(regex)
        } else {
            FilterBy::Prefixes(prefixes)
        };
        Self::new(on, by)
    }

    /// What of an event is looked at.
    #[must_use]
    pub const fn on(&self) -> FilterOn {
        self.on
    }

    /// What it must be like.
    #[must_use]
    pub const fn by(&self) -> &FilterBy {
        &self.by
    }

    /// Whether the event is meant.
    ///
    /// # Errors
    /// The pattern is too much work on this name; in words.
    pub fn wants(&self, event: &RecordedEvent) -> Result<bool, String> {
        let name = match self.on {
            FilterOn::StreamName => event.stream.as_str(),
            FilterOn::EventType => event.event_type.as_str(),
        };
        match (&self.by, &self.pattern) {
            (FilterBy::Prefixes(all), _) => Ok(all.iter().any(|prefix| name.starts_with(prefix))),
            (FilterBy::Regex(_), None) => Ok(!name.starts_with('$')),
            (FilterBy::Regex(_), Some(pattern)) => pattern
                .is_match(name)
                .map_err(|error| format!("the pattern of the filter fails on {name:?}: {error}")),
        }
    }
}

fn check_length(bytes: usize) -> Result<(), String> {
    if bytes <= PATTERN_BYTES_MAX {
        return Ok(());
    }
    Err(format!(
        "a filter of {bytes} bytes is longer than the limit of {PATTERN_BYTES_MAX}"
    ))
}

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .backtrack_limit(BACKTRACK_MAX)
        .build()
        .map_err(|error| format!("the pattern {pattern:?} of the filter: {error}"))
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({:?} {:?})", self.on, self.by)
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.on == other.on && self.by == other.by
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, FilterOn, PATTERN_BYTES_MAX, PREFIXES_MAX};
    use crate::links::Link;
    use factum_store::{AppendBatch, EventStore, MemoryStore, ReadRequest};
    use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName};

    fn asked(regex: &str, prefixes: &[&str]) -> Result<Filter, String> {
        let prefixes = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        Filter::asked(FilterOn::StreamName, regex.to_owned(), prefixes)
    }

    fn event(stream: &str) -> RecordedEvent {
        let stream = StreamName::new(stream).unwrap();
        let id = EventId::from_bytes([1; 16]);
        let new = NewEvent::json(id, EventType::new("T").unwrap(), "{}");
        let store = MemoryStore::new();
        let batch = AppendBatch::events(stream.clone(), ExpectedRevision::Any, vec![new]);
        pollster::block_on(async {
            store.append(batch).await.unwrap();
            let mut events = store.read(ReadRequest::stream(stream.clone()));
            let target = events.next().await.unwrap().unwrap();
            let link = Link {
                stream,
                number: 0,
                target,
            };
            link.as_event()
        })
    }

    #[test]
    fn names_are_wanted_or_not() {
        let check = |filter: Filter, stream: &str, wanted: bool| {
            assert_eq!(
                filter.wants(&event(stream)),
                Ok(wanted),
                "{filter:?} {stream}"
            );
        };
        for no_system in [r"^[^\$].*", "^[^$].*"] {
            check(asked(no_system, &[]).unwrap(), "order-1", true);
            check(asked(no_system, &[]).unwrap(), "$order-1", false);
        }
        check(asked("^(?!order)", &[]).unwrap(), "order-1", false);
        check(asked("^(?!order)", &[]).unwrap(), "cart-1", true);
        check(asked("", &[]).unwrap(), "cart-1", true);
        // Prefixes count where there are any.
        check(asked("^cart", &["order", "x"]).unwrap(), "order-1", true);
        check(asked("^cart", &["order", "x"]).unwrap(), "cart-1", false);
        let of_type = Filter::asked(FilterOn::EventType, r"^\$>$".to_owned(), vec![]);
        check(of_type.unwrap(), "cart-1", true);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        assert!(asked("(", &[]).unwrap_err().contains("the pattern"));
        let long = "x".repeat(PATTERN_BYTES_MAX + 1);
        assert!(asked(&long, &[]).unwrap_err().contains("longer"));
        assert!(asked("", &[&long]).unwrap_err().contains("longer"));
        let many = vec!["x"; PREFIXES_MAX + 1];
        assert!(asked("", &many).unwrap_err().contains("more than"));
        let endless = asked("^(?:(?=a)a|(?=a)a)*b", &[]).unwrap();
        let told = endless.wants(&event(&"a".repeat(200))).unwrap_err();
        assert!(told.contains("the pattern of the filter fails"), "{told}");
    }
}
