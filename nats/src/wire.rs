//! How the way to a broker is kept safe.

use std::{net::IpAddr, path::PathBuf};

use async_nats::{ConnectOptions, ServerAddr};
use serde::{Deserialize, Serialize};

/// How the way to a broker is kept safe; as it stands in settings files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wire {
    /// The authority that must have signed the broker's certificate, as PEM; nobody else's signature counts then, and what
    /// is not over TLS is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// This part's own certificate, as PEM, for a broker that asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The private key of that certificate, as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Whether a broker on another machine may be reached without TLS.
    pub plaintext: bool,
}

impl Wire {
    /// Over TLS, to a broker whose certificate this authority has signed.
    pub fn trusting(ca: PathBuf) -> Self {
        Self { ca: Some(ca), ..Self::default() }
    }

    /// Whether the broker at `url` may be reached this way: on this machine, over TLS, or because somebody wished it.
    pub(crate) fn is_safe_to(&self, url: &str) -> bool {
        // What is no address is refused by the client, with the reason.
        let Ok(address) = url.parse::<ServerAddr>() else { return true };
        let is_over_tls = self.ca.is_some() || address.tls_required() || address.scheme() == "wss";
        is_over_tls || self.plaintext || is_this_machine(address.host())
    }

    /// The options to connect this way.
    pub(crate) fn apply(&self, options: ConnectOptions) -> ConnectOptions {
        let options = match &self.ca {
            Some(ca) => options.add_root_certificates(ca.clone()).require_tls(true),
            None => options,
        };
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                options.add_client_certificate(certificate.clone(), key.clone())
            }
            _ => options,
        }
    }
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
        let nothing = Wire::default();
        for (url, is_safe) in [
            ("nats://127.0.0.1:4222", true),
            ("nats://localhost", true),
            ("nats://[::1]:4222", true),
            ("tls://broker.example.com", true),
            ("wss://broker.example.com", true),
            ("nats://broker.example.com:4222", false),
            ("nats://192.0.2.1", false),
            ("broker.example.com", false),
            ("ws://broker.example.com", false),
            ("nats://localhost.example.com", false),
        ] {
            assert_eq!(nothing.is_safe_to(url), is_safe, "{url}");
            assert!(Wire { plaintext: true, ..nothing.clone() }.is_safe_to(url), "{url}");
            assert!(Wire::trusting("ca.pem".into()).is_safe_to(url), "{url}");
        }
    }
}
