//! Whom we trust.
//!
//! Relies on: rustls with ring. Never: trusts without a certificate.

use std::path::Path;
use std::sync::Arc;

use factum_projection::Error;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::options::Options;

pub(crate) fn config(options: &Options) -> Result<TlsConfig, Error> {
    let config = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    if options.url().starts_with("http://") {
        return Ok(config.build());
    }
    let trusted = match &options.authorities {
        Some(file) => of_file(file)?,
        None => of_system()?,
    };
    let trusted = RootCerts::new_with_certs(&trusted);
    Ok(config.root_certs(trusted).build())
}

fn of_file(file: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let name = file.display();
    let text = std::fs::read(file)
        .map_err(|error| Error::invalid(format!("cannot read {name}: {error}")))?;
    let mut trusted = Vec::new();
    for item in parse_pem(&text) {
        match item {
            Ok(PemItem::Certificate(certificate)) => trusted.push(certificate),
            Ok(_) => (),
            Err(error) => {
                return Err(Error::invalid(format!("{name} is not PEM: {error}")));
            }
        }
    }
    if trusted.is_empty() {
        return Err(Error::invalid(format!("{name} has no certificate in it")));
    }
    Ok(trusted)
}

fn of_system() -> Result<Vec<Certificate<'static>>, Error> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let what = "the system trusts no certificate: give a file of those to trust";
        return Err(Error::invalid(what));
    }
    let own = |certificate: &rustls::pki_types::CertificateDer<'_>| {
        Certificate::from_der(certificate.as_ref()).to_owned()
    };
    Ok(found.certs.iter().map(own).collect())
}
