//! How a server is reached, and who we are to it.
//!
//! Relies on: nothing. Never: shows a password, neither by `Debug` nor in an error.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use factum_store::StoreError;
use http::Uri;

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
    /// Who we are. A user and a password in the address are taken where there are none here.
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
    /// Bytes of all appends that have no answer yet; more wait. Default: 32 MiB.
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

/// An address, with the credentials that stood in it apart.
pub(crate) struct Address {
    pub(crate) uri: Uri,
    pub(crate) credentials: Option<Credentials>,
}

impl Address {
    /// Reads `http://host:port` or `https://user:password@host:port`. Errors do not repeat it: there may be a password in it.
    pub(crate) fn parse(text: &str) -> Result<Self, StoreError> {
        let wrong = |why: &str| StoreError::invalid(format!("the address of the server {why}"));
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("has no scheme: use http:// or https://"));
        };
        if !matches!(scheme, "http" | "https") {
            return Err(wrong("must begin with http:// or https://"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(wrong(
                "goes on after the port; it is a host and a port only",
            ));
        }
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        if host.is_empty() || host.starts_with(':') {
            return Err(wrong("has no host"));
        }
        let uri = format!("{scheme}://{host}");
        let uri = uri
            .parse()
            .map_err(|error: http::uri::InvalidUri| wrong(&format!("is none: {error}")))?;
        let credentials = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            Some((user, password)) => match (decoded(user), decoded(password)) {
                (Some(user), Some(password)) => Some(Credentials::new(&user, &password)),
                _ => {
                    return Err(wrong(
                        "has a user or password that is not encoded as it should be",
                    ));
                }
            },
            None => None,
        };
        Ok(Self { uri, credentials })
    }
}

/// Text with `%41` for `A`; `None` when it is not well formed.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{Address, Credentials};

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, Option<Credentials>), &str>) {
        match (Address::parse(text), expected) {
            (Ok(address), Ok((uri, credentials))) => {
                assert_eq!(address.uri.to_string(), uri);
                assert!(address.credentials == credentials, "{text}");
            }
            (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{text}: {error}"),
            (found, _) => panic!("{text}: {:?}", found.map(|address| address.uri)),
        }
    }

    #[test]
    fn an_address_is_a_server_and_who_we_are() {
        check(
            "http://localhost:2113",
            Ok(("http://localhost:2113/", None)),
        );
        check("https://[::1]:2113/", Ok(("https://[::1]:2113/", None)));
        let both = Credentials::new("a@b", "c:d/e");
        check("http://a%40b:c:d%2Fe@x", Ok(("http://x/", Some(both))));
        check(
            "http://a@x",
            Ok(("http://x/", Some(Credentials::new("a", "")))),
        );
        check("localhost", Err("no scheme"));
        check("ftp://localhost", Err("must begin with"));
        check("http://", Err("no host"));
        check("http://:2113", Err("no host"));
        check("http://a%4:b@x", Err("not encoded"));
        check("http://a%+1:b@x", Err("not encoded"));
        check("http://x/a", Err("goes on after the port"));
        check("http://x y", Err("is none"));
    }

    #[test]
    fn no_error_has_the_password() {
        for text in [
            "http://a:secret@",
            "http://a:secret@x/y",
            "ftp://a:secret@x",
            "http://a:secret@x y",
        ] {
            let error = Address::parse(text).map(|address| address.uri).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{text}: {error}");
        }
    }
}
