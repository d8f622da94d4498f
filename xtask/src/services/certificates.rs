//! A certificate authority of one server, and a certificate for loopback by it.
//!
//! For tests of TLS: clients are told to trust `ca.pem`. Never: is used for anything else; its key is thrown away at once.

use std::os::unix::fs::PermissionsExt;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::place::{Place, User, give};

/// Writes `ca.pem`, `server.pem` and `server.key`, unless they are there; the key is for this user only.
pub(super) fn make(place: &Place, user: Option<&User>) -> Result<(), String> {
    if ["ca.pem", "server.pem", "server.key"]
        .iter()
        .all(|name| place.path(name).exists())
    {
        return Ok(());
    }
    let made = generate().map_err(|error| format!("cannot make certificates: {error}"))?;
    let [authority, certificate, key] = &made;
    place.write("ca.pem", authority.trim_end())?;
    place.write("server.pem", certificate.trim_end())?;
    place.write("server.key", key.trim_end())?;
    let key = place.path("server.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| format!("cannot protect {}: {error}", key.display()))?;
    give(&key, user)
}

fn generate() -> Result<[String; 3], rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::<String>::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(DnType::CommonName, "factum tests");
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut server = CertificateParams::new(names)?;
    server
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    let certificate = server.signed_by(&key, &issuer)?.pem();
    Ok([authority_pem, certificate, key.serialize_pem()])
}
