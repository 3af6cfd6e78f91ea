//! The host and the process that a request's path names.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use fleetps_nats::{
    HostName,
    command::{CommandId, UnitName},
};

use crate::{query::BadParameter, refusal::Refusal};

/// The host in the path. An invalid name is refused as an unknown host.
#[derive(Debug, Clone)]
pub(crate) struct Host(pub HostName);

/// The host and the process id in the path.
#[derive(Debug, Clone)]
pub(crate) struct ProcessPath {
    /// The host.
    pub host: HostName,
    /// The process id.
    pub pid: u32,
}

/// The host and the unit in the path.
#[derive(Debug, Clone)]
pub(crate) struct UnitPath {
    /// The host.
    pub host: HostName,
    /// The unit.
    pub unit: UnitName,
}

/// The command that the path names. Text that is no id is refused as an unknown one.
#[derive(Debug, Clone)]
pub(crate) struct CommandPath(pub CommandId);

impl<S: Send + Sync> FromRequestParts<S> for CommandPath {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let places =
            RawPathParams::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let text = place(&places, "id");
        text.parse().map(Self).map_err(|_| Refusal::no_such_command(text).into_response())
    }
}

/// An id in the path, as it stands there.
macro_rules! id {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name(pub(crate) String);

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Response;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
                let places = RawPathParams::from_request_parts(parts, state).await;
                let places = places.map_err(IntoResponse::into_response)?;
                Ok(Self(place(&places, "id").to_owned()))
            }
        }
    };
}

id! {
    /// The rule of alerts that the path names.
    RuleId
}
id! {
    /// The channel of notifications that the path names.
    ChannelId
}
id! {
    /// The silence that the path names.
    SilenceId
}
id! {
    /// The alert that the path names.
    AlertId
}
id! {
    /// The delivery of a notification that the path names.
    DeliveryId
}

impl<S: Send + Sync> FromRequestParts<S> for Host {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let places =
            RawPathParams::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self(host(&places).map_err(IntoResponse::into_response)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UnitPath {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let places =
            RawPathParams::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let read = || Ok(Self { host: host(&places)?, unit: unit(&places)? });
        read().map_err(|refusal: Refusal| refusal.into_response())
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

fn unit(places: &RawPathParams) -> Result<UnitName, BadParameter> {
    let text = place(places, "unit");
    UnitName::of_person(text)
        .map_err(|_| BadParameter::new("unit", text, "a unit of systemd, as in nginx.service"))
}

fn place<'a>(places: &'a RawPathParams, name: &str) -> &'a str {
    places.iter().find(|(place, _)| *place == name).map_or("", |(_, text)| text)
}
