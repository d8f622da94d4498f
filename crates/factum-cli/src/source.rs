//! Which events a command is about: a stream, everything, a category, or types and tags.

use std::str::FromStr;

use clap::Args;
use factum_store::{ReadFrom, Source};
use factum_types::{Category, EventType, Position, Query, Revision, StreamName, Tag};

/// Which events.
#[derive(Debug, Clone, Args)]
pub(crate) struct SourceArgs {
    /// The events of this stream
    #[arg(value_name = "STREAM", conflicts_with_all = ["all", "category", "types", "tags"])]
    pub(crate) stream: Option<StreamName>,
    /// The events of all streams
    #[arg(long, conflicts_with_all = ["category", "types", "tags"])]
    pub(crate) all: bool,
    /// The events of the streams whose names begin with CATEGORY and a dash
    #[arg(short, long, conflicts_with_all = ["types", "tags"])]
    pub(crate) category: Option<Category>,
    /// Events of this type; given again, of any of these types
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub(crate) types: Vec<EventType>,
    /// Events with this tag; given again, with all of these tags
    #[arg(short = 'g', long = "tag", value_name = "KEY:VALUE")]
    pub(crate) tags: Vec<Tag>,
}

impl SourceArgs {
    /// What was chosen, if anything.
    pub(crate) fn chosen(&self) -> Option<Source> {
        if let Some(stream) = &self.stream {
            return Some(Source::Stream(stream.clone()));
        }
        if let Some(category) = &self.category {
            return Some(Source::Category(category.clone()));
        }
        if !self.types.is_empty() || !self.tags.is_empty() {
            return Some(Source::Query(Query::of(
                self.types.clone(),
                self.tags.clone(),
            )));
        }
        self.all.then_some(Source::All)
    }
}

/// Where to begin: `start`, `end`, or a number that is a revision for one stream and a position for everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// Before the first event.
    Start,
    /// After the last event.
    End,
    /// This event.
    Number(u64),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            _ => text
                .parse()
                .map(Self::Number)
                .map_err(|_not_a_number| "write start, end or a number".to_owned()),
        }
    }
}

impl From {
    /// The same for a source.
    pub(crate) const fn of(self, source: &Source) -> ReadFrom {
        match (self, source) {
            (Self::Start, _) => ReadFrom::Start,
            (Self::End, _) => ReadFrom::End,
            (Self::Number(number), Source::Stream(_)) => ReadFrom::Revision(Revision::new(number)),
            (Self::Number(number), _) => ReadFrom::Position(Position::from_raw(number)),
        }
    }
}
