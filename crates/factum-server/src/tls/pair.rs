//! A certificate and its key, read and checked.
//!
//! Relies on: rustls, and `validity`. Never: reads a file that is too large; gives a key that is not the certificate's.

use std::path::Path;

use factum_io::{Clock, Disk, DiskFileExt as _, Env, Open};
use ring::digest;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::validity::Validity;
use super::{FILE_BYTES_MAX, PairFiles, TlsError};

/// A certificate with its key.
pub(super) struct Pair {
    pub(super) key: CertifiedKey,
    /// What an operator should know.
    pub(super) warnings: Vec<String>,
}

/// What stands for the content of the two files.
pub(super) type Digests = [[u8; 32]; 2];

/// The content of the two files.
pub(super) struct Texts {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    pub(super) fn read(env: &Env, files: &PairFiles) -> Result<(Self, Digests), TlsError> {
        let texts = Texts::read(&*env.disk, files)?;
        let pair = texts.parse(&*env.clock, files)?;
        Ok((pair, texts.digests()))
    }
}

impl Texts {
    pub(super) fn read(disk: &dyn Disk, files: &PairFiles) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(disk, &files.certificate)?,
            key: read(disk, &files.key)?,
        })
    }

    pub(super) fn digests(&self) -> Digests {
        [&self.certificate, &self.key].map(|text| {
            let mut bytes = [0; 32];
            bytes.copy_from_slice(digest::digest(&digest::SHA256, text).as_ref());
            bytes
        })
    }

    pub(super) fn parse(&self, clock: &dyn Clock, files: &PairFiles) -> Result<Pair, TlsError> {
        let chain = certificates(&files.certificate, &self.certificate)?;
        let key = private_key(&files.key, &self.key)?;
        let signing = default_provider().key_provider.load_private_key(key);
        let signing = signing.map_err(|error| {
            content(
                &files.key,
                format!("the private key cannot be used: {error}"),
            )
        })?;
        let warnings = warnings(&files.certificate, &chain, clock);
        let key = CertifiedKey::new(chain, signing);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Pair { key, warnings })
            }
            Err(Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
                certificate: files.certificate.clone(),
                key: files.key.clone(),
            }),
            Err(error) => {
                let what = format!("the first certificate cannot be read: {error}");
                Err(content(&files.certificate, what))
            }
        }
    }
}

fn read(disk: &dyn Disk, file: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error| TlsError::Read {
        file: file.to_owned(),
        error,
    };
    let opened = disk.open(file, Open::read()).map_err(failed)?;
    let len = opened.len().map_err(failed)?;
    let size = usize::try_from(len).ok().filter(|_| len <= FILE_BYTES_MAX);
    let size = size.ok_or_else(|| {
        content(
            file,
            format!("{len} bytes are more than the limit of {FILE_BYTES_MAX}"),
        )
    })?;
    let mut text = vec![0; size];
    opened.read_exact_at(&mut text, 0).map_err(failed)?;
    Ok(text)
}

fn certificates(file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|error| content(file, not_pem(&error)))?;
    if chain.is_empty() {
        return Err(content(file, "there is no certificate in it"));
    }
    Ok(chain)
}

fn private_key(file: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(text) => {
            content(file, "the private key in it is encrypted; decrypt it first")
        }
        pem::Error::NoItemsFound => content(file, "there is no private key in it"),
        error => content(file, not_pem(&error)),
    })
}

/// The messages of the parser may show lines of the file, and the file may be a key.
fn not_pem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it is not PEM: a section does not end",
        pem::Error::IllegalSectionStart { .. } => "it is not PEM: a section does not begin right",
        pem::Error::Base64Decode(_) => "it is not PEM: a section is not Base64",
        _ => "it is not PEM",
    }
}

fn is_encrypted(text: &[u8]) -> bool {
    let mark = b"BEGIN ENCRYPTED PRIVATE KEY";
    text.windows(mark.len()).any(|window| window == mark)
}

fn warnings(file: &Path, chain: &[CertificateDer<'_>], clock: &dyn Clock) -> Vec<String> {
    let now = clock.now_us().div_euclid(1_000_000);
    let mut warnings = Vec::new();
    for (index, certificate) in chain.iter().enumerate() {
        let (number, file) = (index + 1, file.display());
        let Some(validity) = Validity::of(certificate) else {
            continue;
        };
        if now > validity.until.unix {
            let until = &validity.until.text;
            warnings.push(format!(
                "certificate {number} in {file} has expired at {until}"
            ));
        }
        if now < validity.from.unix {
            let from = &validity.from.text;
            warnings.push(format!(
                "certificate {number} in {file} is not valid before {from}"
            ));
        }
    }
    warnings
}

fn content(file: &Path, what: impl Into<String>) -> TlsError {
    TlsError::Content {
        file: file.to_owned(),
        what: what.into(),
    }
}
