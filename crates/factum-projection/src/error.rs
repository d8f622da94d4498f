//! What can go wrong with a projection, sorted by what should be done about it.
//!
//! What lives here: [`Error`] and its kinds. Relies on: the errors of the store. Never: loses the cause.

use std::fmt;
use std::sync::Arc;

use factum_store::StoreError;

/// What should be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Wait and look what the sink has: it is down or busy, or did not say what became of a commit. The runner does that by itself.
    Unavailable,
    /// Fix the event's projection: what was written, or the event itself, will never be taken. The runner parks the event.
    Refused,
    /// Stop: another runner has claimed the projection, or something moved its checkpoint. Nothing was written.
    Fenced,
    /// Look again: what waits was changed by hand, or the projection paused. Nothing was written. The runner does that by itself.
    Changed,
    /// Fix the call or the sink: a name, a table, a limit. Nothing was written.
    Invalid,
    /// Say who you are: the sink does not let us in. Nothing was written.
    Denied,
    /// Build a new generation: the one that is there was filled by another version, or with other tables. Nothing was written.
    Outdated,
    /// The store failed; do as its kind says.
    Store(factum_store::Kind),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => f.write_str("unavailable"),
            Self::Refused => f.write_str("refused"),
            Self::Fenced => f.write_str("fenced"),
            Self::Changed => f.write_str("changed"),
            Self::Invalid => f.write_str("invalid"),
            Self::Denied => f.write_str("denied"),
            Self::Outdated => f.write_str("outdated"),
            Self::Store(kind) => kind.fmt(f),
        }
    }
}

/// The error of everything in this crate and of all sinks. Cloning one is cheap.
///
/// ```
/// use factum_projection::{Error, Kind};
///
/// assert_eq!(Error::refused("amount is not a number").kind(), Kind::Refused);
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    #[source]
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

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

    /// An error of kind [`Kind::Refused`]: what a projector answers to an event that it cannot apply.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// An error of kind [`Kind::Unavailable`].
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// An error of kind [`Kind::Invalid`].
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// An error of kind [`Kind::Denied`].
    #[must_use]
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Kind::Denied, message)
    }

    /// An error of kind [`Kind::Outdated`]: why a generation cannot be gone on with.
    #[must_use]
    pub fn outdated(why: impl fmt::Display) -> Self {
        Self::new(Kind::Outdated, format!("{why}: build a new generation"))
    }

    /// An error of kind [`Kind::Fenced`], over this projection.
    #[must_use]
    pub fn fenced(projection: &str, ours: u64, theirs: u64) -> Self {
        let what = format!(
            "projection {projection} was claimed by another runner: its epoch is {theirs}, this runner's is {ours}"
        );
        Self::new(Kind::Fenced, what)
    }

    /// An error of kind [`Kind::Fenced`]: the checkpoint of this projection is not where its runner left it.
    #[must_use]
    pub fn moved(projection: &str) -> Self {
        let what = format!("the checkpoint of projection {projection} was moved by another");
        Self::new(Kind::Fenced, what)
    }

    /// An error of kind [`Kind::Changed`], over this projection.
    #[must_use]
    pub fn changed(projection: &str) -> Self {
        let what = format!("projection {projection} was changed by hand meanwhile");
        Self::new(Kind::Changed, what)
    }

    /// The same, where it is no fault of an event.
    pub(crate) fn into_invalid(self) -> Self {
        match self.kind {
            Kind::Refused => Self {
                kind: Kind::Invalid,
                ..self
            },
            _ => self,
        }
    }

    /// The same error, with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What caused it, of this type, however far down.
    ///
    /// ```
    /// use factum_projection::Error;
    ///
    /// let error = Error::unavailable("cannot write").because(std::fmt::Error);
    /// let error = Error::invalid("cannot go on").because(error);
    /// assert_eq!(error.cause::<std::fmt::Error>(), Some(&std::fmt::Error));
    /// assert!(error.cause::<std::io::Error>().is_none());
    /// ```
    #[must_use]
    pub fn cause<E: std::error::Error + 'static>(&self) -> Option<&E> {
        let mut next = self.source_here();
        while let Some(source) = next {
            if let Some(found) = source.downcast_ref() {
                return Some(found);
            }
            next = match source.downcast_ref::<Self>() {
                Some(ours) => ours.source_here(),
                None => source.source(),
            };
        }
        None
    }

    /// The source itself, which behind an `Arc` would be of the type of that.
    fn source_here(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }

    /// What should be done.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::new(Kind::Store(error.kind()), error.to_string()).because(error)
    }
}
