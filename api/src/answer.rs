//! What routes of the JSON interface answer: a response with the type of its content, from which `openapi` describes it.

use std::marker::PhantomData;

use axum::{
    http::{StatusCode, header},
    response::{ErrorResponse, IntoResponse, Response},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::{display::time_exact, refusal::Refusal};

/// The type of an answer. A struct that borrows has the shape of the same one that does not, because a handler's result
/// names a type that outlives the request.
pub(crate) trait Shape: Serialize {
    /// The same without borrowing.
    type Of: JsonSchema + 'static;
}

/// `shape!(Hosts<'_>)` or `shape!(Alive)`: a struct that derives `JsonSchema` is an answer.
macro_rules! shape {
    ($name:ident) => {
        impl $crate::answer::Shape for $name {
            type Of = Self;
        }
    };
    ($name:ident<'_>) => {
        impl $crate::answer::Shape for $name<'_> {
            type Of = $name<'static>;
        }
    };
}

pub(crate) use shape;

/// An answer in JSON whose type is known, with 200. A parameter `format` may ask for the same as CSV.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    response: Response,
    of: PhantomData<fn() -> T>,
}

impl<T> Answer<T> {
    /// `value` as JSON.
    pub(crate) fn of(value: &impl Shape<Of = T>) -> Self {
        Self::with(StatusCode::OK, value)
    }

    /// `value` as JSON, with another status.
    pub(crate) fn with(status: StatusCode, value: &impl Shape<Of = T>) -> Self {
        Self::of_csv(response(status, value))
    }

    /// The same in another form, which the parameter `format` has asked for.
    pub(crate) fn of_csv(response: Response) -> Self {
        Self { response, of: PhantomData }
    }
}

impl<T> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        self.response
    }
}

/// `value` as a JSON response.
pub(crate) fn response(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_string(value).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A stream of server-sent events, whose data is JSON of this type.
#[derive(Debug)]
pub(crate) struct Stream<T> {
    response: Response,
    of: PhantomData<fn() -> T>,
}

impl<T> Stream<T> {
    /// The stream that this response is.
    pub(crate) fn of(response: Response) -> Self {
        Self { response, of: PhantomData }
    }
}

impl<T> IntoResponse for Stream<T> {
    fn into_response(self) -> Response {
        self.response
    }
}

/// An answer that comes with 200 or, when it says that something does not work, with 503.
#[derive(Debug)]
pub(crate) struct OrUnavailable<T>(pub Answer<T>);

impl<T> IntoResponse for OrUnavailable<T> {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// An answer that comes with 200, or with 202 while what was asked for still goes on.
#[derive(Debug)]
pub(crate) struct OrAccepted<T>(pub Answer<T>);

impl<T> IntoResponse for OrAccepted<T> {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// The connection becomes another one, which speaks the protocol of that name.
#[derive(Debug)]
pub(crate) struct Upgraded {
    response: Response,
}

impl Upgraded {
    /// What this response begins.
    pub(crate) fn of(response: impl IntoResponse) -> Self {
        Self { response: response.into_response() }
    }
}

impl IntoResponse for Upgraded {
    fn into_response(self) -> Response {
        self.response
    }
}

/// What an answer holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// JSON with this schema.
    Json(Schema),
    /// Server-sent events whose data is JSON with this schema.
    Events(Schema),
    /// Nothing: the header `location` leads on.
    Elsewhere,
    /// Nothing: what follows is no HTTP.
    Upgrade,
}

/// A status with its content.
#[derive(Debug, Clone)]
pub struct Described {
    /// The status.
    pub status: u16,
    /// What comes with it.
    pub content: Content,
}

/// The result of a handler that is described. Refusals are in every description without being named.
pub trait Answers {
    /// Its answers, with schemas from `generator`.
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described>;
}

impl<T: JsonSchema> Answers for Answer<T> {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        vec![Described { status: 200, content: Content::Json(generator.subschema_for::<T>()) }]
    }
}

impl<T: JsonSchema> Answers for Stream<T> {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        vec![Described { status: 200, content: Content::Events(generator.subschema_for::<T>()) }]
    }
}

impl<T: JsonSchema> Answers for OrUnavailable<T> {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        let content = Content::Json(generator.subschema_for::<T>());
        [200, 503].map(|status| Described { status, content: content.clone() }).into()
    }
}

impl<T: JsonSchema> Answers for OrAccepted<T> {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        let content = Content::Json(generator.subschema_for::<T>());
        [200, 202].map(|status| Described { status, content: content.clone() }).into()
    }
}

impl Answers for Upgraded {
    fn describe(_: &mut SchemaGenerator) -> Vec<Described> {
        vec![Described { status: 101, content: Content::Upgrade }]
    }
}

impl<T: Answers> Answers for Result<T, Refusal> {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        T::describe(generator)
    }
}

/// A handler that may send the client elsewhere instead.
impl<T: Answers> Answers for Result<T, ErrorResponse> {
    fn describe(generator: &mut SchemaGenerator) -> Vec<Described> {
        let mut all = T::describe(generator);
        all.push(Described { status: 307, content: Content::Elsewhere });
        all
    }
}

/// Every refusal: what happened, and what to do next.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(crate) struct Problem {
    /// What happened, to what.
    error: String,
    /// What to do next.
    hint: String,
}

/// A moment in µs since 1970 UTC, which JSON has as RFC 3339 in UTC with microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time_exact(self.0))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}
