//! The page and answers while fleetps starts, which takes as long as the broker does: the process is up, nothing can be
//! shown yet, and why.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::Context;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use fleetps_nats::{connection::reconnect_delay, server::ServerHealth};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    answer,
    auth::{Addresses, Auth},
    config::Config,
    connections::{self, Connections, Limits},
    handlers::health,
    server::Doors,
    tls::{Certificates, TlsListener},
    url::Url,
};

/// How long another program may have the port of the pages; then it is one that keeps it.
const PORT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may take that was begun before the start was over.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(1);
/// When a browser or a supervisor is to ask again.
const RETRY_AFTER_S: &str = "2";

/// Where pages are served, and the address of that on this machine.
pub(crate) async fn listen(config: &Config) -> anyhow::Result<(Listeners, String)> {
    let listener = bind(config.web.listen).await?;
    let mut address = listener.local_addr()?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let listener = listener.into_std()?;
    let metrics = match config.web.metrics_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let doors =
        Listeners { first: door(config, listener.try_clone()?)?, then: door(config, listener)?, metrics };
    let scheme = if config.tls.files(&config.data)?.is_some() { "https" } else { "http" };
    Ok((doors, format!("{scheme}://{address}")))
}

/// Waits a while where another has the port: it may be one that is just ending.
async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let deadline = Instant::now() + PORT_TIMEOUT;
    let mut failures = 0;
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                if failures == 0 {
                    tracing::warn!("another program has {address}; waiting for it to give that back");
                }
                tokio::time::sleep(reconnect_delay(failures).min(Duration::from_secs(1))).await;
                failures += 1;
            }
            bound => {
                return bound.with_context(|| {
                    format!(
                        "cannot listen on {address}; if another program has that port, choose another with \
                         --listen or --metrics-listen"
                    )
                });
            }
        }
    }
}

/// With TLS, where there is a certificate.
fn door(config: &Config, listener: std::net::TcpListener) -> anyhow::Result<TlsListener> {
    let listener = TcpListener::from_std(listener)?;
    Ok(match config.tls.files(&config.data)? {
        Some(files) => TlsListener::secure(listener, Certificates::load(files)?),
        None => TlsListener::plaintext(listener),
    })
}

/// The two ends of one address: the first is answered while fleetps starts, the second from then on.
pub(crate) struct Listeners {
    /// Until it has started.
    pub(crate) first: TlsListener,
    /// From then on.
    pub(crate) then: TlsListener,
    /// Where this machine reads metrics, from then on.
    pub(crate) metrics: Option<TcpListener>,
}

impl Listeners {
    /// Begins to answer at the first.
    pub(crate) fn open(self, config: &Config, health: ServerHealth) -> (Doors, Starting) {
        let doors = Doors {
            pages: self.then,
            metrics: self.metrics.map(TlsListener::plaintext),
            legacy: None,
            control_key: None,
            commands_need_reason: false,
            dispatch: None,
            demo: None,
        };
        (doors, Starting::serve(self.first, config.web.auth, health))
    }

    /// Where metrics are read, as a line for whoever started it; empty where they are not.
    pub(crate) fn metrics_line(&self) -> String {
        let address = self.metrics.as_ref().and_then(|metrics| metrics.local_addr().ok());
        address
            .map_or_else(String::new, |address| format!("\n    metrics   http://{address}{}", Url::metrics()))
    }
}

/// Answers until fleetps has started.
pub(crate) struct Starting {
    over: CancellationToken,
    serving: AbortOnDropHandle<()>,
}

/// The state of the start.
#[derive(Clone)]
struct Waiting {
    health: ServerHealth,
    /// Whether everybody who can ask may know everything.
    tells_why: bool,
}

impl Starting {
    fn serve(door: TlsListener, auth: Auth, health: ServerHealth) -> Self {
        let over = CancellationToken::new();
        let router = Router::new()
            .route("/healthz", get(health::alive))
            .route("/readyz", get(ready))
            .fallback(page)
            .with_state(Waiting { health, tells_why: auth == Auth::Off });
        let connections = Connections::new(Limits::of_this_process(), Addresses::default());
        let serving = tokio::spawn(connections::serve(door, router, connections, over.clone()));
        Self { over, serving: AbortOnDropHandle::new(serving) }
    }

    /// Accepts no further requests, and returns when the accepted ones are answered, or had a moment for it. Later
    /// requests are answered by fleetps itself.
    pub(crate) async fn end(self) {
        self.over.cancel();
        let _ = tokio::time::timeout(LAST_ANSWERS_TIMEOUT, self.serving).await;
    }
}

impl Waiting {
    /// What is missing, for a person who may know. The log has it in any case.
    fn why(&self) -> String {
        match self.health.problem().filter(|_| self.tells_why) {
            Some(problem) => problem,
            None => "the broker is not there yet; the log of fleetps says why".to_owned(),
        }
    }
}

async fn ready(State(waiting): State<Waiting>) -> Response {
    let broker = serde_json::json!({ "ok": false, "problem": waiting.why() });
    let body = serde_json::json!({ "ready": false, "broker": broker });
    ([(header::RETRY_AFTER, RETRY_AFTER_S)], answer::response(StatusCode::SERVICE_UNAVAILABLE, &body))
        .into_response()
}

async fn page(State(waiting): State<Waiting>) -> Response {
    let text = format!("fleetps is starting, and waits.\n\n{}\n", waiting.why());
    let headers = [
        (header::RETRY_AFTER, RETRY_AFTER_S),
        // Browsers ask again by themselves.
        (header::REFRESH, RETRY_AFTER_S),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, text).into_response()
}
