//! Hosts that speak HTTP ask to be admitted, and announce their next key. Admission decides, as for the broker.

use axum::{
    Extension,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use fleetps_nats::{
    admission::{Enrolled, Enrolment, Hello, Welcome},
    signed::{self, SignedRequest, body_hash},
    subject,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::ingest;
use crate::{answer::response, auth::ClientInfo, broker, refusal::Refusal, state::AppState};

/// What a host brings that asks to be admitted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    token: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    state: Enrolled,
}

/// Lets a host ask whether it is admitted; the answer has the state, and a status that says the same.
pub async fn enrol(
    State(shared): State<AppState>,
    Extension(came): Extension<ClientInfo>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = SignedRequest::read(uri.path(), header);
    let checked = signed.and_then(|signed| signed.verify(header(signed::SIGNATURE)).map(|()| signed));
    let unsigned = |error: String| {
        Refusal::new(StatusCode::BAD_REQUEST, error, "docs/hosts.md says how a request is signed")
    };
    let signed = checked.map_err(|error| unsigned(error.to_string()))?;
    if body_hash(&body) != signed.body {
        return Err(unsigned("the body is not the one that was signed".to_owned()));
    }
    let token = understood::<Asked>(&body)?.token;
    let enrolment = Enrolment { host: signed.host, key: signed.key, address: came.from.to_string(), token };
    let state = asked(&shared, subject::ENROL.to_owned(), &enrolment).await?;
    let status = match state {
        Enrolled::Admitted => StatusCode::OK,
        Enrolled::Waiting => StatusCode::ACCEPTED,
        Enrolled::Refused => StatusCode::FORBIDDEN,
        Enrolled::Undecided => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok(response(status, &Answer { state }))
}

/// Takes the next key of the host that signed this request.
pub async fn hello(
    State(shared): State<AppState>,
    signed: Option<Extension<SignedRequest>>,
    request: Request,
) -> Result<Response, Refusal> {
    let (host, signed) = ingest::sender(&request, signed)?;
    let hello: Hello = understood(&ingest::read(request.into_body(), &signed).await?)?;
    let welcome: Welcome = asked(&shared, subject::hello(&host), &hello).await?;
    Ok(response(StatusCode::OK, &welcome))
}

fn understood<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
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
    };
    let answer = broker::ask(client, client.request(subject, question.into())).await?.map_err(nobody)?;
    serde_json::from_slice(&answer.payload)
        .map_err(|error| Refusal::fault("cannot understand admission", &error))
}
