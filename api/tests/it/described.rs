//! Every answer of the JSON interface that the tests get is compared with its description. A field, a status or a type of content
//! that the description does not have is a fault, of one or of the other.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{Method, header},
    middleware::{self, Next},
    response::Response,
};
use fleetps::testing::{routes, state::AppState};
use jsonschema::Validator;
use serde_json::{Value, json};

/// The routes of a site, whose answers are compared with their description on the way out.
pub fn router(shared: AppState) -> Router {
    routes::router(shared).layer(middleware::from_fn(compare))
}

async fn compare(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let is_packed = response.headers().contains_key(header::CONTENT_ENCODING);
    if !is_interface(&path) || method == Method::HEAD {
        return response;
    }
    let status = response.status().as_u16();
    if is_packed || !kind.starts_with("application/json") {
        check(&method, &path, status, &kind, None);
        return response;
    }
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    check(&method, &path, status, &kind, Some(std::str::from_utf8(&body).unwrap()));
    Response::from_parts(head, Body::from(body))
}

/// Whether what is at this address is described.
fn is_interface(path: &str) -> bool {
    path.starts_with("/api/") || matches!(path, "/healthz" | "/readyz")
}

/// What the program at `address` answers to a GET of `path`, with any status, compared with its description; none where it
/// does not answer.
pub fn got(address: &str, path: &str) -> Option<(u16, String)> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.get(format!("{address}{path}")).call().ok()?;
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let body = answer.body_mut().read_to_string().ok()?;
    let (kind, place) = (kind.unwrap_or_default(), path.split('?').next().unwrap_or_default());
    if is_interface(place) {
        let json = Some(body.as_str()).filter(|_| kind.starts_with("application/json"));
        check(&Method::GET, place, status, &kind, json);
    }
    Some((status, body))
}

/// Compares an answer with its description; without a body, only its status and its type.
///
/// # Panics
/// When it differs.
pub fn check(method: &Method, path: &str, status: u16, kind: &str, body: Option<&str>) {
    let kind = kind.split(';').next().unwrap();
    let what = format!("{method} {path} answered {status} {kind}");
    let interface = &*INTERFACE;
    let schema = match interface.responses(method, path) {
        Some(responses) => {
            let response = &responses[&status.to_string()];
            let shared = response["$ref"].as_str().map(|place| place.trim_start_matches('#'));
            let response = shared.map_or(response, |place| interface.document.pointer(place).unwrap());
            assert!(response.is_object(), "{what}: this status is not described");
            if kind.is_empty() {
                return;
            }
            let content = &response["content"][kind];
            assert!(content.is_object(), "{what}: this type is not described");
            content["schema"].clone()
        }
        None => {
            assert!((400..600).contains(&status), "{what}: this route is not described");
            json!({"$ref": "#/components/schemas/Error"})
        }
    };
    let Some(body) = body else { return };
    let value: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{what}: {error}: {body}"));
    validate(&what, &schema, &value);
}

/// Compares a value with a schema of the document.
///
/// # Panics
/// When it differs.
pub fn validate(what: &str, schema: &Value, value: &Value) {
    let faults: Vec<String> = INTERFACE
        .validator(schema)
        .iter_errors(value)
        .map(|fault| format!("{} at {}", fault, fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{what}, not as described: {}\n{value:#}", faults.join("; "));
}

/// The document, closed: what it does not name may not be there.
static INTERFACE: LazyLock<Described> = LazyLock::new(|| {
    let mut document = routes::interface().document();
    close(&mut document["components"]);
    close(&mut document["paths"]);
    Described { document, validators: Mutex::default() }
});

struct Described {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Described {
    /// The responses of the route that a request reaches.
    fn responses(&self, method: &Method, path: &str) -> Option<&Value> {
        let paths = self.document["paths"].as_object().unwrap();
        // A place that is named comes before one that is filled in, as in the router.
        let mut fitting: Vec<_> = paths.iter().filter(|(template, _)| fits(template, path)).collect();
        fitting.sort_by_key(|(template, _)| template.matches('{').count());
        let operation = &fitting.first()?.1[method.as_str().to_ascii_lowercase()];
        operation.get("responses")
    }

    fn validator(&self, schema: &Value) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let made = validators.entry(schema.to_string()).or_insert_with(|| {
            let mut whole = schema.clone();
            whole["components"] = self.document["components"].clone();
            Arc::new(jsonschema::options().should_validate_formats(true).build(&whole).unwrap())
        });
        Arc::clone(made)
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (places, parts): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    places.len() == parts.len()
        && places.iter().zip(&parts).all(|(place, part)| place.starts_with('{') || place == part)
}

/// Lets objects have no fields but those that are named.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            if fields.get("properties").is_some_and(Value::is_object) {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(close),
        _ => {}
    }
}

/// The schema of the data of a stream's events.
pub fn event_data(path: &str) -> Value {
    let responses = INTERFACE.responses(&Method::GET, path).unwrap();
    responses["200"]["content"]["text/event-stream"]["x-event-data"].clone()
}
