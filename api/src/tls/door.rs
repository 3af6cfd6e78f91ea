//! Lets connections in, with TLS or without.
//!
//! A client that begins a handshake and does not end it keeps nobody else out: handshakes run beside each other, each
//! has a deadline, and when there are too many, the oldest goes.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

use super::Certificates;

/// A handshake takes two round trips and some milliseconds of processor; a slow telephone needs two seconds.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Handshakes at once; each takes some 40 KB.
const MAX_HANDSHAKES: usize = 256;
/// A client that takes nothing for this long is cut off by the system; a stalled connection is never written to, so
/// no timeout around the writing would notice.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// After the system could not give a connection, for want of file handles: some are closed meanwhile.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// The address that a connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Where connections come in.
pub struct Door {
    tcp: TcpListener,
    acceptor: Option<TlsAcceptor>,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, Peer)>>,
    /// The handshakes, the oldest first; some have ended.
    order: VecDeque<AbortHandle>,
    /// How many were cut off because there were too many.
    cut_off: u64,
    /// Reads the certificate again, as long as the door is there.
    _following: JoinSet<()>,
}

impl Door {
    /// Without TLS.
    pub fn plaintext(tcp: TcpListener) -> Self {
        let (handshakes, order, _following) = (JoinSet::new(), VecDeque::new(), JoinSet::new());
        Self { tcp, acceptor: None, handshakes, order, cut_off: 0, _following }
    }

    /// With TLS, by the certificate that there is now or comes later. To be called within a runtime.
    pub fn secure(tcp: TcpListener, certificates: Certificates) -> Self {
        let mut door = Self::plaintext(tcp);
        door.acceptor = Some(TlsAcceptor::from(Arc::clone(certificates.config())));
        door._following.spawn(certificates.follow());
        door
    }

    fn begin_handshake(&mut self, acceptor: TlsAcceptor, socket: TcpStream, peer: Peer) {
        self.order.retain(|handshake| !handshake.is_finished());
        if self.order.len() >= MAX_HANDSHAKES
            && let Some(oldest) = self.order.pop_front()
        {
            self.cut_off += 1;
            tracing::debug!(
                cut_off = self.cut_off,
                "too many TLS handshakes at once; the oldest was cut off"
            );
            oldest.abort();
        }
        self.order.push_back(self.handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(socket)).await {
                Ok(Ok(stream)) => return Some((stream, peer)),
                Ok(Err(error)) => tracing::debug!(%error, peer = %peer.0, "a TLS handshake failed"),
                Err(_) => tracing::debug!(peer = %peer.0, "a TLS handshake took too long"),
            }
            None
        }));
    }
}

impl Listener for Door {
    type Io = Either<TcpStream, TlsStream<TcpStream>>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Peer) {
        loop {
            let accepted = tokio::select! {
                Some(ended) = self.handshakes.join_next() => match ended {
                    Ok(Some((stream, peer))) => return (Either::Right(stream), peer),
                    _ => continue,
                },
                accepted = self.tcp.accept() => accepted,
            };
            let (socket, peer) = match accepted {
                Ok((socket, address)) => (socket, Peer(address)),
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                    continue;
                }
            };
            set_socket_options(&socket);
            match self.acceptor.clone() {
                None => return (Either::Left(socket), peer),
                Some(acceptor) => self.begin_handshake(acceptor, socket, peer),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        self.tcp.local_addr().map(Peer)
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        *stream.remote_addr()
    }
}

/// Patches are small and must not wait for more; stalled clients must end.
fn set_socket_options(socket: &TcpStream) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(STALLED_AFTER)) {
        tracing::debug!(%error, "cannot set TCP_USER_TIMEOUT");
    }
}
