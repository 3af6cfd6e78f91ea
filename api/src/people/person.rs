//! Who asks, and what they were granted. What that allows is decided by `rules`.

use std::{convert::Infallible, net::IpAddr};

use axum::{extract::FromRequestParts, http::request::Parts};

use super::Grant;
use crate::refusal::Refusal;

/// The name in the audit of whoever asks where sign-in is off.
const NOBODY: &str = "nobody in particular";

/// Who asks. Every request that was let in has one among its extensions, and handlers take it as an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name, as it stands in the audit.
    pub name: String,
    /// What was granted; the widest grant that fits counts.
    pub grants: Vec<Grant>,
    /// The session, by its key, where it is one and no API token.
    pub session: Option<String>,
    /// The address that the request came from.
    pub from: IpAddr,
}

impl Person {
    /// Whoever asks where sign-in is off: anybody on this machine.
    pub fn nobody_in_particular(from: IpAddr) -> Self {
        Self { name: NOBODY.to_owned(), grants: vec![Grant::EVERYTHING], session: None, from }
    }

    /// Whether this is whoever asks where sign-in is off; nobody who signs in can have that name.
    pub fn is_nobody_in_particular(&self) -> bool {
        self.name == NOBODY
    }
}

/// What every form that changes something has to send along, so that only pages of this server can send it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormToken(pub String);

impl<S: Sync> FromRequestParts<S> for Person {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Refusal::not_signed_in)
    }
}

impl<S: Sync> FromRequestParts<S> for FormToken {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
