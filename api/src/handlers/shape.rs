//! `?shape=series`: the same answer as one flat list, a row for each value with its time.
//!
//! That is what dashboards read without being told how: Grafana's Infinity source makes series of a column with the time, one
//! with the value and texts, in the backend, so alerts and shared dashboards work.

use axum::{http::StatusCode, response::Response};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use super::json;
use crate::{
    csv::{self, Format},
    query::parameter::{self, Value, is_default},
};

/// The parameter `shape`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// An object about the whole answer with a list in it.
    #[default]
    Full,
    /// A list of values with their times.
    Series,
}

impl Value for Shape {
    fn read(given: &str) -> Result<Self, String> {
        match given {
            "full" => Ok(Self::Full),
            "series" => Ok(Self::Series),
            _ => Err("`full` or `series`".to_owned()),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Full => "full",
            Self::Series => "series",
        }
        .to_owned()
    }
}

/// The query `T` of a route that answers in either shape.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, bound = "T: Default + Serialize + DeserializeOwned")]
pub struct InShape<T> {
    /// The rest of the query.
    #[serde(flatten)]
    pub query: T,
    /// In which shape.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub shape: Shape,
}

/// The rows as a list, or as CSV with these columns.
pub fn answer(name: &str, format: Format, columns: &[&str], rows: &[Json]) -> Response {
    match format {
        Format::Json => json::answer(StatusCode::OK, &rows),
        Format::Csv => csv::answer(name, columns, rows),
    }
}
