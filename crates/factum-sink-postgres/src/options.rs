//! Where the server is, who we are there, and how much of that may be heard by others.
//!
//! Relies on: the URL being one of libpq's. Never: shows a password; reads the environment.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use factum_projection::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the answer to what a batch sends may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// PostgreSQL cuts longer names.
const SCHEMA_BYTES_MAX: usize = 63;

/// What is asked of the connection: `sslmode` of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tls {
    /// Nothing: all can be read on the way. So can the password when the server asks for it in clear text (`password` in its `pg_hba.conf`), or
    /// when another answers in its place and does; asked for by `scram-sha-256` it is not sent.
    Disable,
    /// Encrypted where the server can; not proof against one who answers in its place, or says that the server cannot: then as [`Tls::Disable`].
    #[default]
    Prefer,
    /// Encrypted, or not at all; not proof against one who answers in the server's place.
    Require,
    /// Encrypted, and the server has a certificate for its name by an authority that we trust.
    VerifyFull,
}

/// How to connect.
///
/// ```
/// use factum_sink_postgres::{Options, Tls};
///
/// let url = "postgres://shop@db.example/read?sslmode=verify-full&sslrootcert=/etc/ssl/shop-ca.pem";
/// let options = Options::from_url(url)?.password("secret").schema("reports")?;
/// assert_eq!(options.tls(), Tls::VerifyFull);
/// assert_eq!(options.to_string(), "postgres://shop@db.example:5432/read");
/// # Ok::<(), factum_projection::Error>(())
/// ```
#[derive(Clone)]
pub struct Options {
    config: Config,
    password_file: Option<PathBuf>,
    tls: Tls,
    root_file: Option<PathBuf>,
    schema: String,
    answer_within: Duration,
}

impl Options {
    /// From `postgres://user:password@host:port/database?option=value`, with what libpq takes there: among the options `sslmode` (`disable`,
    /// `prefer`, `require`, `verify-full`), `sslrootcert` (a file of certificates, for `verify-full`) and `connect_timeout`; and
    /// of our own `schema` and `password_file`. A password needs not stand there: see [`Options::password`] and [`Options::password_file`].
    ///
    /// # Errors
    /// [`Kind::Invalid`](factum_projection::Kind::Invalid): what is not understood.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(Error::invalid(
                "the address of PostgreSQL must begin with postgres://",
            ));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut own = Self::with(Config::new());
        let mut rest = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = decoded(name, value)?;
            match name {
                "sslmode" => own.tls = Tls::parse(&value)?,
                "sslrootcert" => own.root_file = Some(value.into()),
                "password_file" => own.password_file = Some(value.into()),
                "schema" => own = own.schema(&value)?,
                _ => rest.push(option),
            }
        }
        let rest = if rest.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", rest.join("&"))
        };
        let config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            let why = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            Error::invalid(format!(
                "the address of PostgreSQL is not understood: {why}"
            ))
        })?;
        let options = Self {
            config: with_limits(config),
            ..own
        };
        options.check_tls()?;
        Ok(options)
    }

    /// From a configuration of `tokio-postgres`; its `ssl_mode` counts.
    #[must_use]
    pub fn from_config(config: Config) -> Self {
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => Tls::Disable,
            SslMode::Require => Tls::Require,
            _ => Tls::Prefer,
        };
        Self {
            tls,
            ..Self::with(with_limits(config))
        }
    }

    fn with(config: Config) -> Self {
        Self {
            config,
            password_file: None,
            tls: Tls::default(),
            root_file: None,
            schema: "public".to_owned(),
            answer_within: ANSWER_WITHIN,
        }
    }

    /// With this password, in place of one in the URL.
    #[must_use]
    pub fn password(mut self, password: impl AsRef<[u8]>) -> Self {
        self.config.password(password);
        self.password_file = None;
        self
    }

    /// With the password that stands in this file, up to the end of its first line. Read again for every connection, so that it can be changed.
    #[must_use]
    pub fn password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.password_file = Some(path.into());
        self
    }

    /// In this schema, which is made when it is not there. Default: `public`.
    ///
    /// # Errors
    /// [`Kind::Invalid`](factum_projection::Kind::Invalid): PostgreSQL cannot call a schema so.
    pub fn schema(mut self, name: &str) -> Result<Self, Error> {
        let reserved = name.starts_with("pg_") || name == "information_schema";
        if name.is_empty() || name.len() > SCHEMA_BYTES_MAX || name.contains('\0') || reserved {
            let what = format!(
                "{name:?} cannot name a schema: at most {SCHEMA_BYTES_MAX} bytes, not beginning with pg_"
            );
            return Err(Error::invalid(what));
        }
        name.clone_into(&mut self.schema);
        Ok(self)
    }

    /// Only by such connections; `roots` is a file of certificates, in PEM, that a server's may be signed by.
    ///
    /// # Errors
    /// [`Kind::Invalid`](factum_projection::Kind::Invalid): [`Tls::VerifyFull`] without such a file, or another with one.
    pub fn with_tls(mut self, tls: Tls, roots: Option<&Path>) -> Result<Self, Error> {
        self.tls = tls;
        self.root_file = roots.map(Path::to_path_buf);
        self.check_tls()?;
        Ok(self)
    }

    /// How long the answer to what a batch sends may take before the connection is given up. Default: one minute. In a bulk what takes longer is
    /// tried again in smaller steps.
    #[must_use]
    pub const fn answer_within(mut self, limit: Duration) -> Self {
        self.answer_within = limit;
        self
    }

    /// What is asked of the connection.
    #[must_use]
    pub const fn tls(&self) -> Tls {
        self.tls
    }

    /// The schema that the tables are in.
    #[must_use]
    pub fn schema_name(&self) -> &str {
        &self.schema
    }

    /// Whether a password was given, in whatever way.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.password_file.is_some() || self.config.get_password().is_some()
    }

    pub(crate) const fn answer_limit(&self) -> Duration {
        self.answer_within
    }

    pub(crate) fn root_file(&self) -> Option<&Path> {
        self.root_file.as_deref()
    }

    /// What to connect with now.
    pub(crate) fn config(&self) -> Result<Config, Error> {
        let mut config = self.config.clone();
        config.ssl_mode(match self.tls {
            Tls::Disable => SslMode::Disable,
            Tls::Prefer => SslMode::Prefer,
            Tls::Require | Tls::VerifyFull => SslMode::Require,
        });
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let what = format!("cannot read the password from {}: {error}", path.display());
                Error::invalid(what).because(error)
            })?;
            config.password(text.lines().next().unwrap_or_default());
        }
        Ok(config)
    }

    fn check_tls(&self) -> Result<(), Error> {
        let what = match (self.tls, &self.root_file) {
            (Tls::VerifyFull, None) => {
                "sslmode verify-full needs sslrootcert, a file of certificates to trust"
            }
            (Tls::Disable | Tls::Prefer | Tls::Require, Some(_)) => {
                "sslrootcert is looked at with sslmode verify-full only"
            }
            _ => return Ok(()),
        };
        Err(Error::invalid(what))
    }
}

impl Tls {
    fn parse(text: &str) -> Result<Self, Error> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-full" => Self::VerifyFull,
            _ => {
                let what =
                    format!("sslmode is disable, prefer, require or verify-full, not {text:?}");
                return Err(Error::invalid(what));
            }
        })
    }
}

/// The address, without a password.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            let ports = self.config.get_ports();
            if let Some(port) = ports.get(index).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        match self.config.get_dbname() {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("address", &format_args!("{self}"))
            .field("tls", &self.tls)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// A server that is gone without a word is noticed.
fn with_limits(mut config: Config) -> Config {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_WITHIN);
    }
    if config.get_application_name().is_none() {
        config.application_name("factum");
    }
    config
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3);
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(ANSWER_WITHIN);
    }
    config
}

fn decoded(name: &str, value: &str) -> Result<String, Error> {
    let bad = || {
        Error::invalid(format!(
            "the option {name} of the address is not well written"
        ))
    };
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().ok_or_else(bad)?, rest.next().ok_or_else(bad)?];
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(bad());
        }
        let digits = std::str::from_utf8(&digits).map_err(|error| bad().because(error))?;
        let byte = u8::from_str_radix(digits, 16).map_err(|error| bad().because(error))?;
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|error| bad().because(error))
}

#[cfg(test)]
mod tests {
    use super::{Options, Tls};

    fn check(url: &str, expected: Result<&str, &str>) {
        let seen = Options::from_url(url).map(|options| format!("{options:?}"));
        let seen = seen.map_err(|error| error.to_string());
        match expected {
            Ok(part) => assert!(seen.as_ref().is_ok_and(|it| it.contains(part)), "{seen:?}"),
            Err(part) => assert!(seen.as_ref().is_err_and(|it| it.contains(part)), "{seen:?}"),
        }
        let shown = format!("{seen:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn addresses_are_understood_and_passwords_not_shown() {
        check(
            "postgres://u:secret@h:1/d",
            Ok("postgres://u@h:1/d, tls: Prefer"),
        );
        check(
            "postgresql://u@h/d?sslmode=require&schema=a%20b",
            Ok("tls: Require, schema: \"a b\""),
        );
        check(
            "postgres://u:secret@h1:1,h2:2/d?connect_timeout=3",
            Ok("u@h1:1,h2:2/d"),
        );
        check(
            "postgres://u@h/d?sslmode=verify-full&sslrootcert=%2Fca",
            Ok("VerifyFull"),
        );
        check("mysql://u:secret@h/d", Err("must begin with postgres://"));
        check(
            "postgres://u:secret@h/d?sslmode=verify-ca",
            Err("not \"verify-ca\""),
        );
        check(
            "postgres://u:secret@h/d?sslmode=verify-full",
            Err("needs sslrootcert"),
        );
        check(
            "postgres://u:secret@h/d?sslrootcert=ca",
            Err("verify-full only"),
        );
        check("postgres://u:secret@h/d?schema=%2", Err("option schema"));
        check("postgres://u:secret@h/d?schema=%+1", Err("option schema"));
        check(
            "postgres://u:secret@h/d?schema=pg_x",
            Err("cannot name a schema"),
        );
        check("postgres://u:secret@h/d?nonsense=1", Err("nonsense"));
        check("postgres://u:secret@h:x/d", Err("not understood"));
    }

    #[test]
    fn a_password_may_come_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "it's secret\nnot this").unwrap();
        let options = Options::from_url("postgres://u@h/d").unwrap();
        assert!(!options.has_password());
        let options = options.password_file(&path);
        assert!(options.has_password());
        let config = options.config().unwrap();
        assert_eq!(config.get_password(), Some(&b"it's secret"[..]));
        drop(folder);
        let error = options.config().unwrap_err().to_string();
        assert!(error.contains("cannot read the password from"), "{error}");
        assert_eq!(options.tls(), Tls::Prefer);
    }
}
