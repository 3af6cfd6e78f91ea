//! The description of the JSON interface: `/api/v1/openapi.json`, and the page `/api`. Both are of what the person who asks
//! may use.

use std::sync::Arc;

use askama::Template;
use axum::{Extension, response::Response};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value as Json;

use super::page::{self, Layout};
use crate::{
    answer::{Answer, shape},
    auth::Person,
    authz::{Decision, permission_of},
    openapi::{Interface, Line, kind, outline},
    refusal::Refusal,
    url::Url,
};

/// The OpenAPI 3.1 document.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct OpenApi(Json);

shape!(OpenApi);

impl JsonSchema for OpenApi {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OpenApi".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "required": ["openapi", "info", "paths"], "additionalProperties": true,
            "properties": {"openapi": {"type": "string"}, "info": {"type": "object"}, "paths": {"type": "object"}}})
    }
}

fn document_for(interface: &Interface, person: &Person) -> Json {
    interface.for_people(|action| permission_of(person, action, None) == Decision::Allowed).document()
}

/// The document.
pub(crate) async fn document(
    Extension(interface): Extension<Arc<Interface>>,
    person: Person,
) -> Answer<OpenApi> {
    Answer::of(&OpenApi(document_for(&interface, &person)))
}

/// The page.
#[derive(Template)]
#[template(path = "api.html")]
struct ApiPage {
    layout: Layout,
    routes: Vec<Shown>,
}

/// A route as the page shows it.
struct Shown {
    id: String,
    method: String,
    path: String,
    summary: String,
    who: String,
    parameters: Vec<Given>,
    /// What it answers, beside JSON.
    others: Vec<String>,
    fields: Vec<Line>,
}

/// A parameter as the page shows it.
struct Given {
    name: String,
    kind: String,
    words: String,
}

impl Shown {
    fn of(document: &Json, path: &str, method: &str, operation: &Json) -> Self {
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let content = operation["responses"]["200"]["content"].as_object().cloned().unwrap_or_default();
        let schema = content.values().find_map(|content| match &content["x-event-data"] {
            Json::Null => content.get("schema").filter(|schema| schema["type"] != "string"),
            data => Some(data),
        });
        Self {
            id: text(&operation["operationId"]),
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            summary: text(&operation["summary"]),
            who: text(&operation["description"]),
            parameters: parameters
                .iter()
                .map(|given| Given {
                    name: text(&given["name"]),
                    kind: values(&given["schema"]),
                    words: text(&given["description"]),
                })
                .collect(),
            others: content.keys().filter(|kind| *kind != "application/json").cloned().collect(),
            fields: schema.map(|schema| outline(document, schema)).unwrap_or_default(),
        }
    }
}

/// The values of a parameter in words.
fn values(schema: &Json) -> String {
    let bounds = match (&schema["minimum"], &schema["maximum"]) {
        (Json::Number(least), Json::Number(most)) => format!(", {least} to {most}"),
        _ => String::new(),
    };
    let usual = match &schema["default"] {
        Json::Null => String::new(),
        usual => format!(", usually {usual}"),
    };
    match &schema["items"] {
        Json::Null => format!("{}{bounds}{usual}", kind(schema)),
        items => format!("several of {}", kind(items)),
    }
}

/// The page.
pub(crate) async fn page(
    layout: Layout,
    Extension(interface): Extension<Arc<Interface>>,
    person: Person,
) -> Result<Response, Refusal> {
    let document = document_for(&interface, &person);
    let paths = document["paths"].as_object().cloned().unwrap_or_default();
    let of_a_path = |(path, methods): (&String, &Json)| -> Vec<Shown> {
        let methods = methods.as_object().cloned().unwrap_or_default();
        methods.iter().map(|(method, operation)| Shown::of(&document, path, method, operation)).collect()
    };
    let routes = paths.iter().flat_map(of_a_path).collect();
    page::render(&ApiPage { layout, routes })
}
