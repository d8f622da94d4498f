//! Where a server is, and how long and how much we let it answer.
//!
//! Relies on: nothing. Never: keeps a password in the address.

use std::path::PathBuf;
use std::time::Duration;

use factum_projection::Error;

use crate::credentials::Credentials;

/// How a server is reached.
///
/// ```
/// use factum_http_client::Options;
///
/// let options = Options::new("https://factum:secret@localhost:9200/search/")?;
/// assert_eq!(options.url(), "https://localhost:9200/search");
/// assert!(!options.credentials.is_none());
/// # Ok::<(), factum_projection::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    url: String,
    /// Who we are. A user and password in the address are taken from there.
    pub credentials: Credentials,
    /// A PEM file with the certificates to trust in place of those that the system trusts.
    pub authorities: Option<PathBuf>,
    /// How long a request may take in all. Default: 30 seconds.
    pub timeout: Duration,
    /// How long a connection may take to be made. Default: 5 seconds.
    pub timeout_connect: Duration,
    /// The longest answer that is taken. Default: 64 MiB.
    pub answer_bytes_max: u64,
}

impl Options {
    /// The server at this address, `http://` or `https://`.
    ///
    /// # Errors
    /// [`Kind::Invalid`](factum_projection::Kind::Invalid): it is no such address.
    pub fn new(address: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Err(Error::invalid(format!("the address of the server {why}")));
        let Some((scheme, rest)) = address.split_once("://") else {
            return wrong("has no scheme: use http:// or https://");
        };
        if !matches!(scheme, "http" | "https") {
            return wrong("must begin with http:// or https://");
        }
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '"' | '<' | '>');
        if !rest.chars().all(plain) {
            return wrong("has characters that do not belong there");
        }
        let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            // Else the beginning of a password with a slash in it would be taken for the host, and shown.
            return wrong(
                "has an @ behind a slash: in a user or password a slash is written %2F, in a path an @ %40",
            );
        }
        let (user, host) = match server.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, server),
        };
        if host.is_empty() || host.starts_with(':') {
            return wrong("has no host");
        }
        let credentials = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            Some((user, password)) => match (decoded(user), decoded(password)) {
                (Some(user), Some(password)) => Credentials::basic(&user, &password),
                _ => return wrong("has a user or password that is not encoded as it should be"),
            },
            None => Credentials::none(),
        };
        let mut url = format!("{scheme}://{host}");
        if !path.is_empty() {
            url.push('/');
            url.push_str(path.trim_end_matches('/'));
        }
        Ok(Self {
            url,
            credentials,
            authorities: None,
            timeout: Duration::from_secs(30),
            timeout_connect: Duration::from_secs(5),
            answer_bytes_max: 64 << 20,
        })
    }

    /// The address, without user and password, and without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// With these credentials.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Trusting the certificates in this PEM file, and no others.
    #[must_use]
    pub fn authorities(mut self, file: impl Into<PathBuf>) -> Self {
        self.authorities = Some(file.into());
        self
    }

    /// With this much time for a request; half of it, at most 5 seconds, for the connection.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self.timeout_connect = self.timeout_connect.min(timeout / 2);
        self
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
    use super::*;

    fn check(address: &str, expected: Result<(&str, Credentials), &str>) {
        match (Options::new(address), expected) {
            (Ok(options), Ok((url, credentials))) => {
                assert_eq!(options.url(), url);
                assert_eq!(options.credentials, credentials);
            }
            (Err(error), Err(why)) => {
                assert!(error.to_string().contains(why), "{address}: {error}");
                assert!(!format!("{error:?}").contains("sesame"), "{error:?}");
            }
            (options, _) => panic!("{address}: {options:?}"),
        }
    }

    #[test]
    fn an_address_is_a_server_and_who_we_are() {
        check(
            "http://localhost:9200",
            Ok(("http://localhost:9200", Credentials::none())),
        );
        check(
            "https://[::1]:9200/a/b/",
            Ok(("https://[::1]:9200/a/b", Credentials::none())),
        );
        let both = Credentials::basic("a@b", "c:d/e");
        check("http://a%40b:c:d%2Fe@x", Ok(("http://x", both)));
        check("http://a@x", Ok(("http://x", Credentials::basic("a", ""))));
        check("localhost", Err("no scheme"));
        check("ftp://localhost", Err("must begin with"));
        check("http://", Err("no host"));
        check("http://:9200", Err("no host"));
        check("http://a%4:b@x", Err("not encoded"));
        check("http://a%+1:b@x", Err("not encoded"));
        check("http://x/?a=b", Err("do not belong"));
        check("http://a:open/sesame@x", Err("has an @ behind a slash"));
        check("http://x y", Err("do not belong"));
        check("http://x/\r\nHost: y", Err("do not belong"));
    }
}
