//! How a case says what is wrong.

use std::fmt::{self, Debug, Display};

use factum_store::{Conflict, Kind, StoreError};
use factum_types::{NewEvent, RecordKind, RecordedEvent, Revision, StreamName};

/// What a case ends with.
pub type Outcome = Result<(), Stop>;

/// Why a case ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The store does not keep the promise.
    Failed(String),
    /// The case needs something that [`Knobs`](crate::Knobs) do not give.
    Skipped(String),
}

/// Longest text of one value in a message, in characters.
const SHOWN_CHARS_MAX: usize = 1_500;

impl Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(format!(
            "unexpected error of kind {}: {error}",
            error.kind()
        ))
    }
}

impl Stop {
    /// The same, saying where.
    pub(crate) fn at(self, place: impl Display) -> Self {
        match self {
            Self::Failed(why) => Self::Failed(format!("{place}: {why}")),
            Self::Skipped(why) => Self::Skipped(why),
        }
    }
}

pub(crate) fn fail<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(why.into()))
}

/// That something is true.
pub(crate) fn that(what: impl Display, holds: bool) -> Outcome {
    if holds {
        Ok(())
    } else {
        fail(format!("not so: {what}"))
    }
}

/// That two values are equal.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a case compares what it has just made"
)]
pub(crate) fn same<T: PartialEq + Debug>(what: impl Display, found: T, expected: T) -> Outcome {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (shown(&found), shown(&expected));
    fail(format!(
        "{what}:\n  found    {found}\n  expected {expected}"
    ))
}

fn shown(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}… ({} bytes of text)", &text[..at], text.len()),
        None => text,
    }
}

/// That the answer is an error of this kind; gives the error.
pub(crate) fn refused<T: Debug>(
    what: impl Display,
    answer: Result<T, StoreError>,
    kind: Kind,
) -> Result<StoreError, Stop> {
    match answer {
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => {
            let found = error.kind();
            fail(format!(
                "{what}: expected an error of kind {kind}, found {found}: {error}"
            ))
        }
        Ok(answer) => {
            let answer = shown(&answer);
            fail(format!(
                "{what}: expected an error of kind {kind}, found {answer}"
            ))
        }
    }
}

/// That the answer is a conflict; gives what it ran into.
pub(crate) fn conflict<T: Debug>(
    what: impl Display,
    answer: Result<T, StoreError>,
) -> Result<Conflict, Stop> {
    let error = refused(&what, answer, Kind::Conflict)?;
    match error.as_conflict() {
        Some(conflict) => Ok(conflict.clone()),
        None => fail(format!(
            "{what}: the conflict does not say what it ran into"
        )),
    }
}

/// An event as it must be read back. Position and time are the store's to choose.
pub(crate) fn recorded(
    given: &NewEvent,
    stream: &StreamName,
    revision: u64,
    placed: &RecordedEvent,
) -> RecordedEvent {
    let given = given.clone();
    RecordedEvent {
        id: given.id,
        stream: stream.clone(),
        revision: Revision::new(revision),
        position: placed.position,
        time: given.time.unwrap_or(placed.time),
        event_type: given.event_type,
        data: given.data,
        content_type: given.content_type,
        schema_version: given.schema_version,
        tags: given.tags,
        metadata: given.metadata,
        personal: given.personal,
        kind: RecordKind::Event,
    }
}

/// That these events were read, with these revisions from the first on.
pub(crate) fn read_back(
    what: impl Display,
    found: &[RecordedEvent],
    stream: &StreamName,
    first_revision: u64,
    given: &[NewEvent],
) -> Outcome {
    same(
        format!("{what}: how many events of {stream}"),
        found.len(),
        given.len(),
    )?;
    for ((found, given), revision) in found.iter().zip(given).zip(first_revision..) {
        same(
            format!("{what}: event {revision} of {stream}"),
            found,
            &recorded(given, stream, revision, found),
        )?;
    }
    Ok(())
}

/// That positions increase.
pub(crate) fn increasing(what: impl Display, events: &[RecordedEvent]) -> Outcome {
    for pair in events.windows(2) {
        if let [earlier, later] = pair {
            let (a, b) = (earlier.position, later.position);
            that(format!("{what}: position {b} comes after {a}"), a < b)?;
        }
    }
    Ok(())
}
