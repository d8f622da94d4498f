//! Who we are to a server.
//!
//! Relies on: nothing. Never: is shown, neither by `Debug` nor in an error.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What is sent in the header `Authorization`.
///
/// ```
/// use factum_http_client::Credentials;
///
/// let credentials = Credentials::basic("factum", "secret");
/// assert_eq!(format!("{credentials:?}"), "Credentials(Basic …)");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(Option<Header>);

#[derive(Clone, PartialEq, Eq)]
struct Header {
    scheme: String,
    secret: String,
}

impl Credentials {
    /// None: the header is not sent.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// A user and a password.
    #[must_use]
    pub fn basic(user: &str, password: &str) -> Self {
        let secret = STANDARD.encode(format!("{user}:{password}"));
        Self::scheme("Basic", secret)
    }

    /// A token of any other scheme, such as `Bearer`, `Token` or `ApiKey`.
    #[must_use]
    pub fn scheme(scheme: impl Into<String>, secret: impl Into<String>) -> Self {
        Self(Some(Header {
            scheme: scheme.into(),
            secret: secret.into(),
        }))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn header(&self) -> Option<String> {
        let Header { scheme, secret } = self.0.as_ref()?;
        Some(format!("{scheme} {secret}"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(Header { scheme, .. }) => write!(f, "Credentials({scheme} …)"),
            None => f.write_str("Credentials(none)"),
        }
    }
}
