//! The query of a request, as the struct of its page: one extractor for all, whose refusals name the parameter.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;

use crate::{
    query::{BadParameter, read},
    refusal::Refusal,
};

/// The query of a request's URL.
///
/// Parameters that `T` does not know are left alone unless it denies them. An empty parameter is an absent one, and of a
/// repeated one the last counts where `T` has a single value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(Self(read(parts.uri.query().unwrap_or_default())?))
    }
}

impl From<BadParameter> for Refusal {
    fn from(bad: BadParameter) -> Self {
        Self::new(StatusCode::BAD_REQUEST, bad.to_string(), format!("expected {}", bad.expected))
    }
}

impl IntoResponse for BadParameter {
    fn into_response(self) -> Response {
        Refusal::from(self).into_response()
    }
}
