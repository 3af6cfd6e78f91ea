//! One connection: its handshake, its requests, its end.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
    http::Response,
};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Place, stall::Impatient};
use crate::tls::Peer;

/// A handshake takes two round trips and some milliseconds of processor; a slow telephone needs two seconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The head of a request is one or two packets, and a browser asks for the parts of a page within a second or two. A
/// connection closed for its silence is reopened in a round trip.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The slowest client takes 64 KiB (see [`crate::tls::TlsListener`]) in this time: 2 KB a second.
const TAKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// The read buffer: no head of a request is longer.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Serves a connection until its client or a deadline ends it, or it is pushed out.
pub(super) async fn hold(
    socket: TcpStream,
    peer: Peer,
    acceptor: Option<TlsAcceptor>,
    place: Place,
    router: Router,
    shutdown: CancellationToken,
) {
    let end = place.0.end.clone();
    let talking = async {
        match acceptor {
            None => answer(socket, peer, place.clone(), router, shutdown).await,
            Some(acceptor) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await {
                Ok(Ok(stream)) => answer(stream, peer, place.clone(), router, shutdown).await,
                Ok(Err(error)) => tracing::debug!(%error, peer = %peer.0, "a TLS handshake failed"),
                Err(_) => place.0.connections.too_slow(),
            },
        }
        // A WebSocket has a task of its own.
        place.0.kept.close();
        place.0.kept.wait().await;
    };
    end.run_until_cancelled(talking).await;
}

async fn answer<T>(stream: T, peer: Peer, place: Place, router: Router, shutdown: CancellationToken)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (router, asking) = (TowerToHyperService::new(router), place.clone());
    let has_asked = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&has_asked);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        asks.store(true, Relaxed);
        let busy = Busy::new(asking.clone());
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(asking.clone());
        let answering = router.call(request);
        async move { answering.await.map(|response| Answer::in_time_of(response, busy)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(Impatient::new(stream, TAKEN_TIMEOUT)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        // After an answer the client may be silent until the connection is closed for that.
        Err(error) if error.is_timeout() && has_asked.load(Relaxed) => {}
        Err(error) if error.is_timeout() || is_stalled(&error) => place.0.connections.too_slow(),
        Err(error) => tracing::debug!(%error, peer = %peer.0, "a connection ended"),
        Ok(()) => {}
    }
}

/// Whether the client did not take its answer, as [`super::stall`] or the system says.
fn is_stalled(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

/// As long as it lives, its connection is being answered.
struct Busy(Place);

impl Busy {
    fn new(place: Place) -> Self {
        place.begin_answer();
        Self(place)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.end_answer();
    }
}

/// The body of an answer, at whose end its connection is free again.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl Answer {
    fn in_time_of(response: Response<Body>, busy: Busy) -> Response<Self> {
        response.map(|body| Self { body, _busy: busy })
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
