//! A certificate for trying things out, and the authority for it.
//!
//! Relies on: rcgen. Never: keeps the authority's key, so that nothing else can be signed by what clients were told to trust.

use std::time::Duration;

use factum_io::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use super::TlsError;

/// Names that a machine has for itself.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Some clients refuse certificates that are valid for longer than some 800 days.
const VALID_FOR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The end of the calendar that certificates know, roughly.
const NOW_MAX: u64 = 250_000_000_000;

/// A certificate with its key, and the certificate of who signed it, in PEM.
pub(super) struct Made {
    pub(super) key: CertifiedKey,
    pub(super) authority: String,
}

pub(super) fn make(clock: &dyn Clock, names: &[String]) -> Result<Made, TlsError> {
    let mut all: Vec<String> = LOCAL.map(str::to_owned).to_vec();
    for name in names {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    let shown = all.join(", ");
    let failed = |error| TlsError::Dev {
        names: shown.clone(),
        error,
    };
    let (certificate, key, authority) = sign(clock, all).map_err(failed)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|what| TlsError::Setup(rustls::Error::General(what.to_owned())))?;
    let signing = default_provider().key_provider.load_private_key(key);
    let chain = vec![certificate.der().clone()];
    Ok(Made {
        key: CertifiedKey::new(chain, signing.map_err(TlsError::Setup)?),
        authority,
    })
}

fn sign(
    clock: &dyn Clock,
    names: Vec<String>,
) -> Result<(rcgen::Certificate, KeyPair, String), rcgen::Error> {
    let mut authority = parameters(clock, Vec::new(), "Factum development authority")?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let mut server = parameters(clock, names, "Factum development server")?;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;
    Ok((certificate, key, authority_pem))
}

fn parameters(
    clock: &dyn Clock,
    names: Vec<String>,
    common_name: &str,
) -> Result<CertificateParams, rcgen::Error> {
    let now = u64::try_from(clock.now_us() / 1_000_000).unwrap_or(0);
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now.min(NOW_MAX));
    let mut parameters = CertificateParams::new(names)?;
    parameters.not_before = now - DAY;
    parameters.not_after = now + VALID_FOR;
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    Ok(parameters)
}
