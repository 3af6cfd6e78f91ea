//! The host and the process that a request's path names.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use fleetps_nats::{HostName, command::CommandId};

use crate::{query::BadParameter, refusal::Refusal};

/// The host in the path. An invalid name is refused as an unknown host.
#[derive(Debug, Clone)]
pub struct Host(pub HostName);

/// The host and the process id in the path.
#[derive(Debug, Clone)]
pub struct ProcessPath {
    /// The host.
    pub host: HostName,
    /// The process id.
    pub pid: u32,
}

/// The rule of alerts that the path names.
#[derive(Debug, Clone)]
pub struct RuleId(pub String);

/// The command that the path names. Text that is no id is refused as an unknown one.
#[derive(Debug, Clone)]
pub struct CommandPath(pub CommandId);

impl<S: Send + Sync> FromRequestParts<S> for CommandPath {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let places =
            RawPathParams::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let text = place(&places, "id");
        text.parse().map(Self).map_err(|_| Refusal::no_such_command(text).into_response())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RuleId {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let places =
            RawPathParams::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self(place(&places, "id").to_owned()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Host {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let places =
            RawPathParams::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self(host(&places).map_err(IntoResponse::into_response)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ProcessPath {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let places =
            RawPathParams::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let read = || Ok(Self { host: host(&places)?, pid: pid(&places)? });
        read().map_err(|refusal: Refusal| refusal.into_response())
    }
}

fn host(places: &RawPathParams) -> Result<HostName, Refusal> {
    let text = place(places, "host");
    text.parse().map_err(|_| Refusal::no_such_host(text))
}

fn pid(places: &RawPathParams) -> Result<u32, BadParameter> {
    let text = place(places, "pid");
    text.parse().map_err(|_| BadParameter::new("pid", text, "a process id, a whole number"))
}

fn place<'a>(places: &'a RawPathParams, name: &str) -> &'a str {
    places.iter().find(|(place, _)| *place == name).map_or("", |(_, text)| text)
}
