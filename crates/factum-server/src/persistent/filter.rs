//! Which events of `$all` a group is for.
//!
//! Relies on: fancy-regex, because clients send look-aheads. Never: loses an event because a pattern takes too long; such an event is given.

use std::fmt;

use factum_types::RecordedEvent;
use fancy_regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 16 << 10;
/// The most prefixes.
const PREFIXES_MAX: usize = 1_024;
/// How much work a pattern may be on one name.
const BACKTRACK_MAX: usize = 100_000;

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
    regex: Option<Regex>,
}

impl Filter {
    /// The filter, when the pattern is one.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(on: FilterOn, by: FilterBy) -> Result<Self, String> {
        let regex = match &by {
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
            FilterBy::Regex(pattern) => {
                check_length(pattern.len())?;
                Some(compile(pattern)?)
            }
        };
        Ok(Self { on, by, regex })
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
    #[must_use]
    pub fn takes(&self, event: &RecordedEvent) -> bool {
        let text = match self.on {
            FilterOn::StreamName => event.stream.as_str(),
            FilterOn::EventType => event.event_type.as_str(),
        };
        match (&self.by, &self.regex) {
            (FilterBy::Prefixes(all), _) => all.iter().any(|prefix| text.starts_with(prefix)),
            (FilterBy::Regex(_), Some(regex)) => regex.is_match(text).unwrap_or(true),
            (FilterBy::Regex(_), None) => true,
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
        .map_err(|error| format!("{pattern:?} is not a regular expression: {error}"))
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
