//! How the connection to a broker is protected.

use std::{net::IpAddr, path::PathBuf};

use async_nats::{ConnectOptions, ServerAddr};

use crate::settings::Flag;

crate::settings! {
    /// How the connection to a broker is protected.
    #[derive(Eq)]
    pub struct TlsOptions in "wire" {
        /// Authority that must have signed the broker's certificate, as PEM; nothing is sent without TLS then.
        ///
        /// Commands that ask a server of fleetps expect its certificate to be signed by it, too.
        #[flag(Flag::takes("ca", "FILE"))]
        pub ca: Option<PathBuf> = None;
        /// This part's own certificate, as PEM, for a broker that asks for one.
        #[flag(Flag::takes("cert", "FILE"))]
        pub certificate: Option<PathBuf> = None;
        /// Private key of that certificate, as PEM.
        #[flag(Flag::takes("cert-key", "FILE"))]
        pub key: Option<PathBuf> = None;
        /// Reach a broker on another machine without TLS.
        #[flag(Flag::sets("plaintext"))]
        pub plaintext: bool = false;
    }
}

impl TlsOptions {
    /// Over TLS, to a broker whose certificate this authority has signed.
    pub fn trusting(ca: PathBuf) -> Self {
        Self { ca: Some(ca), ..Self::default() }
    }

    /// Whether the broker at `url` may be reached: on this machine, over TLS, or because `plaintext` is set.
    pub(crate) fn is_safe_to(&self, url: &str) -> bool {
        // The client refuses an invalid address, with the reason.
        let Ok(address) = url.parse::<ServerAddr>() else { return true };
        let is_over_tls = self.ca.is_some() || address.tls_required() || address.scheme() == "wss";
        is_over_tls || self.plaintext || is_this_machine(address.host())
    }

    /// The options to connect to `url` this way. A broker may name further servers of its cluster; what must hold for `url`
    /// holds for those, or they are left alone.
    pub(crate) fn apply(&self, options: ConnectOptions, url: &str) -> ConnectOptions {
        let options = match &self.ca {
            Some(ca) => options.add_root_certificates(ca.clone()).require_tls(true),
            None if url.parse().is_ok_and(|address: ServerAddr| address.tls_required()) => {
                options.require_tls(true)
            }
            None if self.plaintext => options,
            None => options.ignore_discovered_servers(),
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
    use std::{
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        time::Duration,
    };

    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::TcpListener,
    };

    use super::*;
    use crate::connection::Broker;

    #[test]
    fn another_machine_is_reached_over_tls_or_by_an_explicit_wish() {
        let nothing = TlsOptions::default();
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
            assert!(TlsOptions { plaintext: true, ..nothing.clone() }.is_safe_to(url), "{url}");
            assert!(TlsOptions::trusting("ca.pem".into()).is_safe_to(url), "{url}");
        }
    }

    /// Takes every connection; answers the first as a broker that names another server, and closes it.
    async fn name_another(listener: TcpListener, other: SocketAddr, taken: Arc<AtomicUsize>) {
        while let Ok((stream, _)) = listener.accept().await {
            // Only the first comes in, so that another server is the better choice from then on.
            if taken.fetch_add(1, Relaxed) > 0 {
                continue;
            }
            let mut stream = BufReader::new(stream);
            let info = serde_json::json!({
                "server_id": "x", "server_name": "x", "version": "2.11.0", "proto": 1, "headers": true,
                "max_payload": 1 << 20, "client_id": 1, "connect_urls": [other.to_string()],
            });
            let _ = stream.write_all(format!("INFO {info}\r\n").as_bytes()).await;
            let mut lines = stream.lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("PING") {
                    break;
                }
            }
            let mut stream = lines.into_inner();
            let _ = stream.write_all(b"PONG\r\n").await;
        }
    }

    #[tokio::test]
    async fn servers_that_a_broker_in_the_clear_names_are_left_alone() {
        let (first, second) =
            (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
        let (first, second) = (first.unwrap(), second.unwrap());
        let url = format!("nats://{}", first.local_addr().unwrap());
        let (taken, taken_by_other) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let other = second.local_addr().unwrap();
        let brokers = [
            tokio::spawn(name_another(first, other, Arc::clone(&taken))),
            tokio::spawn(name_another(second, other, Arc::clone(&taken_by_other))),
        ];
        let broker = Broker { url, nkey_file: None, wire: TlsOptions::default() };
        let _client = broker.connect_later("test", "_INBOX").await.unwrap();
        let several = async {
            while taken.load(Relaxed) < 6 {
                assert_eq!(taken_by_other.load(Relaxed), 0, "it went to a server that nobody named");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), several).await.expect("it does not come again");
        assert_eq!(taken_by_other.load(Relaxed), 0);
        brokers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
