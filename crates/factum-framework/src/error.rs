//! What can go wrong, sorted by what the caller should do about it.
//!
//! What lives here: [`Error`] and its kinds. Relies on: the errors of the store. Never: swallows what the store said.

use std::fmt;
use std::sync::Arc;

use factum_store::StoreError;
use factum_types::{NameError, RecordedEvent};

use crate::event::EventKind;

/// What the caller should do.
///
/// ```
/// use factum_framework::{Error, Kind};
///
/// /// What the user of a web application is told.
/// fn status(error: &Error) -> u16 {
///     match error.kind() {
///         Kind::Conflict => 409,
///         Kind::Invalid => 400,
///         Kind::Behind => 503,
///         _ => 500,
///     }
/// }
///
/// assert_eq!(status(&Error::invalid("a name is missing")), 400);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Try again, or tell the user who was faster: others kept writing, and the attempts are used up. Nothing was written.
    Conflict,
    /// Fix the call: a name, a limit, or a value that cannot be stored. Nothing was written.
    Invalid,
    /// Deploy code that knows the event, or write an upcaster: what is stored cannot be read as the type asked for.
    Decode,
    /// Wait, or ask another node: this store has not come as far as the token says.
    Behind,
    /// Look for a circle: something reacts to what it causes itself, so that it never comes to rest.
    NeverIdle,
    /// The store failed; do as its kind says.
    Store(factum_store::Kind),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("conflict"),
            Self::Invalid => f.write_str("invalid"),
            Self::Decode => f.write_str("cannot be decoded"),
            Self::Behind => f.write_str("behind"),
            Self::NeverIdle => f.write_str("never idle"),
            Self::Store(kind) => kind.fmt(f),
        }
    }
}

/// The error of everything in this crate. Cloning one is cheap.
///
/// ```
/// use factum_framework::{Error, Kind};
/// use factum_store::StoreError;
///
/// let error = Error::from(StoreError::new(factum_store::Kind::Full, "no space left"));
/// assert_eq!(error.kind(), Kind::Store(factum_store::Kind::Full));
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    #[source]
    source: Option<Source>,
}

/// A cause that can be cloned.
type Source = Arc<dyn std::error::Error + Send + Sync>;

impl Error {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// An error of kind [`Kind::Invalid`].
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// An error of kind [`Kind::Decode`].
    #[must_use]
    pub fn decode(message: impl Into<String>) -> Self {
        Self::new(Kind::Decode, message)
    }

    /// An event has a name that the type does not know.
    #[must_use]
    pub fn unknown_event(name: &str, known: &[EventKind]) -> Self {
        let known = crate::event::names(known);
        Self::decode(format!(
            "event type {name} is not among those handled here: {}",
            known.join(", ")
        ))
    }

    /// An event has a version that the type does not know.
    #[must_use]
    pub fn unknown_version(name: &str, version: u32, newest: u32) -> Self {
        Self::decode(if version > newest {
            format!(
                "{name} version {version} was written by newer code; this code knows up to {newest}"
            )
        } else {
            format!(
                "{name} version {version} is older than {newest}, and no upcaster leads on from it"
            )
        })
    }

    /// The same error, with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What the caller should do.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What the store said, when it was the store.
    #[must_use]
    pub fn store_error(&self) -> Option<&StoreError> {
        self.source.as_deref()?.downcast_ref()
    }

    /// The events that were in the way, oldest first, for [`Kind::Conflict`]; may be empty when they are many.
    #[must_use]
    pub fn conflicting_events(&self) -> &[RecordedEvent] {
        self.store_error()
            .and_then(StoreError::as_conflict)
            .map_or(&[], |conflict| &conflict.events)
    }

    pub(crate) fn at(mut self, event: &RecordedEvent) -> Self {
        self.message = format!(
            "event {} of stream {}: {}",
            event.revision, event.stream, self.message
        );
        self
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind() {
            factum_store::Kind::Conflict => Kind::Conflict,
            factum_store::Kind::Invalid => Kind::Invalid,
            other => Kind::Store(other),
        };
        Self::new(kind, error.to_string()).because(error)
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::invalid(error.to_string()).because(error)
    }
}
