//! Whom we trust.
//!
//! Relies on: rustls with ring. Never: trusts without a certificate.

use std::error::Error as StdError;
use std::io;

use factum_store::StoreError;
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::options::ClientOptions;

pub(crate) fn config(options: &ClientOptions) -> Result<ClientTlsConfig, StoreError> {
    let config = ClientTlsConfig::new().timeout(options.timeout_connect);
    let config = match &options.authorities {
        Some(pem) => {
            if !pem.windows(BEGIN.len()).any(|part| part == BEGIN) {
                let text = "the authorities to trust are no PEM with a certificate in it";
                return Err(StoreError::invalid(text));
            }
            config.ca_certificate(Certificate::from_pem(pem))
        }
        None => config.with_native_roots(),
    };
    Ok(match &options.server_name {
        Some(name) => config.domain_name(name),
        None => config,
    })
}

/// How a certificate begins.
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Whether a connection was refused because of the certificate, so that trying again does not help.
pub(crate) fn is_untrusted(error: &(dyn StdError + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source()).any(|error| {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        matches!(
            inner.or_else(|| error.downcast_ref()),
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::UnsupportedNameType)
        )
    })
}
