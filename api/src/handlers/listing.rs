//! Lists about the past, as JSON or as CSV.

use axum::{http::HeaderValue, response::Response};
use fleetps_ingestor::history::Resolution;
use serde::Serialize;
use serde_json::Value;

use super::json::{AboutPast, resolution_word};
use crate::{
    answer::{Answer, Shape},
    csv::{self, Format},
    scoped_fleet::ScopedFleet,
};

/// A list to answer with.
#[derive(Debug)]
pub(crate) struct List<'a, T> {
    /// The name of the file.
    pub name: &'static str,
    /// The columns of the CSV form, each a field of every row.
    pub columns: &'a [&'a str],
    /// The rows of the CSV form, objects.
    pub rows: fn(&T) -> Vec<Value>,
    /// How finely the past was kept.
    pub resolution: Resolution,
    /// The JSON form.
    pub answer: T,
}

/// The list as JSON, or with `?format=csv` as CSV, whose headers then say how far it can be relied on.
pub(crate) fn answer<T: Shape>(
    scoped: &ScopedFleet,
    format: Format,
    list: List<'_, T>,
) -> Answer<AboutPast<T::Of>> {
    if format == Format::Json {
        return Answer::of(&AboutPast::new(scoped, list.resolution, list.answer));
    }
    let rows = (list.rows)(&list.answer);
    Answer::of_csv(file(scoped, list.resolution, list.name, list.columns, &rows))
}

/// Rows as CSV, whose headers say how far it can be relied on.
pub(crate) fn file(
    scoped: &ScopedFleet,
    resolution: Resolution,
    name: &str,
    columns: &[&str],
    rows: &[Value],
) -> Response {
    about_past(scoped, resolution, csv::answer(name, columns, rows))
}

/// The same, with headers that say how far it can be relied on: an answer in rows has no other place for that.
pub(crate) fn about_past(scoped: &ScopedFleet, resolution: Resolution, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert("fleetps-resolution", HeaderValue::from_static(resolution_word(resolution)));
    headers.insert("fleetps-incomplete", HeaderValue::from(scoped.set_aside().len()));
    response
}

/// Rows as the objects that CSV is made from.
pub(crate) fn objects<T: Serialize>(rows: &[T]) -> Vec<Value> {
    rows.iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect()
}
