//! `/api/v1/ws`: several live topics on one socket, for programs.
//!
//! * **What is said.** `request` reads what clients send, `message` writes what they get: the data of a message is exactly
//!   what the JSON route of the same topic answers. The manual's page `docs/websocket.md` has every message.
//! * **Topics.** Each of `topics` keeps where its client is in its stream, and no message: the next one is made when the
//!   socket has room. So nothing queues, the newest state wins, and a client that goes on behind a position gets what it
//!   missed, or is told that it cannot.
//! * **Bounds.** `wire` sends long messages in fragments, each message within its time. `sockets` counts and limits
//!   sockets and large messages, and lets clients who watch the same share one message.
//! * **Rights.** `session` holds one socket: it ends within a second when the person is signed out, disabled or granted
//!   something else. Every topic reads the fleet through [`ScopedFleet`], each time anew.
//! * **Origin.** No browser keeps a page of another site from opening a socket with the user's cookie, so a cookie counts
//!   only with this server's own origin. A token comes in a header or as a protocol, never in the address, which is logged.

mod message;
mod request;
mod session;
mod topics;
mod wire;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::server::create_response_with_body, protocol::Role},
};

use crate::{
    answer::Upgraded,
    auth::{ClientInfo, Credential, Person, Principal},
    connections::Place,
    middleware::guard,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    state::AppState,
};
use session::{Access, Session};

/// The protocol that is spoken; a client that offers any must offer this one.
const PROTOCOL: &str = "fleetps.v1";

/// Opens a socket.
///
/// # Errors
/// When the request asks for no socket, comes from a page of another site, or there are too many sockets.
pub(crate) async fn open(
    State(shared): State<AppState>,
    scoped: ScopedFleet,
    person: Person,
    mut request: Request,
) -> Result<Upgraded, Refusal> {
    let mut response = create_response_with_body(&request, Body::empty).map_err(|error| {
        let hint = "open it with a WebSocket client, as ws://… or wss://…/api/v1/ws";
        Refusal::new(StatusCode::BAD_REQUEST, format!("this is no WebSocket: {error}"), hint)
    })?;
    let credential = request.extensions().get::<Credential>().cloned();
    // Where sign-in is off, nothing has checked the credential, and a page can offer any protocol.
    let checked = credential.as_ref().filter(|_| shared.people.accounts().is_some());
    check_origin(&request, checked)?;
    if let Some(protocol) = chosen_protocol(request.headers())? {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        let hint = "open it over HTTP/1.1";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "this connection cannot become a WebSocket", hint));
    };
    let socket = shared.sockets.open(&person.name)?;
    let came: Option<&ClientInfo> = request.extensions().get();
    let access = credential.zip(Principal::of(request.extensions()).cloned()).zip(came.copied());
    let session = Session {
        people: shared.people.clone(),
        scoped,
        access: access.map(|((credential, principal), came)| Access { credential, principal, came }),
        kept: request.extensions().get::<Place>().map(Place::keep),
        socket,
    };
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let io = TokioIo::new(upgraded);
                let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(wire::config())).await;
                session.run(stream).await;
            }
            Err(error) => tracing::debug!(%error, "a connection did not become a WebSocket"),
        }
    });
    Ok(Upgraded::of(response))
}

/// Refuses sockets that a page of another site opens with the user's cookie, or because this server knows everybody.
/// `credential` is what the requester was recognised by; absent where sign-in is off.
fn check_origin(request: &Request, credential: Option<&Credential>) -> Result<(), Refusal> {
    let headers = request.headers();
    let is_allowed = match credential {
        // No page has a token unless somebody gave it one.
        Some(Credential::Token(_)) => true,
        Some(Credential::Session(_)) => {
            headers.contains_key(header::ORIGIN) && guard::is_own_page(request.uri(), headers)
        }
        None => guard::is_own_page(request.uri(), headers),
    };
    match is_allowed {
        true => Ok(()),
        false => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "a page of another site, or a program, opens this socket with a cookie",
            "open it from a page of this server, or send an API token",
        )),
    }
}

/// The protocol of the answer; none where none is offered.
fn chosen_protocol(headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut protocols =
        offers.iter().flat_map(|offer| offer.as_bytes().split(|byte| *byte == b',')).peekable();
    if protocols.peek().is_none() {
        return Ok(None);
    }
    match protocols.any(|protocol| protocol.trim_ascii() == PROTOCOL.as_bytes()) {
        true => Ok(Some(HeaderValue::from_static(PROTOCOL))),
        false => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "none of the offered protocols is spoken here",
            format!("offer {PROTOCOL}, or none"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_protocols_only_that_of_this_server_is_answered_and_never_a_token() {
        let chosen = |offer: &str| {
            let mut headers = HeaderMap::new();
            headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(offer).unwrap());
            chosen_protocol(&headers)
        };
        assert_eq!(chosen_protocol(&HeaderMap::new()), Ok(None));
        for offer in ["fleetps.v1", "fleetps.v1, bearer.fleetps_x", "bearer.fleetps_x,fleetps.v1"] {
            assert_eq!(chosen(offer), Ok(Some(HeaderValue::from_static("fleetps.v1"))), "{offer}");
        }
        for offer in ["", "bearer.fleetps_x", "fleetps.v2", "FLEETPS.V1", "graphql-ws"] {
            assert!(chosen(offer).is_err(), "{offer}");
        }
    }
}
