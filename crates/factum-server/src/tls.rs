//! TLS: which certificate is shown, and how connections are encrypted.
//!
//! [`Tls::of_files`] takes a certificate and a key in PEM; while [`Tls::watch`] runs, new ones are taken up when the files change, and
//! new ones that do not fit are logged and left. [`Tls::for_dev`] makes a certificate that lives as long as the process, and the
//! authority that clients have to trust for it. Relies on: rustls with ring; files through factum-io.
//! Never: shows a certificate whose key it does not have; stops serving because files broke.

mod dev;
mod error;
mod pair;
#[cfg(test)]
mod tests;
mod validity;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use factum_io::Env;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

pub use error::TlsError;
use pair::{Digests, Pair};

/// Largest certificate or key file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// How often the files are looked at for a change.
pub const WATCH_EVERY: Duration = Duration::from_secs(10);
/// Protocols offered (ALPN), the best first.
pub const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where a server's certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// The server's certificate in PEM, followed by those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key in PEM, not encrypted.
    pub key: PathBuf,
}

/// How connections are encrypted. Cloning gives another handle.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    shown: Arc<Shown>,
    files: Option<Arc<Watched>>,
    authority: Option<Arc<str>>,
}

/// Files that may change.
struct Watched {
    env: Env,
    files: PairFiles,
    /// What was in them when they were looked at last, whether or not it fits.
    seen: Mutex<Digests>,
}

/// The certificate that new connections are shown.
struct Shown(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.files.as_ref().map(|watched| &watched.files);
        f.debug_struct("Tls")
            .field("files", &files)
            .finish_non_exhaustive()
    }
}

impl Shown {
    fn now(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
}

impl Tls {
    /// Reads a certificate and its key. A certificate that is not valid now is logged, and taken.
    ///
    /// ```
    /// # use factum_io::Env;
    /// # use factum_server::tls::{PairFiles, Tls};
    /// let files = PairFiles { certificate: "missing.pem".into(), key: "key.pem".into() };
    /// let error = Tls::of_files(Env::real(), files).unwrap_err();
    /// assert!(error.to_string().contains("missing.pem"));
    /// ```
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn of_files(env: Env, files: PairFiles) -> Result<Self, TlsError> {
        let (pair, seen) = Pair::read(&env, &files)?;
        warn(&pair);
        let mut tls = Self::showing(pair.key)?;
        let seen = Mutex::new(seen);
        tls.files = Some(Arc::new(Watched { env, files, seen }));
        Ok(tls)
    }

    /// A new certificate for `localhost`, `127.0.0.1`, `::1` and these names or addresses, for a year, and a new authority for it.
    ///
    /// ```
    /// # use factum_io::Env;
    /// # use factum_server::tls::Tls;
    /// let tls = Tls::for_dev(&Env::real(), &["box.example".to_owned()])?;
    /// assert!(tls.authority().is_some_and(|pem| pem.starts_with("-----BEGIN CERTIFICATE-----")));
    /// # Ok::<(), factum_server::tls::TlsError>(())
    /// ```
    ///
    /// # Errors
    /// [`TlsError::Dev`]: a name cannot be in a certificate.
    pub fn for_dev(env: &Env, names: &[String]) -> Result<Self, TlsError> {
        let made = dev::make(&*env.clock, names)?;
        let mut tls = Self::showing(made.key)?;
        tls.authority = Some(Arc::from(made.authority));
        Ok(tls)
    }

    /// What a listener needs. It stays the same when the files change; connections that are made after that are shown the new certificate.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The certificate of the authority that clients have to trust, in PEM, to be written out; `None` for a certificate from files.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Looks at the files, and takes up what is new in them; says whether there was something. Reads files: not for threads that serve.
    ///
    /// # Errors
    /// [`TlsError`]: what is new does not fit; the certificate from before goes on being shown. The same content is not complained about twice.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some(watched) = &self.files else {
            return Ok(false);
        };
        let texts = pair::Texts::read(&*watched.env.disk, &watched.files)?;
        let digests = texts.digests();
        {
            let mut seen = watched.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == digests {
                return Ok(false);
            }
            *seen = digests;
        }
        let pair = texts.parse(&*watched.env.clock, &watched.files)?;
        warn(&pair);
        self.shown.show(pair.key);
        Ok(true)
    }

    /// Reloads for ever, looking so often; to be run by the listener, and dropped with it. Ends at once where there are no files.
    ///
    /// # Cancel safety
    /// Dropping the future ends it; a look that has begun is finished.
    pub async fn watch(&self, every: Duration) {
        let Some(watched) = &self.files else {
            return;
        };
        let file = watched.files.certificate.display();
        let mut complaint = String::new();
        loop {
            tokio::time::sleep(every).await;
            let tls = self.clone();
            let looked = tokio::task::spawn_blocking(move || tls.reload()).await;
            match looked {
                Ok(Ok(false)) => (),
                Ok(Ok(true)) => {
                    complaint.clear();
                    tracing::info!(
                        "the certificate in {file} has changed and is shown from now on"
                    );
                }
                Ok(Err(error)) => {
                    let text = error.to_string();
                    if text != complaint {
                        tracing::error!("the certificate from before goes on being shown: {text}");
                    }
                    complaint = text;
                }
                Err(stopped) => tracing::error!("looking at {file} failed: {stopped}"),
            }
        }
    }

    fn showing(key: CertifiedKey) -> Result<Self, TlsError> {
        let shown = Arc::new(Shown(RwLock::new(Arc::new(key))));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions();
        let mut config = builder
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            config: Arc::new(config),
            shown,
            files: None,
            authority: None,
        })
    }
}

fn warn(pair: &Pair) {
    for warning in &pair.warnings {
        tracing::warn!("{warning}");
    }
}
