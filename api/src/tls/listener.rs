//! Where connections come in, with TLS or without.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{CertificateEnd, Certificates};

/// A client that takes nothing for this long is cut off by the system, also after the last byte was handed to it.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// The unsent part of an answer that the system may buffer: enough to keep a line of 50 MB/s and 1 ms busy, and little
/// enough that a slow client is noticed.
const MAX_UNSENT_BYTES: u32 = 64 << 10;

/// The address that a connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Where connections come in.
pub struct TlsListener {
    tcp: TcpListener,
    acceptor: Option<TlsAcceptor>,
    certificate: Option<CertificateEnd>,
    /// Reads the certificate again, as long as the door is there.
    _following: JoinSet<()>,
}

impl TlsListener {
    /// Without TLS.
    pub fn plaintext(tcp: TcpListener) -> Self {
        Self { tcp, acceptor: None, certificate: None, _following: JoinSet::new() }
    }

    /// With TLS, by the certificate that there is now or comes later. To be called within a runtime.
    pub fn secure(tcp: TcpListener, certificates: Certificates) -> Self {
        let mut door = Self::plaintext(tcp);
        door.acceptor = Some(TlsAcceptor::from(Arc::clone(certificates.config())));
        door.certificate = Some(certificates.end());
        door._following.spawn(certificates.follow());
        door
    }

    /// When its certificate ends; `None` without TLS.
    pub fn certificate(&self) -> Option<CertificateEnd> {
        self.certificate.clone()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The TLS acceptor; `None` without TLS.
    pub fn acceptor(&self) -> Option<TlsAcceptor> {
        self.acceptor.clone()
    }

    /// The next connection, before anything is said on it.
    ///
    /// # Errors
    /// When the system has no descriptor or memory for it; the next try may work.
    pub async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (socket, address) = self.tcp.accept().await?;
        set_socket_options(&socket);
        Ok((socket, Peer(address)))
    }
}

/// Patches are small and must not wait for more; stalled clients must end.
fn set_socket_options(socket: &TcpStream) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(socket);
        if let Err(error) = socket.set_tcp_user_timeout(Some(STALLED_AFTER)) {
            tracing::debug!(%error, "cannot set TCP_USER_TIMEOUT");
        }
        if let Err(error) = socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES) {
            tracing::debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
        }
    }
}
