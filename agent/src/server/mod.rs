//! A web server of fleetps that takes this host's snapshots over HTTP, for hosts that cannot reach the broker.
//!
//! The host signs each request with its key ([`fleetps_nats::signed`]), as it answers the broker's challenge; the key never
//! crosses the network, and of secrets only the enrolment token of a first request does. A proxy is used where the environment
//! names one (`HTTPS_PROXY`, `NO_PROXY`). `session` is the conversation; its calls block, so they belong on a thread of their
//! own. `outage` says in the log when the server takes nothing.

mod outage;
mod session;

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use fleetps_nats::{HostName, TlsOptions, key::KeyError};
use ureq::{
    Agent,
    http::Uri,
    tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem},
};

pub use session::{Answer, Session};

/// How long a request may take: 5 s for the connection, 15 s that the server gives the body, 8 s that it gives its stream, and
/// 2 s for the answer. Less would send the same snapshot again and again over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take to be made, with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next snapshot: the server closes one that says nothing for 10 s.
const IDLE: Duration = Duration::from_secs(8);

/// The server, and how to reach it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address, as in `https://fleet.example.com`.
    pub url: String,
    /// The file with this host's key.
    pub nkey_file: Option<PathBuf>,
    /// How the way to it is kept safe.
    pub wire: TlsOptions,
}

/// The server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is none.
    #[error("{url} is not the address of a server: expected one as in https://fleet.example.com")]
    Address {
        /// The address.
        url: String,
    },
    /// The server is on another machine, and the connection would be in plaintext.
    #[error(
        "the server at {url} is on another machine, and the way there is not over TLS: command lines would cross the \
         network as they are. Either give its address with https://, or say --plaintext"
    )]
    Plaintext {
        /// Its address.
        url: String,
    },
    /// There is no key to sign with.
    #[error(
        "a server takes signed snapshots only: name the file with this host's key, --nkey FILE; fleetps-agent join makes one"
    )]
    NoKey,
    /// A certificate was given without its private key, or the key without the certificate.
    #[error("a certificate needs its key: give both --cert FILE and --cert-key FILE")]
    HalfCertificate,
    /// A file of certificates cannot be used.
    #[error("cannot use the certificate or key in {path}; expected PEM")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The server does not answer.
    #[error("cannot reach the server at {url}; is it running?")]
    Unreachable {
        /// Its address.
        url: String,
        /// The cause.
        source: Box<ureq::Error>,
    },
    /// The answer is none of fleetps.
    #[error("the server at {url} answered {status}: {said}")]
    Answer {
        /// Its address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The error that it names.
        said: String,
    },
}

impl Server {
    /// Whether `url` is the address of a web server, and not of a broker.
    pub fn is_address(url: &str) -> bool {
        url.starts_with("https://") || url.starts_with("http://")
    }

    /// A conversation with the server as `host`. Connects to nothing yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn session(&self, host: &HostName) -> Result<Session, ServerError> {
        let nkey_file = self.nkey_file.clone().ok_or(ServerError::NoKey)?;
        // A problem with the file is reported now, not at the first snapshot.
        fleetps_nats::key::read(&nkey_file)?;
        Ok(Session::new(self.client()?, self.url.trim_end_matches('/').to_owned(), host.clone(), nkey_file))
    }

    fn client(&self) -> Result<Agent, ServerError> {
        let uri: Uri = self.url.parse().map_err(|_| ServerError::Address { url: self.url.clone() })?;
        let host = uri.host().filter(|_| Self::is_address(&self.url));
        let host = host.ok_or_else(|| ServerError::Address { url: self.url.clone() })?;
        let is_over_tls = uri.scheme_str() == Some("https");
        if !is_over_tls && !self.wire.plaintext && !is_this_machine(host) {
            return Err(ServerError::Plaintext { url: self.url.clone() });
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(is_over_tls)
            .max_redirects(0)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_idle_age(IDLE)
            .user_agent(concat!("fleetps-agent/", env!("CARGO_PKG_VERSION")));
        // Without TLS the server is this machine's, or asked for in plaintext on purpose.
        let config = if is_over_tls { config.tls_config(self.tls()?) } else { config.proxy(None) };
        Ok(config.build().into())
    }

    fn tls(&self) -> Result<TlsConfig, ServerError> {
        let roots = match &self.wire.ca {
            Some(file) => RootCerts::new_with_certs(&certificates(file)?),
            None => of_this_machine(),
        };
        let config = TlsConfig::builder().root_certs(roots);
        let config = match (&self.wire.certificate, &self.wire.key) {
            (Some(own), Some(key_file)) => {
                let key = PrivateKey::from_pem(&read(key_file)?).map_err(unusable(key_file))?;
                config.client_cert(Some(ClientCert::new_with_certs(&certificates(own)?, key)))
            }
            (None, None) => config,
            _ => return Err(ServerError::HalfCertificate),
        };
        Ok(config.build())
    }
}

/// The authorities that this machine trusts; those of Mozilla where it has none.
fn of_this_machine() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    let certificates: Vec<_> =
        found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    if certificates.is_empty() { RootCerts::WebPki } else { RootCerts::new_with_certs(&certificates) }
}

/// All of them: a bundle of authorities, or a certificate with those between it and its authority.
fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, ServerError> {
    let pem = read(file)?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(unusable(file))?;
    let none = || unusable(file)(ureq::Error::Tls("it has no certificate"));
    if certificates.is_empty() { Err(none()) } else { Ok(certificates) }
}

fn read(file: &Path) -> Result<Vec<u8>, ServerError> {
    fs::read(file).map_err(|source| ServerError::Certificate { path: file.to_owned(), source })
}

fn unusable(file: &Path) -> impl FnOnce(ureq::Error) -> ServerError {
    |source| ServerError::Certificate { path: file.to_owned(), source: io::Error::other(source) }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_is_reached_over_tls_or_by_an_explicit_wish() {
        let server = |url: &str, plaintext| Server {
            url: url.to_owned(),
            nkey_file: None,
            wire: TlsOptions { plaintext, ..TlsOptions::default() },
        };
        for (url, is_safe) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://[::1]:8080", true),
            ("https://fleet.example.com", true),
            ("http://fleet.example.com", false),
            ("http://192.0.2.1", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(server(url, false).client().is_ok(), is_safe, "{url}");
            assert!(server(url, true).client().is_ok(), "{url}");
        }
        for url in ["", "fleet.example.com", "nats://fleet.example.com", "https://", "ftp://x", "http://a b"]
        {
            assert!(matches!(server(url, true).client(), Err(ServerError::Address { .. })), "{url}");
        }
    }
}
