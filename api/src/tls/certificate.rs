//! A certificate and its key from PEM files, read again when the files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use fleetps_nats::{error_chain, file};
use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::end::end_of;

/// How often the files are checked for changes; certificates are renewed days before they expire.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and behind it those that lead to the authority, as PEM.
    pub certificate: PathBuf,
    /// The private key, as PEM.
    pub key: PathBuf,
}

/// A certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as what it should be.
    #[error("cannot read the {what} {path}: expected PEM, readable by this user")]
    Read {
        /// The expected content.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in the file.
    #[error("there is no certificate in {0}: expected PEM that begins with -----BEGIN CERTIFICATE-----")]
    Empty(PathBuf),
    /// They do not belong together, or the key is of a kind that cannot be used.
    #[error("the key {key} does not belong to the certificate {certificate}, or cannot be used")]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// When and how long the files were, which tells that they are others.
type State = [Option<(SystemTime, u64)>; 2];

/// The certificate in use.
pub struct Certificates {
    files: TlsFiles,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
    unusable: Arc<AtomicU64>,
}

/// When the certificate in use ends. A clone is of the same.
#[derive(Debug, Clone)]
pub struct CertificateEnd(Arc<Current>);

impl CertificateEnd {
    /// The end, in seconds since 1970 UTC; `None` where the certificate does not say it in a way that is understood.
    pub fn ends_s(&self) -> Option<i64> {
        let key = Arc::clone(&self.0.0.read());
        end_of(key.cert.first()?)
    }
}

/// The certificate for the next handshake.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be read, or do not belong together.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = Arc::new(Current(RwLock::new(Arc::new(read(&files)?))));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // Every browser of the last six years speaks 1.3, and nothing older has to be kept safe.
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth();
        let resolver: Arc<dyn ResolvesServerCert> = current.clone();
        let mut config = config.with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { files, current, config: Arc::new(config), unusable: Arc::default() })
    }

    /// How often the files had changed and could not be used.
    pub fn unusable(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.unusable)
    }

    /// When it ends, also after it was read again.
    pub(super) fn end(&self) -> CertificateEnd {
        CertificateEnd(Arc::clone(&self.current))
    }

    /// How connections are made with it.
    pub(super) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Reads the files again whenever they change. What cannot be used is logged, and the certificate from before stays;
    /// connections that are open stay in any case.
    pub(super) async fn follow(self) {
        let mut seen = state(&self.files);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            let now = state(&self.files);
            if now == seen {
                continue;
            }
            seen = now;
            match read(&self.files) {
                Ok(key) => {
                    *self.current.0.write() = Arc::new(key);
                    tracing::info!(certificate = %self.files.certificate.display(), "the certificate was read again");
                }
                Err(error) => {
                    self.unusable.fetch_add(1, Ordering::Relaxed);
                    tracing::error!("the server keeps its previous certificate: {}", error_chain(&error));
                }
            }
        }
    }
}

fn state(files: &TlsFiles) -> State {
    let of = |path: &Path| -> io::Result<_> {
        let metadata = fs::metadata(path)?;
        Ok((metadata.modified()?, metadata.len()))
    };
    [of(&files.certificate).ok(), of(&files.key).ok()]
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let TlsFiles { certificate, key } = files;
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Read { what, path, source }
    };
    let bytes = |path: &Path| file::read(path).map_err(pem::Error::Io);
    let chain: Vec<CertificateDer<'static>> = bytes(certificate)
        .and_then(|bytes| CertificateDer::pem_slice_iter(&bytes).collect())
        .map_err(failed("certificate", certificate))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(certificate.clone()));
    }
    let private = bytes(key).and_then(|bytes| PrivateKeyDer::from_pem_slice(&bytes));
    let private = private.map_err(failed("private key", key))?;
    // Also says whether key and certificate belong together.
    CertifiedKey::from_der(chain, private, &rustls::crypto::ring::default_provider())
        .map_err(|source| TlsError::Mismatch { certificate: certificate.clone(), key: key.clone(), source })
}
