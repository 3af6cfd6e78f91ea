//! `?shape=series`: the same answer as one flat list, a row for each value with its time.
//!
//! That is what dashboards read without being told how: Grafana's Infinity source makes series of a column with the time, one
//! with the value and texts, in the backend, so alerts and shared dashboards work.

use std::marker::PhantomData;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use fleetps_ingestor::history::Resolution;
use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::listing::{about_past, objects};
use crate::{
    answer::{Answer, Answers, Content, Described, response},
    csv::{self, Format},
    query::{
        Parameter, Parameters,
        described::flattened,
        parameter::{self, Value, is_default},
    },
    scoped_fleet::ScopedFleet,
};

/// The parameter `shape`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Shape {
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
pub(crate) struct InShape<T> {
    /// The rest of the query.
    #[serde(flatten)]
    pub query: T,
    /// In which shape.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub shape: Shape,
}

impl<T: Parameters> Parameters for InShape<T> {
    fn parameters() -> Vec<Parameter> {
        let meaning = "With `series`, the answer is a flat list of values with their times.";
        let shape = Parameter::of("shape", meaning, |asked: &Self| &asked.shape);
        flattened(|asked: &Self| &asked.query).into_iter().chain([shape]).collect()
    }
}

/// Values with their times.
#[derive(Debug)]
pub(crate) struct Series<'a, V> {
    /// The name of the file.
    pub name: &'a str,
    /// The columns of the CSV form, each a field of every value.
    pub columns: &'a [&'a str],
    /// How finely the past was kept.
    pub resolution: Resolution,
    /// The values.
    pub values: &'a [V],
}

/// An answer in either shape: `T`, or a list of values `V`.
#[derive(Debug)]
pub(crate) struct InEither<T, V> {
    response: Response,
    of: PhantomData<fn() -> (T, V)>,
}

impl<T, V: Serialize> InEither<T, V> {
    /// The values as a list, or as CSV with these columns. Headers say how far they can be relied on.
    pub(crate) fn series(scoped: &ScopedFleet, format: Format, series: Series<'_, V>) -> Self {
        let Series { name, columns, resolution, values } = series;
        let response = match format {
            Format::Json => response(StatusCode::OK, &values),
            Format::Csv => csv::answer(name, columns, &objects(values)),
        };
        Self { response: about_past(scoped, resolution, response), of: PhantomData }
    }
}

impl<T, V> From<Answer<T>> for InEither<T, V> {
    fn from(full: Answer<T>) -> Self {
        Self { response: full.into_response(), of: PhantomData }
    }
}

impl<T, V> IntoResponse for InEither<T, V> {
    fn into_response(self) -> Response {
        self.response
    }
}

impl<T: JsonSchema, V: JsonSchema> Answers for InEither<T, V> {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        let (full, value) = (generator.subschema_for::<T>(), generator.subschema_for::<V>());
        let either = json_schema!({ "anyOf": [full, { "type": "array", "items": value }] });
        vec![Described { status: 200, content: Content::Json(either) }]
    }
}
