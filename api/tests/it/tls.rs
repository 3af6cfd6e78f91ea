//! Pages over TLS: real handshakes against the real listener.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fleetps::testing::{
    connections::serve,
    tls::{Certificates, TlsFiles, TlsListener, make},
};
use fleetps_agent::server::{Server, ServerError};
use fleetps_nats::TlsOptions;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    console::until,
    program::{Running, fleetps},
    support::{PATIENCE, Site, family},
};

fn files(folder: &Path) -> TlsFiles {
    TlsFiles { certificate: folder.join("server.pem"), key: folder.join("server.key") }
}

/// A server whose certificate is in `folder`.
async fn serve_from(folder: &Path) -> (SocketAddr, CancellationToken) {
    serve_with(Certificates::load(files(folder)).unwrap()).await
}

async fn serve_with(certificates: Certificates) -> (SocketAddr, CancellationToken) {
    let shutdown = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let door = TlsListener::secure(listener, certificates);
    let site = Site::with("web-1", family());
    tokio::spawn(serve(door, site.router.clone(), site.shared.connections.clone(), shutdown.clone()));
    (address, shutdown)
}

/// A client that trusts only the authority in `folder`.
fn connector(folder: &Path, versions: &[&'static rustls::SupportedProtocolVersion]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(folder.join("ca.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn connect(folder: &Path, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let socket = TcpStream::connect(address).await?;
    let connecting = connector(folder, &[&rustls::version::TLS13]).connect(name, socket);
    tokio::time::timeout(PATIENCE, connecting).await.unwrap()
}

fn presented(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// The first part of the answer to another request on a connection.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 64 << 10];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_trusts_the_authority_is_served_and_nobody_else_connects() {
    let [folder, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let made = make(folder.path(), &["fleet.example.com".to_owned(), "192.0.2.1".to_owned()]).unwrap();
    assert!(made.is_new && made.names.len() == 5, "{made:?}");
    make(elsewhere.path(), &[]).unwrap();
    let (address, _end) = serve_from(folder.path()).await;
    for name in ["localhost", "127.0.0.1", "::1", "fleet.example.com", "192.0.2.1"] {
        let mut stream = connect(folder.path(), address, name).await.unwrap();
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"), "{name}");
    }
    let wrong_name = connect(folder.path(), address, "other.example.com").await.unwrap_err().to_string();
    assert!(wrong_name.contains("not valid for name"), "{wrong_name}");
    let wrong_authority = connect(elsewhere.path(), address, "localhost").await.unwrap_err().to_string();
    assert!(
        wrong_authority.contains("UnknownIssuer") || wrong_authority.contains("BadSignature"),
        "{wrong_authority}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_trusts_each_authority_of_its_file() {
    let [folder, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let authority = |of: &tempfile::TempDir| std::fs::read_to_string(of.path().join("ca.pem")).unwrap();
    for of in [&folder, &elsewhere] {
        make(of.path(), &[]).unwrap();
    }
    let (address, _end) = serve_from(folder.path()).await;
    let nkey_file = folder.path().join("host.nk");
    fleetps_nats::key::make(&nkey_file).unwrap();
    let ca = folder.path().join("bundle.pem");
    let enrol = async |bundle: String| {
        std::fs::write(&ca, bundle).unwrap();
        let wire = TlsOptions { ca: Some(ca.clone()), ..TlsOptions::default() };
        let server = Server { url: format!("https://{address}"), nkey_file: Some(nkey_file.clone()), wire };
        let session = server.session(&"web-1".parse().unwrap())?;
        tokio::task::spawn_blocking(move || session.enrol(None)).await.unwrap()
    };
    let (own, other) = (authority(&folder), authority(&elsewhere));
    for bundle in [own.clone(), format!("{own}{other}"), format!("{other}{own}")] {
        let answer = enrol(bundle).await;
        assert!(
            matches!(answer, Err(ServerError::Answer { status: 503, .. })),
            "it has no broker: {answer:?}"
        );
    }
    let stranger = enrol(other).await;
    assert!(matches!(stranger, Err(ServerError::Unreachable { .. })), "{stranger:?}");
    for nothing in ["", "no certificate\n"] {
        let unusable = enrol(nothing.to_owned()).await;
        assert!(matches!(unusable, Err(ServerError::Certificate { .. })), "{unusable:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_gets_no_page_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &[]).unwrap();
    let (address, _end) = serve_from(folder.path()).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_do_not_end_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &[]).unwrap();
    let (address, _end) = serve_from(folder.path()).await;
    // More than may be under way at once, each with the first bytes of a handshake.
    let mut half_open = Vec::new();
    for _ in 0..400 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
        half_open.push(socket);
    }
    let begun = std::time::Instant::now();
    let mut stream = connect(folder.path(), address, "localhost").await.unwrap();
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    // None had to wait until one of them missed its deadline.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    // And these are cut off: nothing more comes.
    let mut rest = Vec::new();
    for socket in &mut half_open {
        let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_presented_without_a_restart_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &[]).unwrap();
    let certificates = Certificates::load(files(folder.path())).unwrap();
    let unusable = certificates.unusable();
    let (address, _end) = serve_with(certificates).await;
    let mut open = connect(folder.path(), address, "localhost").await.unwrap();
    let first = presented(&open);
    assert!(!make(folder.path(), &[]).unwrap().is_new);
    let second = until_another(folder.path(), address, &first).await;
    // Connected clients still are.
    assert!(ask(&mut open).await.starts_with("HTTP/1.1 200"));
    // A broken file changes nothing; the next good one is taken.
    std::fs::write(folder.path().join("server.pem"), "broken").unwrap();
    until("the broken file was read", || unusable.load(Ordering::Relaxed) > 0);
    assert_eq!(presented(&connect(folder.path(), address, "localhost").await.unwrap()), second);
    make(folder.path(), &[]).unwrap();
    until_another(folder.path(), address, &second).await;
    assert!(ask(&mut open).await.starts_with("HTTP/1.1 200"));
}

/// Connects until another certificate than `before` is presented.
async fn until_another(
    folder: &Path,
    address: SocketAddr,
    before: &CertificateDer<'static>,
) -> CertificateDer<'static> {
    let waiting = async {
        loop {
            let now = presented(&connect(folder, address, "localhost").await.unwrap());
            if now != *before {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the new certificate is not presented")
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_only_and_what_cannot_be_used_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &[]).unwrap();
    for name in ["ca.key", "server.key"] {
        let mode = folder.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let other = tempfile::tempdir().unwrap();
    make(other.path(), &[]).unwrap();
    let mixed = TlsFiles { key: other.path().join("server.key"), ..files(folder.path()) };
    let refusal = Certificates::load(mixed).err().unwrap().to_string();
    assert!(refusal.contains("does not belong"), "{refusal}");
    let missing = TlsFiles { certificate: "/no/such.pem".into(), ..files(folder.path()) };
    let refusal = Certificates::load(missing).err().unwrap().to_string();
    assert!(refusal.contains("/no/such.pem"), "{refusal}");
    assert!(make(folder.path(), &["ä".to_owned()]).is_err());
}

#[test]
fn what_tls_init_made_is_served_and_believed_on_the_same_machine() {
    let data = tempfile::tempdir().unwrap();
    let init = fleetps(data.path()).args(["tls", "init", "--name", "fleet.example.com"]).output().unwrap();
    let said = String::from_utf8(init.stdout).unwrap();
    assert!(init.status.success() && said.contains("fleet.example.com") && said.contains("ca.pem"), "{said}");
    let running = Running::start(data.path(), &[]);
    assert!(running.address.starts_with("https://127.0.0.1:"), "{}", running.address);
    until("the host is listed", || {
        let hosts = fleetps(data.path()).arg("hosts").output().unwrap();
        String::from_utf8_lossy(&hosts.stdout).contains("here")
    });
    // A client without the authority refuses it.
    let elsewhere = tempfile::tempdir().unwrap();
    let strange = fleetps(elsewhere.path()).args(["hosts", "--server", &running.address]).output().unwrap();
    assert!(!strange.status.success());
    let ca = data.path().join("tls/ca.pem");
    let arguments = ["hosts", "--server", &running.address, "--ca", ca.to_str().unwrap()];
    assert!(fleetps(elsewhere.path()).args(arguments).status().unwrap().success());
    running.stop();
}
