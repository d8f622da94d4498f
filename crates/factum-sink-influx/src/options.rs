//! Where points go.
//!
//! Relies on: [`factum_http_client::Options`] for how the server is reached. Never: knows a projection.

use factum_http_client::{Credentials, Options as Http};
use factum_projection::Error;

/// Which interface a server is spoken to by. The lines are the same for all; what is remembered is asked for in `InfluxQL`, which all have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Api {
    /// `/write` and `/query`: InfluxDB 1.
    #[default]
    V1,
    /// `/api/v2/write`: InfluxDB 2, in this organization.
    V2 {
        /// Its name.
        organization: String,
    },
    /// `/api/v3/write_lp`: InfluxDB 3.
    V3,
}

/// How a projection is kept in InfluxDB.
///
/// ```
/// use factum_sink_influx::{Api, Options};
///
/// let old = Options::new("http://factum:secret@localhost:8086", "orders")?;
/// let new = Options::new("https://localhost:8181", "orders")?.api(Api::V3).token("secret");
/// # Ok::<(), factum_projection::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How the server is reached: address, credentials, certificates, limits.
    pub http: Http,
    /// Generation 3 is in the database, or bucket, of this name with `_g3` behind it.
    pub database: String,
    /// The database, or bucket, of what the sink remembers. Default: `factum`.
    pub meta: String,
    /// Which interface the server is spoken to by.
    pub api: Api,
}

impl Options {
    /// The server at this address, and the name of what readers read there.
    ///
    /// # Errors
    /// [`Kind::Invalid`](factum_projection::Kind::Invalid): it is no address.
    pub fn new(address: &str, database: &str) -> Result<Self, Error> {
        Ok(Self::with(Http::new(address)?, database))
    }

    /// The server that is reached like this.
    #[must_use]
    pub fn with(http: Http, database: &str) -> Self {
        Self {
            http,
            database: database.to_owned(),
            meta: "factum".to_owned(),
            api: Api::V1,
        }
    }

    /// With this interface.
    #[must_use]
    pub fn api(mut self, api: Api) -> Self {
        self.api = api;
        self
    }

    /// With this token; the interface must be given before it, for each has a word of its own for it.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        let scheme = match self.api {
            Api::V2 { .. } => "Token",
            _ => "Bearer",
        };
        self.http.credentials = Credentials::scheme(scheme, token);
        self
    }

    /// With what the sink remembers in this database.
    #[must_use]
    pub fn meta(mut self, meta: impl Into<String>) -> Self {
        self.meta = meta.into();
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        for name in [&self.database, &self.meta] {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let first = name.chars().next();
            let good = first.is_some_and(|c| c.is_ascii_alphanumeric())
                && name.len() <= 50
                && name.chars().all(plain);
            if !good {
                return Err(Error::invalid(format!(
                    "{name:?} cannot name a database: use at most 50 of a-z, A-Z, 0-9, - and _, a letter or digit first"
                )));
            }
        }
        Ok(())
    }
}
