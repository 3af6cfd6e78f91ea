//! Lists about the past, as JSON or as CSV.

use axum::{
    http::{HeaderValue, StatusCode},
    response::Response,
};
use fleetps_ingestor::history::Resolution;
use serde_json::{Map, Value};

use super::json::{self, AboutPast, resolution_word};
use crate::{
    csv::{self, Format},
    scoped_fleet::ScopedFleet,
};

/// A list to answer with.
#[derive(Debug)]
pub struct List<'a> {
    /// The rows' name in JSON, and the file's.
    pub name: &'static str,
    /// The columns of the CSV form, each a field of every row.
    pub columns: &'a [&'a str],
    /// The rows, objects.
    pub rows: Vec<Value>,
    /// How finely the past was kept.
    pub resolution: Resolution,
    /// Further fields of the JSON form.
    pub about: Map<String, Value>,
}

/// The list as JSON, or with `?format=csv` as CSV, whose headers then say how far it can be relied on.
pub fn answer(scoped: &ScopedFleet, format: Format, list: List<'_>) -> Response {
    if format == Format::Json {
        let mut answer = list.about;
        answer.insert(list.name.to_owned(), list.rows.into());
        return json::answer(StatusCode::OK, &AboutPast::new(scoped, list.resolution, answer));
    }
    let mut response = csv::answer(list.name, list.columns, &list.rows);
    let headers = response.headers_mut();
    headers.insert("fleetps-resolution", HeaderValue::from_static(resolution_word(list.resolution)));
    headers.insert("fleetps-incomplete", HeaderValue::from(scoped.set_aside().len()));
    response
}

/// The fields of a JSON object.
pub fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
