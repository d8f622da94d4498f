//! What PostgreSQL's errors mean for a runner.
//!
//! What lives here: which kind an error is of, and the causes of ours that a caller may ask for, [`Late`] and [`Writes`].
//! Relies on: the classes of SQLSTATE (PostgreSQL's appendix A). Never: takes an error that could pass for a refused event; loses what the
//! server said.

use std::error::Error as _;
use std::fmt;
use std::io::ErrorKind;

use factum_projection::{Error, Kind};
use tokio_postgres::Error as Postgres;
use tokio_postgres::error::SqlState;

/// Something was given up because it took too long: the cause of an error ([`Error::cause`]), beside what the server said, if it did.
#[derive(Debug, Default)]
pub struct Late {
    source: Option<Postgres>,
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it took too long")
    }
}

impl std::error::Error for Late {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// Something writes where it may only read: the cause of an error ([`Error::cause`]), beside what the server said.
#[derive(Debug)]
pub struct Writes {
    source: Postgres,
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it writes")
    }
}

impl std::error::Error for Writes {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// An error of PostgreSQL, in our words.
pub(crate) fn said(what: impl AsRef<str>, error: Postgres) -> Error {
    let said = Error::new(
        kind(&error),
        format!("{}: {}", what.as_ref(), words(&error)),
    );
    match error.code() {
        Some(code) if *code == SqlState::QUERY_CANCELED => said.because(Late {
            source: Some(error),
        }),
        Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
            said.because(Writes { source: error })
        }
        _ => said.because(error),
    }
}

/// The same over what the sink keeps for itself: no fault of an event, whatever the code, so it must not park one.
pub(crate) fn kept(what: impl AsRef<str>, error: Postgres) -> Error {
    not_refused(said(what, error))
}

pub(crate) fn not_refused(error: Error) -> Error {
    match error.kind() {
        Kind::Refused => Error::invalid(error.to_string()).because(error),
        _ => error,
    }
}

/// An error while connecting, where there is nothing yet that could be refused.
pub(crate) fn not_connected(address: &str, user: &str, database: &str, error: Postgres) -> Error {
    let code = error.code().map(|code| code.code().to_owned());
    let what = match code.as_deref() {
        Some("28P01") => format!("wrong password for user {user} at {address}"),
        Some("28000") => format!("user {user} is not let in at {address}"),
        Some("3D000") => format!("there is no database {database} at {address}"),
        _ => format!("cannot connect to {address}"),
    };
    let kind = match kind(&error) {
        _ if matches!(code.as_deref(), Some("28P01" | "28000")) => Kind::Denied,
        Kind::Refused => Kind::Invalid,
        kind => kind,
    };
    Error::new(kind, format!("{what}: {}", words(&error))).because(error)
}

/// What the server said, or what kept it from saying anything.
fn words(error: &Postgres) -> String {
    let Some(said) = error.as_db_error() else {
        return match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
    };
    let mut words = said.message().to_owned();
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        words.push_str("; ");
        words.push_str(more);
    }
    format!("{words} (SQLSTATE {})", said.code().code())
}

fn kind(error: &Postgres) -> Kind {
    if let Some(code) = error.code() {
        return kind_of(code.code());
    }
    let io = error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>());
    match io {
        // What rustls says about a certificate comes so.
        Some(io) if io.kind() == ErrorKind::InvalidData => Kind::Invalid,
        Some(_) => Kind::Unavailable,
        // Without a cause it is a connection that is closed, or a time that is over.
        None if error.source().is_none() => Kind::Unavailable,
        None => Kind::Invalid,
    }
}

/// By SQLSTATE: what will never be taken, what may be taken later, and what somebody has to look at.
fn kind_of(code: &str) -> Kind {
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        // Not as many rows as there may be, data, constraints, too large for an index.
        ("21" | "22" | "23", _) | (_, "54000") => Kind::Refused,
        // Connections, serialisation and deadlocks, resources, an operator, the system; a lock that was not had in time; a standby; a
        // transaction that the server ended because it heard nothing, or for its length.
        ("08" | "40" | "53" | "57" | "58", _) | (_, "55P03" | "25006" | "25P03" | "25P04") => {
            Kind::Unavailable
        }
        // What the role may not do.
        (_, "42501") => Kind::Denied,
        _ => Kind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::kind_of;
    use factum_projection::Kind;

    #[test]
    fn codes_say_what_to_do() {
        for (code, kind) in [
            ("23505", Kind::Refused),
            ("22P05", Kind::Refused),
            ("22003", Kind::Refused),
            ("54000", Kind::Refused),
            ("08006", Kind::Unavailable),
            ("40001", Kind::Unavailable),
            ("40P01", Kind::Unavailable),
            ("53300", Kind::Unavailable),
            ("57P01", Kind::Unavailable),
            ("57P03", Kind::Unavailable),
            ("25006", Kind::Unavailable),
            ("55P03", Kind::Unavailable),
            ("25P03", Kind::Unavailable),
            ("25P04", Kind::Unavailable),
            ("25P02", Kind::Invalid),
            ("42P01", Kind::Invalid),
            ("42501", Kind::Denied),
            ("28P01", Kind::Invalid),
            ("XX001", Kind::Invalid),
            ("", Kind::Invalid),
        ] {
            assert_eq!(kind_of(code), kind, "{code}");
        }
    }
}
