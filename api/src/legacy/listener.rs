//! The listener: its address, what every request passes, and the routes of all systems.
//!
//! **Pages of other origins.** Only named origins get an answer, and `Access-Control-Allow-Origin` names them, never `*`. A
//! request of a page from elsewhere is refused whatever it asks, so a page that somebody happens to look at reads nothing and
//! changes nothing. A page that was opened from a file has the origin `null`, as has any page in a sandboxed frame: who names
//! `null` trusts every page that a browser near this listener opens.
//!
//! **Names.** A name that an attacker controls can be made to point here ("DNS rebinding"), and its pages would then be of this
//! listener's own origin. So it answers only to addresses, `localhost` and the names in its settings.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{self, HOST, ORIGIN},
        uri::Authority,
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use fleetps_nats::{error_chain, patience::patiently};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Fault, Legacy, fault::Reason, pages, push, s000, s001, s002, s003};
use crate::{
    config::LegacySettings,
    connections::{self, Connections, Limits},
    gate::Gate,
    state::AppState,
    tls::{Certificates, TlsListener, TlsSettings},
};

/// What pages of named origins may send.
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("content-type");
/// How long a browser may remember that, in seconds: a day, as system 002 says.
const REMEMBERED_S: HeaderValue = HeaderValue::from_static("86400");

/// Where older systems are answered, and how.
pub struct LegacyDoor {
    door: TlsListener,
    address: SocketAddr,
    settings: LegacySettings,
}

impl LegacyDoor {
    /// Listens where `settings` say; `None` where they name no address.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn open(
        settings: &LegacySettings,
        tls: &TlsSettings,
        data: &Path,
    ) -> anyhow::Result<Option<Self>> {
        let Some(listen) = settings.listen else { return Ok(None) };
        let tcp = TcpListener::bind(listen).await.with_context(|| {
            format!(
                "cannot listen on {listen} for agents of older systems; another program may have that port"
            )
        })?;
        let address = tcp.local_addr()?;
        let files = tls.files(data)?.filter(|_| !listen.ip().is_loopback() && !settings.plaintext);
        let door = match files {
            Some(files) => TlsListener::secure(tcp, Certificates::load(files)?),
            None => TlsListener::plaintext(tcp),
        };
        Ok(Some(Self { door, address, settings: settings.clone() }))
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Answers at `door` until `shutdown`.
pub(crate) async fn serve(
    LegacyDoor { door, address, settings }: LegacyDoor,
    client: async_nats::Client,
    shared: AppState,
    gate: Gate,
    shutdown: CancellationToken,
) {
    let opening = patiently("the listener for older systems", || {
        Legacy::open(client.clone(), shared.clone(), settings.clone(), gate.clone(), shutdown.clone())
    });
    let legacy = match shutdown.run_until_cancelled(opening).await {
        Some(Ok(legacy)) => legacy,
        Some(Err(error)) => {
            return tracing::error!(error = error_chain(&error), "older systems are not answered");
        }
        None => return,
    };
    if !address.ip().is_loopback() && door.acceptor().is_none() {
        tracing::warn!(
            %address,
            "agents of older systems are answered without TLS: their keys and what they send cross the network as they are"
        );
    }
    let connections = Connections::new(Limits::of_this_process(), shared.people.addresses().clone());
    connections::serve(door, router(legacy), connections, shutdown).await;
}

/// The routes of all systems.
fn router(legacy: Arc<Legacy>) -> Router {
    s000::routes()
        .merge(s001::routes())
        .merge(s002::routes())
        .merge(s003::routes())
        .merge(push::routes())
        .fallback(pages::file)
        .layer(from_fn_with_state(Arc::clone(&legacy), check))
        .with_state(legacy)
}

/// Checks name and origin, and finishes every answer.
async fn check(State(legacy): State<Arc<Legacy>>, request: Request, next: Next) -> Response {
    let host = request.uri().authority().cloned().or_else(|| host_of(request.headers()));
    let is_unreadable = host.is_none() && request.headers().contains_key(HOST);
    let (method, settings) = (request.method().clone(), &legacy.settings);
    let origin = match allowed_origin(request.headers(), host.as_ref(), settings) {
        Ok(origin) => origin,
        Err(fault) => return finish(&legacy, &method, fault.into_response(), None),
    };
    if is_unreadable || !is_own_name(host.as_ref(), settings) {
        let detail = "this listener does not answer to that name; its setting names in [legacy] lists those that it answers to";
        let fault = Fault::new(StatusCode::MISDIRECTED_REQUEST, "other-name-of-server", detail);
        return finish(&legacy, &method, fault.into_response(), None);
    }
    let is_preflight = method == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && origin.is_some();
    let response = match is_preflight {
        true => preflight(request.headers()),
        false => next.run(request).await,
    };
    finish(&legacy, &method, response, origin)
}

fn preflight(headers: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
    answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_S);
    // A page of the Internet asks a machine of the local network.
    if headers.contains_key("access-control-request-private-network") {
        let name = HeaderName::from_static("access-control-allow-private-network");
        answer.insert(name, HeaderValue::from_static("true"));
    }
    response
}

/// Counts faults, and sets what every answer has.
fn finish(legacy: &Legacy, method: &Method, mut response: Response, origin: Option<HeaderValue>) -> Response {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let detail = format!("Method \"{method}\" not allowed.");
        let allow = response.headers().get(header::ALLOW).cloned();
        response = Fault::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail).into_response();
        response.headers_mut().extend(allow.map(|allow| (header::ALLOW, allow)));
    }
    if let Some(Reason(reason)) = response.extensions().get() {
        legacy.counts.count(reason);
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

fn host_of(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?.parse().ok()?;
    hosts.next().is_none().then_some(host)
}

/// The origin of a page that may ask; `None` for a program.
fn allowed_origin(
    headers: &HeaderMap,
    host: Option<&Authority>,
    settings: &LegacySettings,
) -> Result<Option<HeaderValue>, Fault> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(None) };
    let text = origin.to_str().unwrap_or_default();
    let name = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_own = name.is_some() && name == host.map(Authority::as_str);
    if is_own || settings.origins.iter().any(|named| named == text) {
        return Ok(Some(origin.clone()));
    }
    let detail =
        "pages of this origin may not ask; the server's setting origins in [legacy] lists those that may";
    Err(Fault::new(StatusCode::FORBIDDEN, "other-origin", detail))
}

/// Whether this is an address or a name that the listener answers to.
fn is_own_name(host: Option<&Authority>, settings: &LegacySettings) -> bool {
    // A program without a host header is no browser.
    let Some(host) = host else { return true };
    let name = host.host();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || settings.names.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> LegacySettings {
        LegacySettings {
            origins: vec!["null".to_owned(), "http://localhost:5173".to_owned()],
            names: vec!["monitor.example.com".to_owned()],
            ..LegacySettings::default()
        }
    }

    #[test]
    fn pages_of_named_origins_ask_and_no_others() {
        let host: Authority = "127.0.0.1:8000".parse().unwrap();
        for (origin, is_allowed) in [
            ("null", true),
            ("http://localhost:5173", true),
            ("http://127.0.0.1:8000", true),
            ("http://localhost:5174", false),
            ("https://localhost:5173", false),
            ("http://127.0.0.1:8000.example.com", false),
            ("http://example.com", false),
            ("", false),
            ("*", false),
        ] {
            let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_str(origin).unwrap())]);
            let found = allowed_origin(&headers, Some(&host), &settings());
            assert_eq!(found.is_ok(), is_allowed, "{origin}");
        }
        assert_eq!(allowed_origin(&HeaderMap::new(), Some(&host), &settings()), Ok(None));
    }

    #[test]
    fn only_addresses_and_named_names_are_answered() {
        for (host, is_own) in [
            ("127.0.0.1:8000", true),
            ("[::1]:8000", true),
            ("192.0.2.7", true),
            ("LOCALHOST:8000", true),
            ("Monitor.example.com:8000", true),
            ("example.com", false),
            ("127.0.0.1.example.com", false),
            ("localhost.example.com:8000", false),
        ] {
            assert_eq!(is_own_name(Some(&host.parse().unwrap()), &settings()), is_own, "{host}");
        }
    }
}
