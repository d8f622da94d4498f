//! The address of a server, and who stands in it.
//!
//! Relies on: nothing. Never: shows a password, neither by `Debug` nor in an error; an error does not even repeat the address.

use std::fmt;

use factum_store::StoreError;
use http::Uri;

use crate::options::Credentials;

/// The address of a server: `http://host:port` or `https://user:password@host:port`.
///
/// A user and a password are written as in any URL: `%40` is `@`, `%3A` is `:`, `%2F` is `/`. The last `@` ends them, the first `:` is between them.
///
/// ```
/// use factum_client::Address;
///
/// let address = Address::parse("https://anna%40example.org:secret@events:2113")?;
/// assert_eq!(address.user(), Some("anna@example.org"));
/// assert!(address.has_password());
/// assert!(!format!("{address:?}").contains("secret"));
/// # Ok::<(), factum_store::StoreError>(())
/// ```
#[derive(Clone)]
pub struct Address {
    pub(crate) uri: Uri,
    user: Option<String>,
    password: Option<String>,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`Kind::Invalid`](factum_store::Kind::Invalid), saying what is wrong with it and not what it is: there may be a password in it.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
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
                "goes on after the port; it is a host and a port only, and in a user or password a slash is written %2F",
            ));
        }
        let (who, host) = match rest.rsplit_once('@') {
            Some((who, host)) => (Some(who), host),
            None => (None, rest),
        };
        if host.is_empty() || host.starts_with(':') {
            return Err(wrong("has no host"));
        }
        let uri = format!("{scheme}://{host}");
        let uri = uri
            .parse()
            .map_err(|error: http::uri::InvalidUri| wrong(&format!("is none: {error}")))?;
        let (user, password) = match who.map(|who| who.split_once(':')) {
            Some(Some((user, password))) => (Some(user), Some(password)),
            Some(None) => (who, None),
            None => (None, None),
        };
        let decode = |text: &str| {
            decoded(text)
                .ok_or_else(|| wrong("has a user or password that is not encoded as it should be"))
        };
        let (user, password) = (
            user.map(decode).transpose()?,
            password.map(decode).transpose()?,
        );
        if user.as_ref().is_some_and(|user| user.contains(':')) {
            return Err(wrong(
                "has a user with a colon in its name, as no server knows",
            ));
        }
        Ok(Self {
            uri,
            user,
            password,
        })
    }

    /// The user who stands in it, decoded.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether there is a password in it, if only an empty one.
    #[must_use]
    pub const fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Who stands in it, as it is sent.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        let password = self.password.as_deref().unwrap_or_default();
        Some(Credentials::new(self.user.as_deref()?, password))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("uri", &self.uri)
            .field("user", &self.user)
            .finish_non_exhaustive()
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
    use super::Address;
    use crate::options::Credentials;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, Option<Credentials>), &str>) {
        match (Address::parse(text), expected) {
            (Ok(address), Ok((uri, credentials))) => {
                assert_eq!(address.uri.to_string(), uri);
                assert!(address.credentials() == credentials, "{text}");
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
        check(
            "http://a@b.c@x",
            Ok(("http://x/", Some(Credentials::new("a@b.c", "")))),
        );
        check("http://a%3Ab:c@x", Err("colon"));
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
