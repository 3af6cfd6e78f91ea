//! Snapshots that come over HTTP: taken when the stream has them.

use std::time::Duration;

use axum::{
    Extension,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use fleetps_nats::{
    HostName,
    agent_settings::SignedFrame,
    signed::{self, SignedRequest, body_hash},
    snapshot::MAX_COMPRESSED_BYTES,
};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;

use crate::{
    answer::{Answers, Content, Described, Problem, response},
    auth::Principal,
    gate::{Incoming, NotStored, Stored},
    refusal::Refusal,
    state::AppState,
};

/// How long a body may take: the longest at 70 KB a second, or a usual one over the slowest telephone.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// How soon a request of a host is sent again that could not be answered now: a broker that was restarted is back by then.
pub(super) const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The answer to a snapshot that the stream has.
#[derive(Debug, Serialize, JsonSchema)]
struct Taken {
    /// Its place in the stream; of a repeat, that of the host's last message.
    sequence: u64,
    /// It came before, and was not stored again.
    duplicate: bool,
    /// The host is to make itself a new key, and to announce it.
    rotate: bool,
    /// The settings that are asked of the host, signed; absent where it has them already.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    settings: Option<SignedFrame>,
}

/// Why a post was not taken, for a program.
#[derive(Debug, Serialize, JsonSchema)]
struct NotTaken<'a> {
    error: String,
    hint: &'a str,
    /// A short name, the same as for snapshots that come by the broker.
    reason: &'a str,
    /// What the first snapshot of a run must name: the sequence of the host's last message in the stream, or where there is none,
    /// a random number of 2⁵² and above.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
}

/// The answer to a post.
#[derive(Debug)]
pub(crate) struct Posted(Response);

impl IntoResponse for Posted {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Answers for Posted {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        let taken = generator.subschema_for::<Taken>();
        let not_taken = generator.subschema_for::<NotTaken<'static>>();
        let unsigned = generator.subschema_for::<Problem>();
        let all = [(202, taken), (401, unsigned), (409, not_taken.clone()), (422, not_taken)];
        all.map(|(status, schema)| Described { status, content: Content::Json(schema) }).into()
    }
}

/// Takes a snapshot of the host that signed this post.
pub(crate) async fn post(
    State(shared): State<AppState>,
    signed: Option<Extension<SignedRequest>>,
    request: Request,
) -> Result<Posted, Refusal> {
    let (host, signed) = sender(&request, signed)?;
    let known = request.headers().get(signed::SETTINGS).and_then(|known| known.to_str().ok()?.parse().ok());
    let Some(label) = signed.label.clone() else {
        let hint = "send the headers Fp-Run, Fp-Seq and Fp-After";
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "this post does not say which snapshot it has",
            hint,
        ));
    };
    let Some(gate) = &shared.gate else { return Err(Refusal::no_broker()) };
    let _entered = match gate.enter(&host) {
        Ok(entered) => entered,
        Err(refused) => return not_stored(&refused),
    };
    let incoming = Incoming {
        message: read(request.into_body(), &signed).await?,
        run: label.run,
        sequence: label.sequence,
        age: label.age,
        body: None,
        after: Some(label.after),
    };
    match gate.store(&host, incoming).await {
        Ok(Stored { sequence, is_repeat }) => {
            let rotate = shared.host_keys.is_to_rotate(&host);
            let settings = known.and_then(|revision| shared.control.frame_after(&host, revision));
            let taken = Taken { sequence, duplicate: is_repeat, rotate, settings };
            Ok(Posted(response(StatusCode::ACCEPTED, &taken)))
        }
        Err(refused) => not_stored(&refused),
    }
}

/// The host that signed a request.
///
/// # Errors
/// When nobody did.
pub(super) fn sender(
    request: &Request,
    signed: Option<Extension<SignedRequest>>,
) -> Result<(HostName, SignedRequest), Refusal> {
    match (Principal::of(request.extensions()), signed) {
        (Some(Principal::Host(host)), Some(Extension(signed))) => Ok((host.clone(), signed)),
        _ => Err(Refusal::unsigned(StatusCode::UNAUTHORIZED, "no host signed this request")),
    }
}

/// The body, if it is the one that was signed.
pub(super) async fn read(body: Body, signed: &SignedRequest) -> Result<Bytes, Refusal> {
    let reading = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_COMPRESSED_BYTES)).await;
    let read = reading.map_err(|_| {
        let error = format!("this post was not sent within {} s", BODY_TIMEOUT.as_secs());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, error, "send it again, faster")
    })?;
    let body = read.map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, "this post broke off, or is too long", "send it again")
    })?;
    if body_hash(&body) == signed.body {
        return Ok(body);
    }
    Err(Refusal::new(StatusCode::UNAUTHORIZED, "the body is not the one that was signed", "send it again"))
}

/// The answer to a snapshot that was not stored: 429 and 503 are worth another try, 409 with what is asked for, and 422 is not.
fn not_stored(refused: &NotStored) -> Result<Posted, Refusal> {
    let for_now = |status, hint, wait| Err(Refusal::new(status, refused.to_string(), hint).for_now(wait));
    let again = "send it again after the time in Retry-After";
    let (status, hint, after) = match refused {
        NotStored::TooMuch { retry_after } => {
            // The header is rounded up.
            let wait = retry_after.saturating_sub(Duration::from_secs(1));
            return for_now(StatusCode::TOO_MANY_REQUESTS, again, wait);
        }
        NotStored::AtOnce => return for_now(StatusCode::TOO_MANY_REQUESTS, again, Duration::ZERO),
        NotStored::Busy | NotStored::Unavailable => {
            return for_now(StatusCode::SERVICE_UNAVAILABLE, again, AGAIN_AFTER);
        }
        NotStored::Unproven { after } => {
            (StatusCode::CONFLICT, "sign it again with this Fp-After", Some(*after))
        }
        NotStored::Invalid(_) | NotStored::Mislabelled => {
            (StatusCode::UNPROCESSABLE_ENTITY, "sending it again does not help", None)
        }
    };
    let answer = NotTaken { error: refused.to_string(), hint, reason: refused.reason(), after };
    Ok(Posted(response(status, &answer)))
}
