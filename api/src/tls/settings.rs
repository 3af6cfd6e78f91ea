//! Which certificate is presented, and when none is needed.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use fleetps_nats::{server::ServerTls, settings::Flag};

use super::TlsFiles;

/// The folder in the data folder where `fleetps tls init` puts what it makes.
const FOLDER: &str = "tls";

fleetps_nats::settings! {
    /// How browsers and agents reach this machine.
    #[derive(Eq)]
    pub struct TlsSettings in "tls" {
        /// Certificate of the pages and those that lead to its authority, as PEM; without it, the one that
        /// `fleetps tls init` made, if it did.
        #[flag(Flag::takes("tls-cert", "FILE"))]
        pub certificate: Option<PathBuf> = None;
        /// Private key of that certificate, as PEM.
        #[flag(Flag::takes("tls-key", "FILE"))]
        pub key: Option<PathBuf> = None;
        /// Serve other machines, and reach a broker on one, without TLS: behind a proxy that speaks it, say.
        #[flag(Flag::sets("plaintext"))]
        pub plaintext: bool = false;
        /// Whether the broker asks every agent for a certificate of its authority, beside its key.
        pub agents_show_certificates: bool = false;
    }
}

impl TlsSettings {
    /// Where `fleetps tls init` puts what it makes.
    pub fn folder(data: &Path) -> PathBuf {
        data.join(FOLDER)
    }

    /// The authority of this machine, where there is one.
    pub fn authority(data: &Path) -> Option<PathBuf> {
        Some(Self::folder(data).join("ca.pem")).filter(|path| path.exists())
    }

    /// The certificate of the pages; `None` where they are served without TLS.
    ///
    /// # Errors
    /// When half of it was named.
    pub fn files(&self, data: &Path) -> anyhow::Result<Option<TlsFiles>> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                Ok(Some(TlsFiles { certificate: certificate.clone(), key: key.clone() }))
            }
            (None, None) => {
                let folder = Self::folder(data);
                let made =
                    TlsFiles { certificate: folder.join("server.pem"), key: folder.join("server.key") };
                Ok(Some(made).filter(|made| made.certificate.exists()))
            }
            _ => anyhow::bail!("a certificate needs its key: give both --tls-cert FILE and --tls-key FILE"),
        }
    }

    /// The certificate of the broker, which listens on `listen`: what `fleetps tls init` made, because the parts on this
    /// machine reach it as 127.0.0.1.
    ///
    /// # Errors
    /// When there is none, other machines could reach the server, and `plaintext` is not set.
    pub fn of_broker(&self, listen: SocketAddr, data: &Path) -> anyhow::Result<Option<ServerTls>> {
        let folder = Self::folder(data);
        let file = |name: &str| folder.join(name);
        let Some(authority) = Self::authority(data).filter(|_| file("server.pem").exists()) else {
            anyhow::ensure!(
                listen.ip().is_loopback() || self.plaintext,
                "the broker cannot listen on {listen} without TLS: command lines would cross the network as they are. \
                 Either run `fleetps tls init --name THIS-MACHINE` first, and give agents its ca.pem, or say --plaintext",
            );
            return Ok(None);
        };
        let clients = self.agents_show_certificates.then(|| (file("client.pem"), file("client.key")));
        Ok(Some(ServerTls { certificate: file("server.pem"), key: file("server.key"), authority, clients }))
    }

    /// Whether pages may be served on `listen`.
    ///
    /// # Errors
    /// When other machines could reach it without TLS, and `plaintext` is not set.
    pub fn check(&self, listen: SocketAddr, data: &Path) -> anyhow::Result<()> {
        let is_safe = listen.ip().is_loopback() || self.plaintext || self.files(data)?.is_some();
        anyhow::ensure!(
            is_safe,
            "cannot serve on {listen} without TLS: passwords and command lines would cross the network as they are. Either \
             give it a certificate (`fleetps tls init --name THIS-MACHINE` makes one; one from elsewhere is named with \
             --tls-cert FILE --tls-key FILE), or, behind a proxy that speaks TLS, say --plaintext",
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_are_served_with_a_certificate_or_by_an_explicit_wish() {
        let data = tempfile::tempdir().unwrap();
        let check =
            |settings: &TlsSettings, listen: &str| settings.check(listen.parse().unwrap(), data.path());
        let nothing = TlsSettings::default();
        assert!(check(&nothing, "127.0.0.1:80").is_ok() && check(&nothing, "[::1]:80").is_ok());
        let refusal = check(&nothing, "0.0.0.0:80").unwrap_err().to_string();
        assert!(refusal.contains("tls init") && refusal.contains("--plaintext"), "{refusal}");
        assert!(check(&TlsSettings { plaintext: true, ..nothing.clone() }, "0.0.0.0:80").is_ok());
        let half = TlsSettings { key: Some("x".into()), ..nothing.clone() };
        assert!(check(&half, "0.0.0.0:80").unwrap_err().to_string().contains("--tls-cert"));
        crate::tls::make(&TlsSettings::folder(data.path()), &[]).unwrap();
        assert!(check(&nothing, "0.0.0.0:80").is_ok());
        assert!(TlsSettings::authority(data.path()).is_some());
    }
}
