//! Who asks, and what they were granted. What that allows is decided by `rules`.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
};

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::{Deserialize, Serialize};

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

/// What somebody may do, and on which hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What may be done.
    pub role: Role,
    /// On hosts that have any of these tags; `None` for every host.
    pub groups: Option<BTreeSet<String>>,
    /// Whether command lines stay hidden.
    #[serde(default)]
    pub hides_command_lines: bool,
}

/// What may be done; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Looks, and acts on hosts.
    Operator,
    /// Everything, people and settings included.
    Administrator,
}

impl Person {
    /// Whoever asks where sign-in is off: anybody on this machine.
    pub fn nobody_in_particular(from: IpAddr) -> Self {
        let grants = vec![Grant { role: Role::Administrator, groups: None, hides_command_lines: false }];
        Self { name: NOBODY.to_owned(), grants, session: None, from }
    }

    /// Whether this is whoever asks where sign-in is off; nobody who signs in can have that name.
    pub fn is_nobody_in_particular(&self) -> bool {
        self.name == NOBODY
    }
}

/// What every form that changes something has to send along, so that only pages of this server can send it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormToken(pub String);

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct From(pub IpAddr);

impl Default for From {
    /// An address that nobody has, for requests that came over no connection.
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

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
