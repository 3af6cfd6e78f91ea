//! Authenticates hosts, which sign their requests: before anything of the body is read.

use std::time::Duration;

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use fleetps_nats::{
    audit::{AuditEntry, Outcome},
    host::MAX_HOST_BYTES,
    now_us,
    signed::{self, NotSigned, SignedRequest},
    snapshot::MAX_COMPRESSED_BYTES,
};

use crate::{
    auth::{ClientInfo, NotAdmitted, Principal},
    connections::Place,
    display::cut,
    extract::header_text,
    refusal::Refusal,
    state::AppState,
    tls::Peer,
};

/// How soon a request is sent again that could not be judged now: hosts are read, or a broker is back, within this time.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Puts the [`Principal`] and the [`SignedRequest`] into a request of a host; refuses one that names a host and is not of it.
/// Every other request passes as it is.
pub(crate) async fn authenticate_host(
    State(shared): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_of_hosts =
        matches!(request.uri().path(), signed::INGEST | signed::HELLO | signed::EXCHANGE | signed::SHARP);
    if !is_of_hosts || !request.headers().contains_key(signed::SIGNATURE) {
        return next.run(request).await;
    }
    if let Err(refusal) = check_size(request.headers()) {
        return answered(refusal);
    }
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.0.ip());
    let came = shared.people.addresses().came(peer, request.headers());
    match check(&shared, &request, came) {
        Ok(signed) => {
            let place = request.extensions().get::<Place>();
            if let Some(Err(most)) = place.map(|place| place.give_to_host(&signed.host)) {
                let error = format!("this host has {most} connections to this server, and all are in use");
                let hint = "send over one connection";
                let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, error, hint);
                return answered(refusal.for_now(AGAIN_AFTER));
            }
            request.extensions_mut().insert(Principal::Host(signed.host.clone()));
            request.extensions_mut().insert(signed);
            next.run(request).await
        }
        Err(refused) => {
            note(&shared, header_text(request.headers(), signed::HOST).unwrap_or_default(), came, &refused);
            answered(refusal_of(&refused))
        }
    }
}

/// The length is known before the body comes, so nothing of one that is too long is read.
fn check_size(headers: &HeaderMap) -> Result<(), Refusal> {
    let length = header_text(headers, header::CONTENT_LENGTH.as_str());
    let length = length.and_then(|length| length.parse::<usize>().ok());
    match length {
        Some(bytes) if bytes <= MAX_COMPRESSED_BYTES => Ok(()),
        Some(_) => Err(Refusal::too_long_post()),
        None => {
            let hint = "send the header Content-Length";
            Err(Refusal::new(StatusCode::LENGTH_REQUIRED, "the length of this post is not known", hint))
        }
    }
}

fn check(shared: &AppState, request: &Request, came: ClientInfo) -> Result<SignedRequest, NotAdmitted> {
    let header = |name: &str| header_text(request.headers(), name);
    let signed = SignedRequest::read(request.uri().path(), header)?;
    shared.host_keys.check(&signed, header(signed::SIGNATURE), came.from)?;
    Ok(signed)
}

fn refusal_of(refused: &NotAdmitted) -> Refusal {
    let (status, hint) = match refused {
        NotAdmitted::NotRead => (StatusCode::SERVICE_UNAVAILABLE, "send it again in a few seconds"),
        NotAdmitted::Unsigned(NotSigned::Header(_)) => {
            (StatusCode::BAD_REQUEST, "docs/hosts.md says how a request is signed")
        }
        NotAdmitted::TooManyWrong => (StatusCode::TOO_MANY_REQUESTS, "send it again in a few seconds"),
        NotAdmitted::Unsigned(NotSigned::Signature) | NotAdmitted::OtherKey => {
            (StatusCode::UNAUTHORIZED, "ask to be admitted: fleetps-agent join")
        }
        NotAdmitted::Waiting | NotAdmitted::Revoked => {
            (StatusCode::FORBIDDEN, "an administrator decides: fleetps host list")
        }
    };
    // Whether there is a host of this name is nobody's business who has not its key.
    let error = match refused {
        NotAdmitted::Unsigned(NotSigned::Signature) => NotAdmitted::OtherKey.to_string(),
        other => other.to_string(),
    };
    let refusal = Refusal::new(status, error, hint);
    let is_for_now = matches!(refused, NotAdmitted::NotRead | NotAdmitted::TooManyWrong);
    if is_for_now { refusal.for_now(AGAIN_AFTER) } else { refusal }
}

/// Counts a refusal; one of each reason is logged and audited in a minute.
fn note(shared: &AppState, name: &str, came: ClientInfo, refused: &NotAdmitted) {
    let refusals = shared.host_keys.refusals();
    let Some(times) = refusals.count(refused.reason(), std::time::Instant::now()) else { return };
    let name = cut(name, MAX_HOST_BYTES);
    tracing::warn!(host = ?name, from = %came.from, times, reason = %refused, "refused a post");
    shared.audit_log.note_entry(AuditEntry {
        at_us: now_us(),
        who: format!("host {name}"),
        from: Some(came.from),
        action: "host.refuse".to_owned(),
        host: name.parse().ok(),
        what: format!("{refused} ({} over HTTP, since last written down: {times})", refused.reason()),
        outcome: Outcome::Refused,
    });
}

/// Outside of what makes faces of refusals; programs alone come here.
fn answered(refusal: Refusal) -> Response {
    let retry_after = refusal.retry_after;
    let mut response = refusal.into_json().into_response();
    if let Some(wait) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
    }
    response
}
