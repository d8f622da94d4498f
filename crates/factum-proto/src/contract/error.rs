//! Errors: in messages, and in the trailer of a call that ends with one.
//!
//! What lives here: conversions of [`StoreError`], and [`details`] with its other half, [`of_details`].
//! Relies on: `google.rpc.Status`. Never: tells more than the error does.

use std::error::Error as StdError;
use std::fmt;

use factum_store::{Conflict, ConflictReason, Damage, Kind, StoreError};
use factum_types::{Position, RecordedEvent, Revision};
use prost::Message;
use prost::bytes::Bytes;

use super::event::{expected, stream_name};
use super::{each, given};
use crate::google::rpc::Status;
use crate::v1;

/// The events of a conflict are told if they have at most so many bytes altogether. The contract lets a store leave them out.
pub const CONFLICT_BYTES_MAX: usize = 4 << 20;
/// Bytes of an error's message that are told.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Bytes of the message of a cause that are told.
const CAUSE_BYTES_MAX: usize = 1 << 10;
/// Causes that are told.
const CAUSES_MAX: usize = 8;
/// How a detail says that it is an error of ours.
const TYPE_URL: &str = "type.googleapis.com/factum.v1.Error";

impl From<Kind> for v1::ErrorKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Conflict => Self::Conflict,
            Kind::Invalid => Self::Invalid,
            Kind::NotFound => Self::NotFound,
            Kind::Deleted => Self::Deleted,
            Kind::Unavailable => Self::Unavailable,
            Kind::Unknown => Self::Unknown,
            Kind::Corrupt => Self::Corrupt,
            Kind::Full => Self::Full,
            Kind::ReadOnly => Self::ReadOnly,
            _ => Self::Internal,
        }
    }
}

/// What the caller should do; an error that this version has not heard of is an internal one.
fn kind(number: i32) -> Kind {
    match v1::ErrorKind::try_from(number) {
        Ok(v1::ErrorKind::Conflict) => Kind::Conflict,
        Ok(v1::ErrorKind::Invalid) => Kind::Invalid,
        Ok(v1::ErrorKind::NotFound) => Kind::NotFound,
        Ok(v1::ErrorKind::Deleted) => Kind::Deleted,
        Ok(v1::ErrorKind::Unavailable) => Kind::Unavailable,
        Ok(v1::ErrorKind::Unknown) => Kind::Unknown,
        Ok(v1::ErrorKind::Corrupt) => Kind::Corrupt,
        Ok(v1::ErrorKind::Full) => Kind::Full,
        Ok(v1::ErrorKind::ReadOnly) => Kind::ReadOnly,
        Ok(v1::ErrorKind::Internal | v1::ErrorKind::Unspecified) | Err(_) => Kind::Internal,
    }
}

impl From<&StoreError> for v1::Error {
    fn from(error: &StoreError) -> Self {
        let causes = std::iter::successors(error.source(), |error| (*error).source());
        Self {
            kind: v1::ErrorKind::from(error.kind()).into(),
            message: start(&error.to_string(), MESSAGE_BYTES_MAX).to_owned(),
            conflict: error.as_conflict().and_then(conflict_message),
            damage: error.as_damage().map(damage_message),
            causes: causes
                .take(CAUSES_MAX)
                .map(|cause| start(&cause.to_string(), CAUSE_BYTES_MAX).to_owned())
                .collect(),
        }
    }
}

impl From<v1::Error> for StoreError {
    /// What is said of a conflict or of damage and makes no sense is left out: the kind and the message count.
    fn from(message: v1::Error) -> Self {
        let conflict = message.conflict.and_then(|message| conflict(message).ok());
        let error = Self::told(
            kind(message.kind),
            message.message,
            conflict,
            message.damage.map(damage),
        );
        match cause(message.causes) {
            Some(cause) => error.because(cause),
            None => error,
        }
    }
}

/// A text, up to the last character that ends within so many bytes.
fn start(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

fn conflict_message(conflict: &Conflict) -> Option<v1::Conflict> {
    use v1::conflict::{MatchConflict, Reason, RevisionConflict};
    let reason = match &conflict.reason {
        ConflictReason::Revision {
            stream,
            expected,
            actual,
        } => Reason::Revision(RevisionConflict {
            stream: stream.as_str().to_owned(),
            expected: Some((*expected).into()),
            actual: actual.map(Revision::number),
        }),
        ConflictReason::Match {
            condition,
            position,
        } => Reason::Match(MatchConflict {
            condition: u32::try_from(*condition).ok()?,
            position: position.map(Position::raw),
        }),
        _ => return None,
    };
    Some(v1::Conflict {
        reason: Some(reason),
        events: conflict_events(&conflict.events),
    })
}

/// All of them or none: some would look like all.
fn conflict_events(events: &[RecordedEvent]) -> Vec<v1::RecordedEvent> {
    let bytes =
        |event: &RecordedEvent| event.data.len() + event.personal.len() + event.metadata.byte_len();
    if events.iter().map(bytes).sum::<usize>() > CONFLICT_BYTES_MAX {
        return Vec::new();
    }
    each(events.to_vec()).unwrap_or_default()
}

fn conflict(message: v1::Conflict) -> Result<Conflict, StoreError> {
    use v1::conflict::Reason;
    let reason = match given(message.reason, "reason of a conflict")? {
        Reason::Revision(reason) => ConflictReason::Revision {
            stream: stream_name(&reason.stream)?,
            expected: expected(reason.expected)?,
            actual: reason.actual.map(Revision::new),
        },
        Reason::Match(reason) => ConflictReason::Match {
            condition: usize::try_from(reason.condition).unwrap_or(usize::MAX),
            position: reason.position.map(Position::from_raw),
        },
    };
    let events = each(message.events)?;
    Ok(Conflict { reason, events })
}

fn damage_message(damage: &Damage) -> v1::Damage {
    v1::Damage {
        file: damage.file.clone(),
        offset: damage.offset,
        length: damage.length,
        first: damage.first.raw(),
        last: damage.last.raw(),
    }
}

fn damage(message: v1::Damage) -> Damage {
    Damage {
        file: message.file,
        offset: message.offset,
        length: message.length,
        first: Position::from_raw(message.first),
        last: Position::from_raw(message.last),
    }
}

/// A cause as it was told.
#[derive(Debug)]
struct Cause {
    message: String,
    source: Option<Box<Self>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

fn cause(messages: Vec<String>) -> Option<Cause> {
    let chain = |source: Option<Cause>, message| {
        let source = source.map(Box::new);
        Some(Cause { message, source })
    };
    messages
        .into_iter()
        .take(CAUSES_MAX)
        .rev()
        .fold(None, chain)
}

/// The trailer `grpc-status-details-bin` of a call that ends with this error: all of it but a conflict's events.
#[must_use]
pub fn details(code: i32, error: &StoreError) -> Bytes {
    let mut message = v1::Error::from(error);
    if let Some(conflict) = &mut message.conflict {
        conflict.events.clear();
    }
    let detail = prost_types::Any {
        type_url: TYPE_URL.to_owned(),
        value: message.encode_to_vec(),
    };
    let status = Status {
        code,
        // The text has its place in the error, and once more in `grpc-message`.
        message: String::new(),
        details: vec![detail],
    };
    status.encode_to_vec().into()
}

/// The error in such a trailer, `None` when there is none of ours in it.
#[must_use]
pub fn of_details(bytes: &[u8]) -> Option<StoreError> {
    let status = Status::decode(bytes).ok()?;
    let ours = |detail: &&prost_types::Any| detail.type_url == TYPE_URL;
    let detail = status.details.iter().find(ours)?;
    let message = v1::Error::decode(detail.value.as_slice()).ok()?;
    Some(message.into())
}
