//! Admission: which connection may speak for which host.
//!
//! Every host has a key that it made itself; the bucket of `hosts` says which key belongs to which name. The broker
//! asks about every connection that its own configuration does not name ("auth callout"), and an [`AdmissionService`]
//! answers. Any number of them may run.
//!
//! A request passes three steps: `request` parses it and verifies the signature, `decide` looks the host up or enrols
//! it (`token`), `response` signs what the connection may do. `service` runs the tasks, `responder` answers each
//! request. `roll` follows all hosts in memory, with `waiting` for those that wait for approval. `connections` limits
//! the connections of a host, `disconnect` ends those of revoked hosts, `hello` rotates keys, and
//! `control_desk` hands out what is asked of agents and keeps what they applied. `refusals` counts by
//! reason and `reporting` publishes the counts.
//!
//! A host that speaks HTTP is admitted by the same steps: the web server checks its signature ([`crate::signed`]) and asks
//! (`enrolment`).
//!
//! The broker only logs what it refuses to an admitted host. Where its log is at hand, `broker_log` follows it,
//! `violations` parses and counts, and `watching` writes the audit.
//!
//! While none runs, connected hosts go on, and others are refused and retry.
//!
//! **A key is rotated** in three steps, each safe to repeat. The host announces its next key over a connection that it
//! made with the present key; both are then valid. It replaces its present key by the next one. When it first connects
//! with the next key, the former one is dropped.

mod broker_log;
mod connections;
mod control_desk;
mod decide;
mod disconnect;
mod ending;
mod enrolment;
mod hello;
mod jwt;
mod refusals;
mod reporting;
mod request;
mod responder;
mod response;
mod roll;
mod service;
mod token;
mod violations;
mod waiting;
mod watching;

use std::path::PathBuf;

use crate::{
    audit::AuditError, bucket::BucketError, connection::ConnectionError, key::KeyError, patience::Passing,
    settings::Flag,
};

#[cfg(feature = "managed")]
pub(crate) use broker_log::BrokerLog;
#[cfg(all(test, feature = "managed"))]
pub(crate) use disconnect::{count, disconnect_by};
pub use enrolment::{Enrolled, Enrolment};
pub use hello::{Hello, Welcome};
pub use refusals::Refusals;
#[cfg(feature = "managed")]
pub(crate) use service::CONTROL_KEY;
pub use service::{AdmissionKeys, AdmissionService};
pub use token::{EnrolmentToken, EnrolmentTokens, TOKENS};
pub use waiting::{MAX_WAITING, MAX_WAITING_OF_NETWORK, network_meant};

crate::settings! {
    /// How hosts are admitted to the broker.
    #[derive(Eq)]
    pub struct AdmissionSettings in "admission" {
        /// Let hosts without an enrolment token wait for approval. Otherwise they are refused.
        #[flag(Flag::sets("approve"))]
        pub approve: bool = false;
        /// Folder with the keys to admit hosts to a broker set up by hand: auth.nk, issuer.nk and system.nk. Without it,
        /// another part admits hosts to that broker.
        #[flag(Flag::takes("admission-keys", "DIR"))]
        pub keys: Option<PathBuf> = None;
    }
}

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denial {
    #[error("it names no key of its own")]
    NoKey,
    #[error("its signature does not match the key it names")]
    BadSignature,
    #[error(
        "its name is not valid for a new host: expected letters, digits, `_` or `-`, with single dots between them, not beginning with `-`"
    )]
    BadName,
    #[error("its name looks like the name of host {0}; join it with --host NAME")]
    LookAlike(String),
    #[error("the host is unknown and brings no enrolment token")]
    UnknownHost,
    #[error("another key belongs to this name")]
    OtherKey,
    #[error("it waits to be approved: fleetps host approve NAME")]
    Waiting,
    #[error("too many hosts wait to be approved; `fleetps host forget --waiting` makes room")]
    TooManyWaiting,
    #[error("it has too many connections already")]
    TooManyConnections,
    #[error("it was revoked")]
    Revoked,
    #[error("there is no such enrolment token")]
    UnknownToken,
    #[error("its enrolment token has expired")]
    ExpiredToken,
    #[error("its enrolment token has no uses left")]
    UsedToken,
    #[error("the record was changed at the same moment; it will retry")]
    Busy,
    #[error("the broker's buckets cannot be used")]
    Bucket(#[from] BucketError),
}

impl Denial {
    /// A short name to count by.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoKey => "no-key",
            Self::BadSignature => "bad-signature",
            Self::BadName => "bad-name",
            Self::LookAlike(_) => "look-alike",
            Self::UnknownHost => "unknown-host",
            Self::OtherKey => "other-key",
            Self::Waiting => "waiting",
            Self::TooManyWaiting => "too-many-waiting",
            Self::TooManyConnections => "too-many-connections",
            Self::Revoked => "revoked",
            Self::UnknownToken => "unknown-token",
            Self::ExpiredToken => "expired-token",
            Self::UsedToken => "used-token",
            Self::Busy => "busy",
            Self::Bucket(_) => "bucket",
        }
    }
}

/// Admission cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The broker cannot be reached, or a key cannot be read.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The key that signs cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The buckets cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// An action cannot be audited.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The broker does not answer.
    #[error("the broker does not answer")]
    Flush(#[from] async_nats::client::FlushError),
    /// Subjects cannot be listened to.
    #[error("cannot listen for the broker's questions")]
    Subscribe(#[from] async_nats::SubscribeError),
}

impl Passing for AdmissionError {
    fn is_passing(&self) -> bool {
        match self {
            Self::Connection(error) => error.is_passing(),
            Self::Key(_) => false,
            Self::Bucket(_) | Self::Audit(_) | Self::Flush(_) | Self::Subscribe(_) => true,
        }
    }
}
