//! What can go wrong with a query, sorted by what should be done about it.

use std::sync::Arc;

use factum_store::StoreError;

/// What should be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Fix the statement.
    Invalid,
    /// Ask for something that changes nothing.
    Refused,
    /// Ask for less, or allow more.
    Limit,
    /// Nothing: it was stopped.
    Stopped,
    /// Try again: a file cannot be read now.
    Unavailable,
    /// Say who you are: the sink refuses the password, or what was asked.
    Denied,
    /// Do as the store's kind says.
    Store(factum_store::Kind),
    /// Whoever takes the rows failed.
    Out,
}

/// The error of a query.
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

    /// The same error, with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
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
