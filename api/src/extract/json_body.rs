//! A JSON body of a known type.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// What can be sent as JSON. Its schema describes it.
pub(crate) trait JsonShape: DeserializeOwned + JsonSchema {
    /// What the body is called in refusals, as in "channel".
    const NAME: &'static str;
    /// An example, in refusals.
    const EXAMPLE: &'static str;
}

/// A body of this type; an empty one reads as `{}`.
#[derive(Debug, Clone)]
pub(crate) struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: JsonShape> FromRequest<S> for JsonBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        let body = if body.is_empty() { &b"{}"[..] } else { &body[..] };
        serde_json::from_slice(body).map(Self).map_err(|error| {
            let hint = format!("send a JSON object as in {}", T::EXAMPLE);
            Refusal::new(StatusCode::BAD_REQUEST, format!("the body is no {}: {error}", T::NAME), hint)
                .into_response()
        })
    }
}
