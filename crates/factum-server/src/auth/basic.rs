//! The `authorization` header: `Basic` credentials (RFC 7617).
//!
//! Relies on: nothing of ours. Never: repeats a password in a message or in debug output.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::error::Unauthenticated;
use super::limits::{HEADER_BYTES_MAX, PASSWORD_BYTES_MAX};

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A login and a password, as given.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) login: String,
    pub(super) password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

/// The credentials in a header's value.
pub(super) fn parse(header: &[u8]) -> Result<Credentials, Unauthenticated> {
    if header.len() > HEADER_BYTES_MAX {
        return Err(Unauthenticated::Malformed("it is too long"));
    }
    let header = header.trim_ascii();
    let end = header.iter().position(|byte| *byte == b' ');
    let (scheme, rest) = header.split_at(end.unwrap_or(header.len()));
    if scheme.eq_ignore_ascii_case(b"basic") {
        return basic(rest.trim_ascii());
    }
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(Unauthenticated::Bearer);
    }
    Err(Unauthenticated::Malformed("its scheme is not Basic"))
}

fn basic(encoded: &[u8]) -> Result<Credentials, Unauthenticated> {
    let malformed = Unauthenticated::Malformed;
    let decoded = BASE64.decode(encoded).ok();
    let decoded = decoded.ok_or(malformed("its credentials are not Base64"))?;
    let text = String::from_utf8(decoded).ok();
    let text = text.ok_or(malformed("its credentials are not UTF-8"))?;
    let pair = text.split_once(':');
    let (login, password) = pair.ok_or(malformed("its credentials have no colon"))?;
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(malformed("its password is too long"));
    }
    Ok(Credentials {
        login: login.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: Result<(&str, &str), &str>) {
        let found = parse(header.as_bytes());
        let found = found
            .as_ref()
            .map(|of| (of.login.as_str(), of.password.as_str()));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{header}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{header}: {error}");
            }
            (found, expected) => panic!("{header}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn credentials_are_read() {
        check("Basic YWRtaW46Y2hhbmdlaXQ=", Ok(("admin", "changeit")));
        check("basic  YWRtaW46Y2hhbmdlaXQ", Ok(("admin", "changeit")));
        check("BASIC YTpiOmM=", Ok(("a", "b:c")));
        check("Basic Og==", Ok(("", "")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("", Err("scheme"));
        check("Digest x", Err("scheme"));
        check("Basic", Err("no colon"));
        check("Basic %%%", Err("Base64"));
        check("Basic YWRtaW4=", Err("no colon"));
        check("Basic //86/w==", Err("UTF-8"));
        check("Bearer x.y.z", Err("Bearer tokens are not taken"));
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        let header = format!("Basic {}", BASE64.encode(format!("a:{long}")));
        check(&header, Err("password is too long"));
        let header = format!("Basic {}", "A".repeat(HEADER_BYTES_MAX));
        check(&header, Err("it is too long"));
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = parse(b"Basic YWRtaW46Y2hhbmdlaXQ=").unwrap();
        assert!(!format!("{credentials:?}").contains("changeit"));
    }
}
