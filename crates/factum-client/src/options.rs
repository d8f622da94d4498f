//! How a server is reached, and who we are to it.
//!
//! Relies on: nothing. Never: shows a password.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// A user and a password, as they are sent.
///
/// ```
/// use factum_client::Credentials;
///
/// let credentials = Credentials::new("anna", "secret");
/// assert_eq!(format!("{credentials:?}"), "Credentials(…)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(String);

impl Credentials {
    /// This user with this password.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self(format!(
            "Basic {}",
            STANDARD.encode(format!("{user}:{password}"))
        ))
    }

    /// The value of the header `authorization`.
    pub(crate) fn header(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// How a server is reached, and what is waited for and held at most.
///
/// ```
/// use factum_client::{ClientOptions, Credentials};
///
/// let options = ClientOptions::default().credentials(Credentials::new("anna", "secret"));
/// assert_eq!(options.timeout.as_secs(), 30);
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    /// Who we are. The user and the password in the address are taken where there are none here.
    pub credentials: Option<Credentials>,
    /// Certificates to trust in place of those that the system trusts, as PEM; for `https://`.
    pub authorities: Option<Bytes>,
    /// The name that the server's certificate has to be for, where it is not the host of the address.
    pub server_name: Option<String>,
    /// For the answer to a request, from the moment that it waits to be sent. Default: 30 seconds.
    pub timeout: Duration,
    /// For a connection to be made. Default: 5 seconds.
    pub timeout_connect: Duration,
    /// Between two pings of a connection, and for the answer to one: so long a server that has gone is waited for. Default: 20 seconds.
    pub keep_alive: Duration,
    /// How often in a row a subscription tries to go on where it was when its connection broke; with pauses of 50 milliseconds at first, and
    /// of 5 seconds in the end. Default: 10.
    pub subscription_retries: u32,
    /// Bytes of all appends that were sent and have no answer yet; more wait, in their order, and a larger one goes alone. Default: 32 MiB.
    pub append_bytes_in_flight: usize,
    /// Bytes of one append as it is sent. Default: 16 MiB, which servers take unless told otherwise.
    pub append_bytes: usize,
    /// Reads and subscriptions at once; one more is refused. Default: 1 000, a little less than servers allow.
    pub streams: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            credentials: None,
            authorities: None,
            server_name: None,
            timeout: Duration::from_secs(30),
            timeout_connect: Duration::from_secs(5),
            keep_alive: Duration::from_secs(20),
            subscription_retries: 10,
            append_bytes_in_flight: 32 << 20,
            append_bytes: 16 << 20,
            streams: 1_000,
        }
    }
}

impl ClientOptions {
    /// With these credentials.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Trusting these certificates, as PEM, and no others.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Bytes>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// With this much time for an answer; for a connection no more than that.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self.timeout_connect = self.timeout_connect.min(timeout);
        self
    }
}
