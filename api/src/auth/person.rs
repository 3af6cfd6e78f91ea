//! A person and the person's grants. `authz` decides what they allow.

use std::{convert::Infallible, net::IpAddr};

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{Grant, Role, UserName};

/// The name in the audit where sign-in is off.
const NOBODY: &str = "nobody in particular";

/// A person: the name and the grants of a [`Principal`](super::Principal) that is not a host. Handlers take it as an
/// argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name, as it stands in the audit.
    pub name: String,
    /// The grants; the widest that fits counts.
    pub grants: Vec<Grant>,
    /// The session, by its key, where it is one and no API token.
    pub session: Option<String>,
    /// The address that the request came from.
    pub from: IpAddr,
    /// Whether it comes with the power to command hosts, as far as the grants reach: an API token has it only where its
    /// owner gave it.
    pub may_command: bool,
}

impl Person {
    /// The person of every request where sign-in is off.
    pub fn nobody_in_particular(from: IpAddr) -> Self {
        Self {
            name: NOBODY.to_owned(),
            grants: vec![Grant::EVERYTHING],
            session: None,
            from,
            may_command: true,
        }
    }

    /// A command on this machine, by the token in the data folder.
    pub(super) fn local(from: IpAddr) -> Self {
        Self {
            name: UserName::LOCAL.to_owned(),
            grants: vec![Grant::EVERYTHING],
            session: None,
            from,
            may_command: true,
        }
    }

    /// A program on this machine that reads metrics where these need no sign-in.
    pub fn reading_metrics(from: IpAddr) -> Self {
        let grant = Grant { role: Role::Metrics, ..Grant::EVERYTHING };
        Self {
            name: UserName::LOCAL.to_owned(),
            grants: vec![grant],
            session: None,
            from,
            may_command: false,
        }
    }

    /// Whether this is the person of a server without sign-in; no user can have that name.
    pub fn is_nobody_in_particular(&self) -> bool {
        self.name == NOBODY
    }
}

/// The CSRF token of every form that changes something, so that only pages of this server can send it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FormToken(pub String);

impl<S: Sync> FromRequestParts<S> for FormToken {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
