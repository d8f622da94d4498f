//! The one door to sinks: an address becomes a sink, to be managed or to be filled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use factum_projection::declared::{Declared, Secret, SinkPlace};
use factum_projection::memory::MemoryWriter;
use factum_projection::{Error, Kind, Manage, Obstacle, Projector, ReadBack, Sink};
use factum_sink_sqlite::SqliteSink;

use crate::exit::Exit;
use crate::failure::{Failure, Outcome};

/// A sink that was not opened yet.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    place: SinkPlace,
    base: PathBuf,
    scheme: Scheme,
}

/// What kind of sink.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scheme {
    Sqlite(PathBuf),
}

/// Something to be done with a sink and a projector that fit each other.
pub(crate) trait Job {
    /// What it gives.
    type Given;

    /// Does it.
    fn with<S, P>(self, sink: S, projector: P) -> Self::Given
    where
        S: Sink + Manage + ReadBack + 'static,
        P: Projector<S::Writer> + Projector<MemoryWriter> + Clone + 'static;
}

impl Target {
    /// The sink of a place; paths are relative to `base`.
    pub(crate) fn new(place: &SinkPlace, base: &Path) -> Outcome<Self> {
        let shown = place.shown();
        let (scheme, rest) = place.url.split_once(':').unwrap_or((&place.url, ""));
        let scheme = match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() || path == ":memory:" {
                    let message = format!("{shown} names no file: write sqlite:PATH");
                    return Err(Failure::usage(message));
                }
                Scheme::Sqlite(base.join(path))
            }
            _ => {
                let message = format!("there is no sink {shown:?} here; known are sqlite:PATH");
                return Err(Failure::usage(message));
            }
        };
        Ok(Self {
            place: place.clone(),
            base: base.to_owned(),
            scheme,
        })
    }

    /// The address, without secrets.
    pub(crate) fn shown(&self) -> String {
        self.place.shown()
    }

    /// The sink, to be managed; it is not made.
    pub(crate) fn desk(&self) -> Outcome<Box<dyn Manage>> {
        match &self.scheme {
            Scheme::Sqlite(path) => {
                self.must_be_there()?;
                let sink = SqliteSink::open(path, []).map_err(|error| self.failed(&error))?;
                Ok(Box::new(sink))
            }
        }
    }

    /// Fails when there is nothing to be read yet.
    pub(crate) fn must_be_there(&self) -> Outcome {
        match &self.scheme {
            Scheme::Sqlite(path) if !path.is_file() => {
                let message = format!("there is no file {}", path.display());
                Err(Failure::not_found(message).hint("`factum project run` makes it"))
            }
            Scheme::Sqlite(_) => Ok(()),
        }
    }

    /// Opens the sink for what is declared, and does something with both.
    pub(crate) fn with<J: Job>(&self, declared: &Arc<Declared>, job: J) -> Outcome<J::Given> {
        match &self.scheme {
            Scheme::Sqlite(path) => {
                let Some(rows) = declared.rows() else {
                    return Err(self.has_no("series of points: declare a [table]"));
                };
                let tables = declared.tables().cloned();
                let sink = SqliteSink::open(path, tables).map_err(|error| self.failed(&error))?;
                Ok(job.with(sink, rows))
            }
        }
    }

    /// What stands in the way of a projection, without making anything. `Ok` holds what is only to be noted.
    pub(crate) fn inspect(&self, declared: &Declared) -> Outcome<Vec<Obstacle>> {
        match &self.scheme {
            Scheme::Sqlite(_) if declared.tables().next().is_none() => {
                Err(self.has_no("series of points: declare a [table]"))
            }
            Scheme::Sqlite(path) => {
                let tables: Vec<_> = declared.tables().cloned().collect();
                factum_sink_sqlite::inspect(path, declared.name(), &tables)
                    .map_err(|error| self.failed(&error))
            }
        }
    }

    /// Asks the read model.
    pub(crate) fn query(
        &self,
        sql: &str,
        limits: factum_query::Limits,
        is_stopped: impl Fn() -> bool + Send + 'static,
        out: factum_query::Out<'_>,
    ) -> Result<factum_query::Done, factum_query::Error> {
        match &self.scheme {
            Scheme::Sqlite(path) => factum_query::sqlite(path, sql, limits, is_stopped, out),
        }
    }

    fn has_no(&self, what: &str) -> Failure {
        Failure::usage(format!("{} holds no {what}", self.shown()))
    }

    /// An error of the sink, as a failure that names it.
    pub(crate) fn failed(&self, error: &Error) -> Failure {
        let mut failure = failed(error);
        let shown = self.shown();
        if !failure.message.contains(&shown) {
            failure.message = format!("{shown}: {}", failure.message);
        }
        failure
    }

    /// The password, read now.
    pub(crate) fn secret(&self, secret: &Secret) -> Outcome<String> {
        match secret {
            Secret::Variable(name) => variable(name).ok_or_else(|| {
                Failure::usage(format!(
                    "the variable {name} of {} is not set",
                    self.shown()
                ))
            }),
            Secret::File(path) => {
                let path = self.base.join(path);
                let bytes = crate::files::read_whole(&path, 64 << 10)?;
                let text = String::from_utf8(bytes).map_err(|_not_text| {
                    Failure::error(format!("{} holds no text", path.display()))
                })?;
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the variable that the user named for a secret"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An error of a projection as a failure.
pub(crate) fn failed(error: &Error) -> Failure {
    let (exit, kind, hint) = match error.kind() {
        Kind::Unavailable => (
            Exit::Unreachable,
            "unavailable",
            Some("the sink is down, or busy; try again in a moment"),
        ),
        Kind::Fenced => (
            Exit::Conflict,
            "fenced",
            Some("another `factum project run` keeps this projection; one is enough"),
        ),
        Kind::Invalid if error.to_string().contains("build a new generation") => (
            Exit::Conflict,
            "changed",
            Some(
                "the file was changed: `factum project rebuild FILE` makes a new generation and switches to it",
            ),
        ),
        Kind::Store(kind) => {
            let store = factum_store::StoreError::new(kind, error.to_string());
            return Failure::from(store);
        }
        _ => (Exit::Error, "invalid", None),
    };
    let failure = Failure::new(exit, kind, error.to_string());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
