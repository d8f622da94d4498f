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
    scheme: Scheme,
}

/// What kind of sink.
#[derive(Debug, Clone)]
enum Scheme {
    Sqlite(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(factum_sink_postgres::Options),
    #[cfg(feature = "elastic")]
    Elastic(factum_sink_elastic::Options),
    #[cfg(feature = "influx")]
    Influx(factum_sink_influx::Options),
}

/// What can be named as a sink.
const KNOWN: &[&str] = &[
    "sqlite:PATH",
    #[cfg(feature = "postgres")]
    "postgres://USER@HOST/DATABASE",
    #[cfg(feature = "elastic")]
    "elasticsearch://HOST:PORT (or opensearch, or with +https)",
    #[cfg(feature = "influx")]
    "influxdb://HOST:PORT/DATABASE (or with +https)",
];

/// What to do when a sink does not let us in.
pub(crate) const WHERE_PASSWORDS_ARE: &str = "`password_file` or `password_env` under [sink] names where the password is; on the command line --password-file, --password-env";

const NO_POINTS: &str = "series of points: declare a [table]";

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
        place.check().map_err(Failure::usage)?;
        let shown = place.shown();
        let (scheme, rest) = place.url.split_once(':').unwrap_or((&place.url, ""));
        let scheme = match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() || path == ":memory:" {
                    let message = format!("{shown} names no file: write sqlite:PATH");
                    return Err(Failure::usage(message));
                }
                if !place.is_bare() {
                    let message = format!(
                        "{shown} is a file: it has no user, password, token, certificates or `api`"
                    );
                    return Err(Failure::usage(message));
                }
                Scheme::Sqlite(base.join(path))
            }
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Scheme::Postgres(postgres(place, base)?),
            #[cfg(feature = "elastic")]
            "elasticsearch" | "opensearch" => {
                Scheme::Elastic(super::http::elastic(place, "http", base)?)
            }
            #[cfg(feature = "elastic")]
            "elasticsearch+https" | "opensearch+https" => {
                Scheme::Elastic(super::http::elastic(place, "https", base)?)
            }
            #[cfg(feature = "influx")]
            "influxdb" => Scheme::Influx(super::http::influx(place, "http", base)?),
            #[cfg(feature = "influx")]
            "influxdb+https" => Scheme::Influx(super::http::influx(place, "https", base)?),
            _ => {
                let message = format!(
                    "there is no sink {shown:?} here; known are {}",
                    KNOWN.join(", ")
                );
                return Err(Failure::usage(message));
            }
        };
        Ok(Self {
            place: place.clone(),
            scheme,
        })
    }

    /// The address, without secrets.
    pub(crate) fn shown(&self) -> String {
        self.place.shown()
    }

    /// Whether both are one sink.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (&self.scheme, &other.scheme) {
            (Scheme::Sqlite(ours), Scheme::Sqlite(theirs)) => ours == theirs,
            _ => self.place.url == other.place.url,
        }
    }

    /// The sink, to be managed; it is not made.
    pub(crate) fn desk(&self) -> Outcome<Box<dyn Manage>> {
        match &self.scheme {
            Scheme::Sqlite(path) => {
                self.must_be_there()?;
                let sink = SqliteSink::open(path, []).map_err(|error| self.failed(&error))?;
                Ok(Box::new(sink))
            }
            #[cfg(feature = "postgres")]
            Scheme::Postgres(options) => Ok(Box::new(self.postgres(options, &[])?)),
            #[cfg(feature = "elastic")]
            Scheme::Elastic(options) => Ok(Box::new(self.elastic(options, &[])?)),
            #[cfg(feature = "influx")]
            Scheme::Influx(options) => Ok(Box::new(self.influx(options)?)),
        }
    }

    /// Fails when there is nothing to be read yet.
    pub(crate) fn must_be_there(&self) -> Outcome {
        match &self.scheme {
            Scheme::Sqlite(path) if !path.is_file() => {
                let message = format!("there is no file {}", path.display());
                Err(Failure::not_found(message).hint("`factum project run` makes it"))
            }
            _ => Ok(()),
        }
    }

    /// Opens the sink for what is declared, and does something with both.
    pub(crate) fn with<J: Job>(&self, declared: &Arc<Declared>, job: J) -> Outcome<J::Given> {
        match &self.scheme {
            Scheme::Sqlite(path) => {
                let Some(rows) = declared.rows() else {
                    return Err(self.has_no(NO_POINTS));
                };
                let tables = declared.tables().cloned();
                let sink = SqliteSink::open(path, tables).map_err(|error| self.failed(&error))?;
                Ok(job.with(sink, rows))
            }
            #[cfg(feature = "postgres")]
            Scheme::Postgres(options) => {
                let Some(rows) = declared.rows() else {
                    return Err(self.has_no(NO_POINTS));
                };
                let tables: Vec<_> = declared.tables().cloned().collect();
                Ok(job.with(self.postgres(options, &tables)?, rows))
            }
            #[cfg(feature = "elastic")]
            Scheme::Elastic(options) => {
                let Some(rows) = declared.rows() else {
                    return Err(self.has_no(NO_POINTS));
                };
                let tables: Vec<_> = declared.tables().cloned().collect();
                Ok(job.with(self.elastic(options, &tables)?, rows))
            }
            #[cfg(feature = "influx")]
            Scheme::Influx(options) => {
                let Some(points) = declared.points() else {
                    return Err(self.has_no("tables: declare [points]"));
                };
                Ok(job.with(self.influx(options)?, points))
            }
        }
    }

    /// What stands in the way of a projection, without making anything. `Ok` holds what is only to be noted.
    pub(crate) fn inspect(&self, declared: &Declared) -> Outcome<Vec<Obstacle>> {
        match &self.scheme {
            #[cfg(feature = "influx")]
            Scheme::Influx(options) => {
                if declared.measurements().is_empty() {
                    return Err(self.has_no("tables: declare [points]"));
                }
                let mut sink = self.influx(options)?;
                pollster::block_on(sink.inspect(declared.name()))
                    .map_err(|error| self.failed(&error))
            }
            _ if declared.tables().next().is_none() => Err(self.has_no(NO_POINTS)),
            #[cfg(feature = "elastic")]
            Scheme::Elastic(options) => {
                let tables: Vec<_> = declared.tables().cloned().collect();
                let mut sink = self.elastic(options, &tables)?;
                pollster::block_on(sink.inspect(declared.name()))
                    .map_err(|error| self.failed(&error))
            }
            #[cfg(feature = "postgres")]
            Scheme::Postgres(options) => {
                let tables: Vec<_> = declared.tables().cloned().collect();
                let mut sink = self.postgres(options, &tables)?;
                pollster::block_on(sink.inspect(declared.name()))
                    .map_err(|error| self.failed(&error))
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
            #[cfg(feature = "postgres")]
            Scheme::Postgres(options) => {
                let sink = factum_sink_postgres::PostgresSink::open(options.clone(), []);
                super::postgres::ask(sink, sql, limits, is_stopped, out)
            }
            #[cfg(any(feature = "elastic", feature = "influx"))]
            _ => {
                let what = format!(
                    "{} does not speak SQL: ask it in its own language",
                    self.shown()
                );
                Err(factum_query::Error::new(factum_query::Kind::Invalid, what))
            }
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

    #[cfg(feature = "postgres")]
    fn postgres(
        &self,
        options: &factum_sink_postgres::Options,
        tables: &[factum_projection::Table],
    ) -> Outcome<factum_sink_postgres::PostgresSink> {
        let sink = factum_sink_postgres::PostgresSink::open(options.clone(), tables.to_vec());
        sink.map_err(|error| self.failed(&error))
    }

    #[cfg(feature = "elastic")]
    fn elastic(
        &self,
        options: &factum_sink_elastic::Options,
        tables: &[factum_projection::Table],
    ) -> Outcome<factum_sink_elastic::ElasticSink> {
        let sink = factum_sink_elastic::ElasticSink::new(options.clone(), tables.to_vec());
        sink.map_err(|error| self.failed(&error))
    }

    #[cfg(feature = "influx")]
    fn influx(
        &self,
        options: &factum_sink_influx::Options,
    ) -> Outcome<factum_sink_influx::InfluxSink> {
        let sink = factum_sink_influx::InfluxSink::new(options.clone());
        sink.map_err(|error| self.failed(&error))
    }
}

/// How to connect to the PostgreSQL of a place.
#[cfg(feature = "postgres")]
fn postgres(place: &SinkPlace, base: &Path) -> Outcome<factum_sink_postgres::Options> {
    use factum_sink_postgres::Options;
    let invalid = |error: Error| Failure::usage(format!("{}: {error}", place.shown()));
    let url = match &place.ca_file {
        Some(roots) => with_roots(&place.url, &base.join(roots)),
        None => place.url.clone(),
    };
    let mut options = Options::from_url(&url).map_err(invalid)?;
    options = match &place.password {
        Some(Secret::File(path)) => options.password_file(base.join(path)),
        Some(Secret::Variable(name)) => options.password(secret(name, place)?),
        None => options,
    };
    if place.user.is_some() || place.token.is_some() || place.api.is_some() {
        let message = format!(
            "{}: the user stands in the URL, postgres://USER@HOST/DATABASE, and there is no token",
            place.shown()
        );
        return Err(Failure::usage(message));
    }
    Ok(options)
}

/// The address with a file of certificates to trust, which means nothing without a look at the server's.
#[cfg(feature = "postgres")]
fn with_roots(url: &str, roots: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let before = if url.contains('?') { '&' } else { '?' };
    let mut with = format!("{url}{before}sslrootcert=");
    for byte in roots.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                with.push(char::from(*byte));
            }
            _ => with.push_str(&format!("%{byte:02X}")),
        }
    }
    if !url.contains("sslmode=") {
        with.push_str("&sslmode=verify-full");
    }
    with
}

/// The secret in a variable.
#[cfg(any(feature = "postgres", feature = "elastic", feature = "influx"))]
#[expect(
    clippy::disallowed_methods,
    reason = "the variable that the user named for a secret"
)]
pub(super) fn secret(name: &str, place: &SinkPlace) -> Outcome<String> {
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        // Whoever wrote the password itself there sees it nowhere.
        let message = format!(
            "{}: --password-env and `password_env` take the name of a variable, not what is in it",
            place.shown()
        );
        return Err(Failure::usage(message));
    }
    std::env::var(name).map_err(|_not_set| {
        let message = format!(
            "the variable {name}, which holds the password of {}, is not set",
            place.shown()
        );
        Failure::usage(message)
    })
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
        Kind::Denied => (Exit::Denied, "denied", Some(WHERE_PASSWORDS_ARE)),
        Kind::Outdated => (
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
