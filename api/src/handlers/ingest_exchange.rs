//! Hosts that speak HTTP hear what is asked of them, answer questions about commands, and post samples for those who watch.

use std::time::Duration;

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use fleetps_nats::{
    exchange::{Brought, HELD},
    signed::SignedRequest,
    subject,
};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;

use super::{
    ingest::{self, AGAIN_AFTER},
    ingest_admission::understood,
};
use crate::{
    answer::{Answers, Content, Described, Problem, response},
    gate::NotStored,
    refusal::Refusal,
    state::AppState,
};

/// How soon a host asks again for which there was no room: settings come with the answers to its posts meanwhile.
const LATER: Duration = Duration::from_secs(60);

/// What a host hears.
#[derive(Debug)]
pub(crate) struct Exchanged(Response);

impl IntoResponse for Exchanged {
    fn into_response(self) -> Response {
        self.0
    }
}

/// What is asked of the host.
#[derive(JsonSchema)]
#[schemars(rename = "Heard")]
#[expect(dead_code, reason = "the shape of what the contract with agents declares")]
struct HeardFields {
    /// The number to name as `line` in the next request.
    line: u64,
    /// Signed frames: settings, and wishes of those who watch.
    frames: Vec<serde_json::Value>,
    /// Questions about commands.
    questions: Vec<QuestionFields>,
}

#[derive(JsonSchema)]
#[schemars(rename = "HostQuestion")]
#[expect(dead_code, reason = "the shape of what the contract with agents declares")]
struct QuestionFields {
    /// Its number, which the answer names.
    id: u64,
    /// The question, as JSON in a text.
    question: String,
}

impl Answers for Exchanged {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        let heard = generator.subschema_for::<HeardFields>();
        let all = [(200, heard), (401, generator.subschema_for::<Problem>())];
        all.map(|(status, schema)| Described { status, content: Content::Json(schema) }).into()
    }
}

/// Whether a sample for those who watch is passed on.
#[derive(Debug)]
pub(crate) struct Sharpened(Response);

impl IntoResponse for Sharpened {
    fn into_response(self) -> Response {
        self.0
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct PassedOn {
    /// Whether it is passed on; the next one may be.
    taken: bool,
}

impl Answers for Sharpened {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        let passed_on = generator.subschema_for::<PassedOn>();
        let all = [(202, passed_on), (401, generator.subschema_for::<Problem>())];
        all.map(|(status, schema)| Described { status, content: Content::Json(schema) }).into()
    }
}

/// Answers the host that signed this request when there is something for it.
pub(crate) async fn exchange(
    State(shared): State<AppState>,
    signed: Option<Extension<SignedRequest>>,
    request: Request,
) -> Result<Exchanged, Refusal> {
    let (host, signed) = ingest::sender(&request, signed)?;
    let (Some(client), Some(gate)) = (&shared.broker, &shared.gate) else { return Err(Refusal::no_broker()) };
    let brought: Brought = {
        let _place = gate.enter(&host).map_err(busy)?;
        understood(&ingest::read(request.into_body(), &signed).await?)?
    };
    let heard = shared.lines.exchange(client, &host, brought, HELD).await;
    let heard = heard.map_err(|full| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, full.to_string(), "ask again later").for_now(LATER)
    })?;
    Ok(Exchanged(response(StatusCode::OK, &heard)))
}

/// Passes a sample on to those who watch the host.
pub(crate) async fn sharp(
    State(shared): State<AppState>,
    signed: Option<Extension<SignedRequest>>,
    request: Request,
) -> Result<Sharpened, Refusal> {
    let (host, signed) = ingest::sender(&request, signed)?;
    let (Some(client), Some(gate)) = (&shared.broker, &shared.gate) else { return Err(Refusal::no_broker()) };
    let _place = gate.enter(&host).map_err(busy)?;
    let taken = shared.lines.may_sharpen(&host);
    if taken {
        let message = ingest::read(request.into_body(), &signed).await?;
        // One that is lost is followed by a newer one.
        let _ = client.publish(subject::sharp(&host), message).await;
    }
    Ok(Sharpened(response(StatusCode::ACCEPTED, &PassedOn { taken })))
}

/// No place for one more body that is read.
fn busy(full: NotStored) -> Refusal {
    let hint = "ask again after the time in Retry-After";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, full.to_string(), hint).for_now(AGAIN_AFTER)
}
