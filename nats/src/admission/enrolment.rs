//! The question of a web server: may this host, which spoke over HTTP and has shown that it holds its key, speak for this name?

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Denial, request::Credentials, waiting::network_of};
use crate::HostName;

/// A host that asks a web server to be admitted. The server has checked the signature.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The name that it wants to speak for.
    pub host: HostName,
    /// The public key that it has signed with.
    pub key: String,
    /// The address that it came from.
    pub address: String,
    /// The enrolment token, where it brought one.
    #[serde(default)]
    pub token: Option<String>,
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, key, address, token } = self;
        let token = token.as_ref().map(|_| "…");
        let mut debug = formatter.debug_struct("Enrolment");
        debug.field("host", host).field("key", key).field("address", address).field("token", &token).finish()
    }
}

impl Enrolment {
    /// Reads a question; `None` when it is none.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    pub(super) fn credentials(&self) -> Credentials {
        Credentials {
            host: self.host.clone(),
            key: self.key.clone(),
            network: network_of(&self.address),
            token: self.token.clone().filter(|token| !token.is_empty()),
        }
    }
}

/// The answer. Why a host is refused is in the log and the audit, and not told to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enrolled {
    /// The host may speak for the name.
    Admitted,
    /// It waits for approval.
    Waiting,
    /// It may not.
    Refused,
    /// It could not be decided now; the host asks again.
    Undecided,
}

impl Enrolled {
    pub(super) fn of(refusal: &Denial) -> Self {
        match refusal {
            Denial::Waiting => Self::Waiting,
            Denial::Busy | Denial::TooManyWaiting | Denial::Bucket(_) => Self::Undecided,
            _ => Self::Refused,
        }
    }
}
