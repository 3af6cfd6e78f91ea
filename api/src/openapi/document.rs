//! The OpenAPI document of the routes that are described.

use std::sync::Arc;

use axum::{Extension, http::Method};
use fleetps_nats::signed::SIGNATURE;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value as Json, json};

use super::operation::{Argument, Operation, Takes, id};
use crate::{
    answer::{Content, Described, Problem},
    auth::{PrincipalKind, Role},
    authz::Permission,
    query::Parameter,
};

/// Where schemas are in the document, for `$ref`.
const SCHEMAS: &str = "/components/schemas";
/// Where the refusals that routes share are.
const REFUSALS: &str = "/components/responses";
/// How hosts prove who they are, for `security`.
const HOST_SIGNATURE: &str = "host_signature";
/// What the document says about itself.
const ABOUT: &str = "Every process of every host, now and at any past moment. Times are RFC 3339 in UTC; unknown values \
    are null; percentages of processes are of one core, those of hosts of all cores together. New fields may be added to \
    answers at any time; none is removed or changes its type without a line in the changelog.";

/// A route that is described.
#[derive(Clone)]
pub struct Listed {
    /// The method.
    pub method: Method,
    /// The address, with places to fill in.
    pub path: &'static str,
    /// Which principals may ask.
    pub open_to: &'static [PrincipalKind],
    /// What must be allowed.
    pub action: Permission,
    /// The description.
    pub operation: Operation,
}

impl Listed {
    /// Whether it is a route by which hosts send something; people may use some of these, too.
    fn is_for_hosts(&self) -> bool {
        self.open_to.contains(&PrincipalKind::Host) && self.method != Method::GET
    }

    fn is_for_hosts_only(&self) -> bool {
        self.open_to == PrincipalKind::HOSTS
    }
}

/// Every route that is described.
#[derive(Clone, Default)]
pub struct Interface(pub Vec<Listed>);

impl Argument for Extension<Arc<Interface>> {}

impl Interface {
    /// The same with those routes only that people may ask and whose action `may` says yes to.
    pub fn for_people(&self, may: impl Fn(Permission) -> bool) -> Self {
        let is_theirs = |route: &&Listed| !route.is_for_hosts_only() && may(route.action);
        Self(self.0.iter().filter(is_theirs).cloned().collect())
    }

    /// The OpenAPI 3.1 document.
    pub fn document(&self) -> Json {
        let mut generator = SchemaSettings::draft2020_12()
            .for_serialize()
            .with(|settings| {
                settings.definitions_path = SCHEMAS.into();
                settings.meta_schema = None;
            })
            .into_generator();
        let problem = generator.subschema_for::<Problem>().to_value();
        let mut paths: Map<String, Json> = Map::new();
        for route in &self.0 {
            let methods = paths.entry(route.path).or_insert_with(|| json!({}));
            methods[route.method.as_str().to_ascii_lowercase()] = operation(route, &problem, &mut generator);
        }
        let mut schemas = Json::Object(generator.take_definitions(true));
        for schema in [&mut schemas].into_iter().chain(paths.values_mut()) {
            tidy(schema);
        }
        let token = json!({"type": "http", "scheme": "bearer", "description":
            "An API token, made on the page of one's account; at most what its person may do."});
        let mut schemes = json!({"token": token});
        if self.0.iter().any(Listed::is_for_hosts_only) {
            schemes[HOST_SIGNATURE] = json!({"type": "apiKey", "in": "header", "name": SIGNATURE, "description":
                "A signature by the host's key, with other headers beside it (docs/hosts.md)."});
        }
        json!({
            "openapi": "3.1.0",
            "info": {"title": "fleetps", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "responses": shared_refusals(&problem),
                "securitySchemes": schemes,
            },
        })
    }
}

fn operation(route: &Listed, problem: &Json, generator: &mut SchemaGenerator) -> Json {
    let operation = &route.operation;
    let takes = &operation.takes;
    let parameters: Vec<Json> = takes
        .path
        .iter()
        .map(|place| parameter(place, "path"))
        .chain(takes.query.iter().map(|place| parameter(place, "query")))
        .collect();
    let is_csv = takes.query.iter().any(|parameter| parameter.name == "format");
    let mut responses = Map::new();
    for described in (operation.answers)(generator) {
        let words = words_of_refusal(route, described.status).unwrap_or("The answer.");
        responses.insert(described.status.to_string(), answer(&described, words, is_csv));
    }
    for (status, _) in refusals(route) {
        let shared = json!({"$ref": format!("#{REFUSALS}/{status}")});
        let response = responses.entry(status.to_string()).or_insert(shared);
        let own = response.pointer_mut("/content/application~1json/schema");
        if let Some(own) = own.filter(|own| *own != problem) {
            *own = json!({"anyOf": [own.take(), problem]});
        }
    }
    let mut described = json!({
        "operationId": id(&route.method, route.path),
        "summary": operation.summary,
        "description": who_may(route),
        "parameters": parameters,
        "responses": responses,
        "security": security(route),
    });
    if !takes.body.is_empty() {
        let content: Map<String, Json> =
            takes.body.iter().map(|(kind, schema)| ((*kind).to_owned(), json!({"schema": schema}))).collect();
        described["requestBody"] = json!({"required": true, "content": content});
    }
    described
}

fn parameter(parameter: &Parameter, place: &str) -> Json {
    let mut described = json!({
        "name": parameter.name,
        "in": place,
        "required": place == "path",
        "description": parameter.description,
        "schema": parameter.schema,
    });
    if parameter.schema["type"] == "array" {
        described["style"] = "form".into();
        described["explode"] = false.into();
    }
    described
}

fn answer(described: &Described, words: &str, is_csv: bool) -> Json {
    match &described.content {
        Content::Json(schema) => {
            let mut content = json!({"application/json": {"schema": schema}});
            if is_csv {
                content["text/csv"] = json!({"schema": {"type": "string"}});
            }
            json!({"description": words, "content": content})
        }
        Content::Events(schema) => json!({
            "description": "Server-sent events. The data of each is JSON with the schema `x-event-data`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "x-event-data": schema}},
        }),
        Content::Upgrade => json!({"description": "The connection is a WebSocket from here on."}),
        Content::Elsewhere => json!({
            "description": "The answer is at the address in `location`.",
            "headers": {"Location": {"required": true, "schema": {"type": "string", "format": "uri-reference"}}},
        }),
    }
}

/// The refusals that routes share, by status.
fn shared_refusals(problem: &Json) -> Json {
    let of = |(status, words, _): (u16, &str, bool)| {
        let mut refusal = json!({"description": words, "content": {"application/json": {"schema": problem}}});
        if matches!(status, 429 | 503) {
            refusal["headers"] = json!({"Retry-After": {"description":
                "After how many seconds the same may be answered otherwise, where that is known.",
                "schema": {"type": "integer"}}});
        }
        (status.to_string(), refusal)
    };
    let everything =
        Takes { looks_at_hosts: true, path: Vec::new(), query: Vec::new(), body: vec![("", Json::Null)] };
    all_refusals(&everything, true, (true, true), true).into_iter().map(of).collect()
}

/// The refusals of a route, which are all `{error, hint}`.
fn refusals(route: &Listed) -> Vec<(u16, &'static str)> {
    let all = all_refusals_of(route).into_iter().filter(|(.., is_there)| *is_there);
    all.map(|(status, words, _)| (status, words)).collect()
}

/// What a route means by a status, where that is a refusal.
fn words_of_refusal(route: &Listed, status: u16) -> Option<&'static str> {
    let for_hosts = words_for_hosts(status).filter(|_| route.is_for_hosts());
    let shared = || all_refusals_of(route).into_iter().find(|(known, ..)| *known == status);
    for_hosts.or_else(|| shared().map(|(_, words, _)| words))
}

/// What a host is told by a status that means something else to people.
fn words_for_hosts(status: u16) -> Option<&'static str> {
    match status {
        401 => Some("The request is not signed by a key that is the host's."),
        403 => Some("The host is not let in, or asks from an address that is not allowed."),
        409 => Some("The run is new: sign the snapshot again, with `after` as `Fp-After`."),
        422 => Some("This is no snapshot that can be stored; sending it again does not help."),
        _ => None,
    }
}

fn all_refusals_of(route: &Listed) -> [(u16, &'static str, bool); 14] {
    let needs_person = route.action != Permission::Anything;
    let is_change = route.method != Method::GET;
    let asks_hosts = route.action == Permission::Command;
    all_refusals(&route.operation.takes, needs_person, (is_change, asks_hosts), route.is_for_hosts_only())
}

/// Every refusal, and whether a route has it that takes this.
fn all_refusals(
    takes: &Takes,
    needs_person: bool,
    (changes, asks_hosts): (bool, bool),
    is_of_hosts: bool,
) -> [(u16, &'static str, bool); 14] {
    [
        (400, "The request cannot be read: the hint says what was expected.", true),
        (401, "The request has no token that is known.", needs_person),
        (403, "The token's person may not do this, or asks from an address that is not allowed.", true),
        (
            404,
            "There is no such thing, or it may not be seen.",
            !takes.path.is_empty() || takes.looks_at_hosts,
        ),
        (408, "The body was not sent in time.", !takes.body.is_empty()),
        (
            409,
            "The question was cancelled, what is to be changed is another by now, or the host does not allow it.",
            !takes.body.is_empty() || asks_hosts || (changes && !takes.path.is_empty()),
        ),
        (411, "The length of the body is not known.", is_of_hosts),
        (413, "The body is too long.", changes),
        (421, "The request names another server.", true),
        (422, "The question asks for too much; the hint says what would be less.", takes.looks_at_hosts),
        (429, "Too many requests.", true),
        (500, "A fault of the server, which its log has.", true),
        (503, "It cannot be answered now; trying again later may help.", true),
        (504, "The question took too long; a shorter range is quicker.", takes.looks_at_hosts),
    ]
}

/// The roles that a token needs, beside the token.
fn security(route: &Listed) -> Json {
    match (route.action, route.action.role()) {
        _ if route.is_for_hosts_only() => json!([{HOST_SIGNATURE: []}]),
        (Permission::Anything, _) => json!([{}]),
        (_, None) => json!([{"token": []}]),
        (_, Some(role)) => json!([{"token": [role.name()]}]),
    }
}

fn who_may(route: &Listed) -> String {
    let action = route.action;
    let of_all = if action.is_about_all_hosts() { " of every host" } else { "" };
    match (action, action.role()) {
        _ if route.is_for_hosts_only() => "For hosts: signed by the host's key (docs/hosts.md).".to_owned(),
        (Permission::Anything, _) => "Everybody may ask.".to_owned(),
        (_, None) => "Needs a token.".to_owned(),
        (_, Some(Role::Viewer)) => "Needs a token; shows the hosts that its person may see.".to_owned(),
        (_, Some(role)) => format!("Needs a token with the role {}{of_all}.", role.name()),
    }
}

/// Whole numbers are of 64 bits, and the document says so in one way: JSON has no sign in its formats. Items of any type
/// are `{}`: not every program that makes clients reads `true`.
fn tidy(schema: &mut Json) {
    match schema {
        Json::Object(fields) => {
            let is_whole = |format: &Json| {
                format.as_str().is_some_and(|format| format.starts_with("uint") || format.starts_with("int"))
            };
            if let Some(format) = fields.get_mut("format").filter(|format| is_whole(format)) {
                *format = "int64".into();
            }
            if let Some(items) = fields.get_mut("items").filter(|items| **items == Json::Bool(true)) {
                *items = json!({});
            }
            fields.values_mut().for_each(tidy);
        }
        Json::Array(elements) => elements.iter_mut().for_each(tidy),
        _ => {}
    }
}
