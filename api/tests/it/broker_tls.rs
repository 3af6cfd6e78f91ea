//! The broker over TLS: who is let in, and a certificate that is renewed.

use std::{path::Path, sync::Arc};

use fleetps::testing::tls::{make, make_client};
use fleetps_nats::{
    TlsOptions,
    connection::{Broker, ConnectionError},
    server::{ManagedServer, Part, PublicServer, ServerSettings, ServerTls, broker_in},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{console::until, support::PATIENCE};

/// A broker with the certificate that is in `tls` of `data`, as other machines would reach it.
async fn broker(data: &Path, asks_for_certificates: bool) -> ManagedServer {
    let tls = data.join("tls");
    make(&tls, &[]).unwrap();
    let file = |name: &str| tls.join(name);
    let clients = asks_for_certificates.then(|| (file("client.pem"), file("client.key")));
    let (certificate, key, authority) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let tls = Some(ServerTls { certificate, key, authority, clients });
    let settings = ServerSettings {
        data: data.to_owned(),
        program: None,
        public: Some(PublicServer { listen: "127.0.0.1:0".parse().unwrap(), tls }),
        simulator: false,
        max_file_store_bytes: 1 << 30,
    };
    ManagedServer::start(settings).await.unwrap()
}

async fn refusal(broker: &Broker) -> String {
    let refused = tokio::time::timeout(PATIENCE, broker.connect("test")).await.unwrap().unwrap_err();
    fleetps_nats::error_chain(&refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_trusts_its_authority_connects_and_nothing_is_said_in_the_clear() {
    let [data, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let server = broker(data.path(), false).await;
    let ours = server.broker(Part::Api);
    ours.connect("test").await.unwrap().flush().await.unwrap();
    // Another process on this machine finds its way.
    broker_in(data.path(), Part::Api).unwrap().connect("test").await.unwrap();
    make(elsewhere.path(), &[]).unwrap();
    let other = Broker { wire: TlsOptions::trusting(elsewhere.path().join("ca.pem")), ..ours.clone() };
    let said = refusal(&other).await;
    assert!(said.contains("UnknownIssuer") || said.contains("BadSignature"), "{said}");
    let naive = Broker { wire: TlsOptions::default(), ..ours.clone() };
    assert!(refusal(&naive).await.contains("UnknownIssuer"));
    // A client without TLS is refused.
    let address = ours.url.trim_start_matches("nats://").to_owned();
    let mut socket = TcpStream::connect(&address).await.unwrap();
    socket.write_all(b"CONNECT {\"verbose\":true}\r\nPING\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("\"tls_required\":true") && !answer.contains("PONG"), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_is_not_spoken_to_in_the_clear() {
    // An address for documentation: nothing is there, and nothing is tried.
    let far =
        Broker { url: "nats://192.0.2.1:4222".to_owned(), nkey_file: None, wire: TlsOptions::default() };
    let refused = far.connect("test").await.unwrap_err();
    assert!(matches!(refused, ConnectionError::Plaintext { .. }), "{refused}");
    assert!(refused.to_string().contains("--ca FILE") && refused.to_string().contains("--plaintext"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_asks_for_certificates_only_those_of_its_authority_are_let_in() {
    let [data, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let server = broker(data.path(), true).await;
    let ours = server.broker(Part::Api);
    ours.connect("test").await.unwrap().flush().await.unwrap();
    broker_in(data.path(), Part::Api).unwrap().connect("test").await.unwrap();
    let host = "web-01".parse().unwrap();
    for folder in [data.path().join("tls"), elsewhere.path().to_owned()] {
        make(&folder, &[]).unwrap();
        make_client(&folder, &host).unwrap();
    }
    let with = |folder: &Path| {
        let file = |end: &str| Some(folder.join(format!("clients/web-01.{end}")));
        Broker {
            wire: TlsOptions { certificate: file("pem"), key: file("key"), ..ours.wire.clone() },
            ..ours.clone()
        }
    };
    with(&data.path().join("tls")).connect("test").await.unwrap();
    let without =
        Broker { wire: TlsOptions { certificate: None, key: None, ..ours.wire.clone() }, ..ours.clone() };
    for refused in [without, with(elsewhere.path())] {
        refusal(&refused).await;
    }
    server.stop().await;
}

/// The certificate that the broker presents.
async fn presented(broker: &Broker) -> CertificateDer<'static> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(broker.wire.ca.as_ref().unwrap()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let socket = TcpStream::connect(broker.url.trim_start_matches("nats://")).await.unwrap();
    let mut socket = BufReader::new(socket);
    let mut greeting = String::new();
    socket.read_line(&mut greeting).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = connector.connect(name, socket.into_inner()).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn until_another(broker: &Broker, before: &CertificateDer<'static>) -> CertificateDer<'static> {
    let waiting = async {
        loop {
            let now = presented(broker).await;
            if now != *before {
                return now;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the new certificate is not presented")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_presented_without_a_restart_and_a_broken_one_is_not() {
    let data = tempfile::tempdir().unwrap();
    let server = broker(data.path(), false).await;
    let (ours, pid, tls) = (server.broker(Part::Api), server.pid(), data.path().join("tls"));
    let open = ours.connect("test").await.unwrap();
    open.flush().await.unwrap();
    let first = presented(&ours).await;
    make(&tls, &[]).unwrap();
    let second = until_another(&ours, &first).await;
    std::fs::write(tls.join("server.pem"), "broken").unwrap();
    until("the broken file was checked", || server.unusable_certificates() > 0);
    assert_eq!(presented(&ours).await, second);
    make(&tls, &[]).unwrap();
    until_another(&ours, &second).await;
    // Connected clients still are, to the same process.
    tokio::time::timeout(PATIENCE, open.flush()).await.unwrap().unwrap();
    assert_eq!(
        (server.pid(), open.statistics().connects.load(std::sync::atomic::Ordering::Relaxed)),
        (pid, 1)
    );
    server.stop().await;
}
