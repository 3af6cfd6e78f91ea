//! The principal of a request, as authentication found it.

use axum::{
    extract::FromRequestParts,
    http::{Extensions, request::Parts},
};
use fleetps_nats::HostName;

use super::Person;
use crate::refusal::Refusal;

/// The principal of a request. Every authenticated request has one among its extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A user, by a session or an API token.
    User(Person),
    /// A host of the fleet, by its signature: it sends snapshots.
    Host(HostName),
    /// This machine: its commands, by the token in the data folder; where sign-in is off, everybody who reaches the server,
    /// which then listens on loopback only.
    ThisMachine(Person),
}

/// A kind of principal: routes name those that they are open to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// [`Principal::User`].
    User,
    /// [`Principal::Host`].
    Host,
    /// [`Principal::ThisMachine`].
    ThisMachine,
}

impl PrincipalKind {
    /// The principals that use pages and JSON.
    pub const PEOPLE: &[Self] = &[Self::User, Self::ThisMachine];
    /// The principals that send snapshots.
    pub const HOSTS: &[Self] = &[Self::Host];
    /// Every kind.
    pub const ALL: &[Self] = &[Self::User, Self::Host, Self::ThisMachine];
}

impl Principal {
    /// The principal of a request; `None` where it was not authenticated.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Its kind.
    pub fn kind(&self) -> PrincipalKind {
        match self {
            Self::User(_) => PrincipalKind::User,
            Self::Host(_) => PrincipalKind::Host,
            Self::ThisMachine(_) => PrincipalKind::ThisMachine,
        }
    }

    /// The name and the grants for authorization; a host has none.
    pub fn person(&self) -> Option<&Person> {
        match self {
            Self::User(person) | Self::ThisMachine(person) => Some(person),
            Self::Host(_) => None,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Person {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Principal::of(&parts.extensions)
            .and_then(Principal::person)
            .cloned()
            .ok_or_else(Refusal::not_signed_in)
    }
}
