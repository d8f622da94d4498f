//! What a group was created with: where it begins, how it gives events out, how often it notes where it is.
//!
//! Relies on: nothing. Never: clamps what is shown; limits apply where the values are used.

use std::fmt;
use std::time::Duration;

use factum_types::StreamName;

/// Most events that a group holds ready, whatever its settings say.
pub(crate) const BUFFER_EVENTS_MAX: usize = 10_000;
/// Bytes of events that a group may hold before it takes no more; one event more may come over it.
pub(crate) const HELD_BYTES_MAX: usize = 64 << 20;
/// Most events that one consumer is given before it answers, whatever it asks for.
pub(crate) const CREDIT_MAX: usize = 10_000;
/// Most events that a consumer answers for in one message: all that it can have.
pub(crate) const ANSWERED_AT_ONCE_MAX: usize = CREDIT_MAX;
/// Most consumers of one group, also when its settings name no limit.
pub(crate) const CONSUMERS_MAX: usize = 1_024;
/// The longest reason for refusing an event that is kept, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 4 << 10;
/// Bytes of parked events that are read at once when they are replayed; one event more may come over it.
pub(crate) const PAGE_BYTES_MAX: usize = 4 << 20;
/// The longest time for an answer; also what "no timeout" means.
pub(crate) const MESSAGE_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// How a group chooses the consumer of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The next one that has room, in turn.
    #[default]
    RoundRobin,
    /// Always the same one until it is full, then the next.
    DispatchToSingle,
    /// All events of a stream (a link counts for the stream that it points to) to the same one.
    Pinned,
    /// All events of a conversation, `$correlationId` in the metadata, to the same one; events without by their stream.
    PinnedByCorrelation,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 4] = [
        Self::RoundRobin,
        Self::DispatchToSingle,
        Self::Pinned,
        Self::PinnedByCorrelation,
    ];

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "RoundRobin",
            Self::DispatchToSingle => "DispatchToSingle",
            Self::Pinned => "Pinned",
            Self::PinnedByCorrelation => "PinnedByCorrelation",
        }
    }

    /// The strategy with this name on the wire.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// How a group works. The defaults are those of KurrentDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether an event that is a link is given together with the one it points to.
    pub resolve_links: bool,
    /// Whether it is measured how long consumers take to answer.
    pub extra_statistics: bool,
    /// How often an event is given again before it is parked.
    pub max_retry_count: u32,
    /// How many events must be done before a checkpoint is written because of the time.
    pub min_checkpoint_count: u32,
    /// How many events may be done before a checkpoint is written whatever the time.
    pub max_checkpoint_count: u32,
    /// How long after the last checkpoint the next may follow.
    pub checkpoint_after: Duration,
    /// How long a consumer may take to answer; none is the longest there is.
    pub message_timeout: Duration,
    /// How many events wait in memory when the group has caught up.
    pub live_buffer_size: u32,
    /// How many parked events are read at once when they are replayed.
    pub read_batch_size: u32,
    /// How many events wait in memory while the group catches up.
    pub history_buffer_size: u32,
    /// How many consumers there may be, 0 for the server's own limit.
    pub max_subscriber_count: u32,
    /// Who is given the next event.
    pub strategy: Strategy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            resolve_links: false,
            extra_statistics: false,
            max_retry_count: 10,
            min_checkpoint_count: 10,
            max_checkpoint_count: 1_000,
            checkpoint_after: Duration::from_secs(2),
            message_timeout: Duration::from_secs(30),
            live_buffer_size: 500,
            read_batch_size: 20,
            history_buffer_size: 500,
            max_subscriber_count: 0,
            strategy: Strategy::default(),
        }
    }
}

impl Settings {
    /// Checks what does not depend on the store.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn validate(&self) -> Result<(), String> {
        if self.history_buffer_size < self.read_batch_size {
            return Err(format!(
                "the history buffer size ({}) must not be smaller than the read batch size ({})",
                self.history_buffer_size, self.read_batch_size
            ));
        }
        let sizes = [
            ("live buffer size", self.live_buffer_size),
            ("read batch size", self.read_batch_size),
        ];
        match sizes.into_iter().find(|(_, size)| *size == 0) {
            Some((what, _)) => Err(format!("the {what} must be more than 0")),
            None => Ok(()),
        }
    }

    /// The same with times of whole milliseconds, as they are noted: a short one must not be none after that.
    pub(crate) fn in_whole_millis(mut self) -> Self {
        self.message_timeout = whole_millis(self.message_timeout);
        self.checkpoint_after = whole_millis(self.checkpoint_after);
        self
    }

    pub(crate) fn timeout(&self) -> Duration {
        if self.message_timeout.is_zero() {
            MESSAGE_TIMEOUT_MAX
        } else {
            self.message_timeout.min(MESSAGE_TIMEOUT_MAX)
        }
    }

    pub(crate) fn consumers_max(&self) -> usize {
        match size(self.max_subscriber_count) {
            0 => CONSUMERS_MAX,
            asked => asked.min(CONSUMERS_MAX),
        }
    }

    /// How many events may wait.
    pub(crate) fn buffer(&self, live: bool) -> usize {
        let asked = if live {
            self.live_buffer_size
        } else {
            self.history_buffer_size
        };
        size(asked).clamp(1, BUFFER_EVENTS_MAX)
    }

    /// How many replayed events may wait.
    pub(crate) fn replay_batch(&self) -> usize {
        size(self.read_batch_size).clamp(1, BUFFER_EVENTS_MAX)
    }
}

/// The next whole number of milliseconds.
fn whole_millis(time: Duration) -> Duration {
    let millis = time.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What a group follows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceName {
    /// Every event, by position.
    All,
    /// One stream, by revision; a virtual one (`$ce-order`) too.
    Stream(StreamName),
}

impl SourceName {
    /// Its name on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => "$all",
            Self::Stream(stream) => stream.as_str(),
        }
    }

    /// How a point of it is written: `7`, or `C:8/P:8` for the event at position 7 of all.
    #[must_use]
    pub fn show(&self, point: u64) -> String {
        match self {
            Self::All => show_position(point.saturating_add(1)),
            Self::Stream(_) => point.to_string(),
        }
    }

    /// The point that was written so.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<u64> {
        match self {
            Self::All => parse_position(text)?.checked_sub(1),
            Self::Stream(_) => text.parse().ok(),
        }
    }
}

/// A position of the wire, as text.
pub(crate) fn show_position(wire: u64) -> String {
    format!("C:{wire}/P:{wire}")
}

/// A position of the wire from its text.
pub(crate) fn parse_position(text: &str) -> Option<u64> {
    let (commit, _) = text.strip_prefix("C:")?.split_once("/P:")?;
    commit.parse().ok()
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which group: its source and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// What it follows.
    pub source: SourceName,
    /// Its name, which is its own among the groups of the source.
    pub group: String,
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.source, self.group)
    }
}

/// Where a group begins when it has no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// At the first event.
    #[default]
    Start,
    /// After the last event there is when the group is created.
    End,
    /// At this revision, or at this position of the wire; that event included.
    At(u64),
}

impl StartFrom {
    /// How it is written: `0`, `-1`, `7`, or `C:0/P:0` and so on for all.
    #[must_use]
    pub fn show(self, source: &SourceName) -> String {
        match (source, self) {
            (SourceName::All, Self::Start) => show_position(0),
            (SourceName::All, Self::End) => "C:-1/P:-1".to_owned(),
            (SourceName::All, Self::At(wire)) => show_position(wire),
            (SourceName::Stream(_), Self::Start) => "0".to_owned(),
            (SourceName::Stream(_), Self::End) => "-1".to_owned(),
            (SourceName::Stream(_), Self::At(revision)) => revision.to_string(),
        }
    }

    /// What was written so.
    #[must_use]
    pub fn parse(source: &SourceName, text: &str) -> Option<Self> {
        if text == Self::End.show(source) {
            return Some(Self::End);
        }
        let number = match source {
            SourceName::All => parse_position(text)?,
            SourceName::Stream(_) => text.parse().ok()?,
        };
        Some(if number == 0 {
            Self::Start
        } else {
            Self::At(number)
        })
    }

    /// The point after which the first event stands, `None` for before everything. [`StartFrom::End`] has none of its own.
    pub(crate) fn after(self, source: &SourceName) -> Option<u64> {
        match (self, source) {
            (Self::Start | Self::End, _) => None,
            // The event at position p of the store has p + 1 on the wire, and is included.
            (Self::At(wire), SourceName::All) => wire.checked_sub(2),
            (Self::At(revision), SourceName::Stream(_)) => revision.checked_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Settings, SourceName, StartFrom, Strategy};
    use factum_types::StreamName;

    #[test]
    fn starts_are_written_as_clients_expect() {
        let stream = SourceName::Stream(StreamName::new("s").unwrap());
        let check = |source: &SourceName, start: StartFrom, text: &str| {
            assert_eq!(start.show(source), text);
            assert_eq!(StartFrom::parse(source, text), Some(start));
        };
        check(&stream, StartFrom::Start, "0");
        check(&stream, StartFrom::End, "-1");
        check(&stream, StartFrom::At(7), "7");
        check(&SourceName::All, StartFrom::Start, "C:0/P:0");
        check(&SourceName::All, StartFrom::End, "C:-1/P:-1");
        check(&SourceName::All, StartFrom::At(9), "C:9/P:9");
        assert_eq!(StartFrom::parse(&SourceName::All, "9"), None);
    }

    #[test]
    fn a_start_is_included() {
        let stream = SourceName::Stream(StreamName::new("s").unwrap());
        let check = |source: &SourceName, start: u64, after: Option<u64>| {
            assert_eq!(
                StartFrom::At(start).after(source),
                after,
                "{source} {start}"
            );
        };
        check(&stream, 0, None);
        check(&stream, 3, Some(2));
        check(&SourceName::All, 0, None);
        check(&SourceName::All, 1, None);
        check(&SourceName::All, 2, Some(0));
    }

    #[test]
    fn a_time_is_never_shortened() {
        let check = |micros: u64, millis: u64| {
            let settings = Settings {
                message_timeout: Duration::from_micros(micros),
                checkpoint_after: Duration::from_micros(micros),
                ..Settings::default()
            };
            let whole = settings.in_whole_millis();
            let expected = Duration::from_millis(millis);
            assert_eq!(whole.message_timeout, expected, "{micros}");
            assert_eq!(whole.checkpoint_after, expected, "{micros}");
        };
        check(0, 0);
        check(1, 1);
        check(1_000, 1);
        check(1_001, 2);
    }

    #[test]
    fn a_history_buffer_holds_a_batch() {
        let bad = Settings {
            history_buffer_size: 19,
            ..Settings::default()
        };
        assert!(bad.validate().unwrap_err().contains("19"));
        assert_eq!(Settings::default().validate(), Ok(()));
        assert_eq!(Strategy::named("Pinned"), Some(Strategy::Pinned));
        assert_eq!(Strategy::named("pinned"), None);
    }
}
