//! Hosts that speak HTTP ask to be admitted, and announce their next key. Admission decides, as for the broker.

use axum::{
    Extension,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use fleetps_nats::{
    admission::{self, Enrolled, Hello, Welcome},
    signed::{self, SignedRequest, body_hash},
    subject,
};
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::ingest::{self, AGAIN_AFTER};
use crate::{
    answer::{Answers, Content, Described, Problem, response},
    auth::ClientInfo,
    broker,
    extract::header_text,
    refusal::Refusal,
    state::AppState,
};

/// What a host brings that asks to be admitted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AdmissionRequest {
    token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Enrolment {
    #[schemars(with = "String", extend("enum" = ["admitted", "waiting", "refused", "undecided"]))]
    state: Enrolled,
}

/// Whether a host is admitted, also by its status.
#[derive(Debug)]
pub(crate) struct Decided(Response);

impl IntoResponse for Decided {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Answers for Decided {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        let state = generator.subschema_for::<Enrolment>();
        [200, 202, 403, 503].map(|status| Described { status, content: Content::Json(state.clone()) }).into()
    }
}

/// The answer to a host that said hello.
#[derive(Debug)]
pub(crate) struct Greeted(Response);

impl IntoResponse for Greeted {
    fn into_response(self) -> Response {
        self.0
    }
}

/// What the host is to do, and whether the key that it announced is good from now on.
#[derive(JsonSchema)]
#[schemars(rename = "Welcome")]
#[expect(dead_code, reason = "the shape of the answer of admission")]
struct WelcomeFields {
    /// The host is to make a new key and to announce it.
    rotate: bool,
    /// The key that was announced is good from now on.
    accepted: bool,
    /// The public half of the fleet's control key.
    control_key: Option<String>,
    /// The settings that are asked of the host, signed.
    settings: Option<serde_json::Value>,
}

impl Answers for Greeted {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        let (welcome, unsigned) =
            (generator.subschema_for::<WelcomeFields>(), generator.subschema_for::<Problem>());
        let all = [(200, welcome), (401, unsigned)];
        all.map(|(status, schema)| Described { status, content: Content::Json(schema) }).into()
    }
}

/// Lets a host ask whether it is admitted; the answer has the state, and a status that says the same.
pub(crate) async fn enrol(
    State(shared): State<AppState>,
    Extension(came): Extension<ClientInfo>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Decided, Refusal> {
    let header = |name: &str| header_text(&headers, name);
    let signed = SignedRequest::read(uri.path(), header);
    let checked = signed.and_then(|signed| signed.verify(header(signed::SIGNATURE)).map(|()| signed));
    let unsigned = |error: String| {
        Refusal::new(StatusCode::BAD_REQUEST, error, "docs/hosts.md says how a request is signed")
    };
    let signed = checked.map_err(|error| unsigned(error.to_string()))?;
    if body_hash(&body) != signed.body {
        return Err(unsigned("the body is not the one that was signed".to_owned()));
    }
    let token = understood::<AdmissionRequest>(&body)?.token;
    let enrolment =
        admission::Enrolment { host: signed.host, key: signed.key, address: came.from.to_string(), token };
    let state = asked(&shared, subject::ENROL.to_owned(), &enrolment).await?;
    let status = match state {
        Enrolled::Admitted => StatusCode::OK,
        Enrolled::Waiting => StatusCode::ACCEPTED,
        Enrolled::Refused => StatusCode::FORBIDDEN,
        Enrolled::Undecided => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut decided = response(status, &Enrolment { state });
    if state == Enrolled::Undecided {
        decided.headers_mut().insert(header::RETRY_AFTER, AGAIN_AFTER.as_secs().into());
    }
    Ok(Decided(decided))
}

/// Takes the next key of the host that signed this request.
pub(crate) async fn hello(
    State(shared): State<AppState>,
    signed: Option<Extension<SignedRequest>>,
    request: Request,
) -> Result<Greeted, Refusal> {
    let (host, signed) = ingest::sender(&request, signed)?;
    let hello: Hello = understood(&ingest::read(request.into_body(), &signed).await?)?;
    let welcome: Welcome = asked(&shared, subject::hello(&host), &hello).await?;
    Ok(Greeted(response(StatusCode::OK, &welcome)))
}

pub(super) fn understood<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}"), "send JSON")
    })
}

/// What admission answers.
async fn asked<T: DeserializeOwned>(
    shared: &AppState,
    subject: String,
    question: &impl Serialize,
) -> Result<T, Refusal> {
    let Some(client) = &shared.broker else { return Err(Refusal::no_broker()) };
    let question = serde_json::to_vec(question).map_err(|error| Refusal::fault("cannot ask", &error))?;
    let nobody = |_| {
        let hint = "admission runs with fleetps beside the broker; send this again in a few seconds";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "nothing admits hosts just now", hint)
            .for_now(AGAIN_AFTER)
    };
    let answer = broker::ask(client, client.request(subject, question.into())).await;
    let answer = answer.map_err(|away| Refusal::from(away).for_now(AGAIN_AFTER))?.map_err(nobody)?;
    serde_json::from_slice(&answer.payload)
        .map_err(|error| Refusal::fault("cannot understand admission", &error))
}
