//! Why a command failed, as a person and as a program should be told.

use std::fmt;
use std::io;

use factum_store::{Kind, StoreError};

use crate::exit::Exit;

/// Why a command failed: a message, what to do about it, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Which exit code it ends with.
    pub(crate) exit: Exit,
    /// One word for programs, such as `conflict`.
    pub(crate) kind: &'static str,
    /// What went wrong: lowercase, without a full stop; may hold text from files, so it is escaped when printed.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// Nothing is printed: the reader of our output has gone, or all was said before.
    pub(crate) silent: bool,
}

/// What a command ends with.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with this exit code.
    pub(crate) fn new(exit: Exit, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            kind,
            message: message.into(),
            hint: None,
            silent: false,
        }
    }

    /// A failure without a code of its own.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Exit::Error, "error", message)
    }

    /// The command line asks for something that cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// What was asked for is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, "not-found", message)
    }

    /// Ends with this code and prints nothing more.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self {
            silent: true,
            ..Self::new(exit, "silent", "")
        }
    }

    /// Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self::silent(Exit::Interrupted)
    }

    /// The same failure with advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure; `what` was being done.
    pub(crate) fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// An operation on a file failed.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::silent(Exit::Ok);
        }
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Error,
        };
        Self::new(exit, "io", format!("{what}: {error}"))
    }
}

/// Writing to standard output failed. A reader that went away (`factum read … | head`) is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::io("cannot write the output", &error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (exit, kind, hint) = advice(error.kind());
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = inner.source();
        }
        Self {
            exit,
            kind,
            message,
            hint: hint.map(str::to_owned),
            silent: false,
        }
    }
}

impl From<factum_framework::Error> for Failure {
    fn from(error: factum_framework::Error) -> Self {
        if let Some(store) = error.store_error() {
            return Self {
                message: error.to_string(),
                ..Self::from(store.clone())
            };
        }
        let kind = match error.kind() {
            factum_framework::Kind::Decode => "decode",
            _ => "invalid",
        };
        Self::new(Exit::Error, kind, error.to_string())
    }
}

const fn advice(kind: Kind) -> (Exit, &'static str, Option<&'static str>) {
    match kind {
        Kind::Conflict => (
            Exit::Conflict,
            "conflict",
            Some("read the stream again, decide again, and append with the revision you then see"),
        ),
        Kind::Invalid => (Exit::Error, "invalid", None),
        Kind::NotFound => (
            Exit::NotFound,
            "not-found",
            Some("`factum stream ls` shows the streams; `--data` or FACTUM_DATA names the store"),
        ),
        Kind::Deleted => (
            Exit::NotFound,
            "deleted",
            Some("the stream was closed for ever; use another name"),
        ),
        Kind::Unavailable => (
            Exit::Unreachable,
            "unavailable",
            Some("try again in a moment"),
        ),
        Kind::Unknown => (
            Exit::Unreachable,
            "unknown",
            Some("run it again with the same event ids: what was written is not written twice"),
        ),
        Kind::Corrupt => (
            Exit::Integrity,
            "corrupt",
            Some(
                "`factum verify --full` lists all damage; restore from a backup, or accept it with `factum doctor --accept-loss`; where the last events of a stream may be lost, --accept-lost-tails lets it go on",
            ),
        ),
        Kind::Full => (
            Exit::Error,
            "full",
            Some("free space on the disk of the data directory"),
        ),
        Kind::ReadOnly => (
            Exit::Error,
            "read-only",
            Some("`factum doctor` says why the store does not accept writes, and what to do"),
        ),
        _ => (
            Exit::Error,
            "internal",
            Some("this should not happen: please report it with the output of `factum doctor`"),
        ),
    }
}
