//! Answers as CSV: the same columns as in JSON, one line per row.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::{
    query::{
        Parameter, Parameters,
        described::flattened,
        parameter::{self, Value, is_default, words},
    },
    spreadsheet::{cell, table},
    url::Url,
};

/// The parameter `format`: JSON by default, or CSV.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// CSV.
    Csv,
}

impl Value for Format {
    fn read(given: &str) -> Result<Self, String> {
        match given {
            "" | "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            _ => Err("expected json or csv".to_owned()),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
        }
        .to_owned()
    }

    fn schema() -> Json {
        words(["json", "csv"])
    }
}

/// The query `T` of a route that answers in JSON or in CSV.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, bound = "T: Default + Serialize + DeserializeOwned")]
pub(crate) struct InFormat<T> {
    /// The rest of the query.
    #[serde(flatten)]
    pub query: T,
    /// In which form.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub format: Format,
}

impl<T: Parameters> Parameters for InFormat<T> {
    fn parameters() -> Vec<Parameter> {
        let format = Parameter::of("format", "The form of the answer.", |asked: &Self| &asked.format);
        flattened(|asked: &Self| &asked.query).into_iter().chain([format]).collect()
    }
}

/// The CSV that `json` answers `query` with, for a spreadsheet.
pub(crate) fn url(json: Url, query: impl Default + Serialize + DeserializeOwned) -> Url {
    json.with(&InFormat { query, format: Format::Csv })
}

/// Rows as a file called `name`.csv: the `columns` of JSON objects.
pub(crate) fn answer(name: &str, columns: &[&str], rows: &[Json]) -> Response {
    file(name, table(columns, rows.iter().map(|row| columns.iter().map(|column| cell(&row[*column])))))
}

/// CSV as a file called `name`.csv.
pub(crate) fn file(name: &str, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
    ];
    (StatusCode::OK, headers, body).into_response()
}
