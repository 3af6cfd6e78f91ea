//! What a person asks for, and why it cannot be.

use std::net::IpAddr;

use fleetps_nats::{HostName, command::What};

use super::{
    plan::Pace,
    record::Was,
    room::NoRoom,
    store::{MAX_RECORDS, StoreError},
};
use crate::audit_log::NotAudited;

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct Order {
    /// To each host what; never empty.
    pub targets: Vec<OrderTarget>,
    /// Who asks.
    pub who: String,
    /// From where.
    pub from: IpAddr,
    /// Why; may be empty.
    pub why: String,
    /// How several go.
    pub pace: Pace,
}

/// One command of an order.
#[derive(Debug, Clone)]
pub struct OrderTarget {
    /// The host.
    pub host: HostName,
    /// What it is told to do.
    pub what: What,
    /// What the process is that is signalled.
    pub was: Option<Was>,
}

/// A command cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// The broker has not answered yet, or there is none.
    #[error("the commands are not known yet")]
    NotKnown,
    /// Nothing can be signed.
    #[error("this server has no control key, so it asks nothing of hosts")]
    NoKey,
    /// There are too many.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// There is no room for records.
    #[error("there is no room for more commands; the broker keeps {}", MAX_RECORDS)]
    Full,
    /// The broker does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plan could not be written down.
    #[error("it could not be written down in the audit")]
    Audit(#[source] NotAudited),
    /// The system has no random numbers for its id.
    #[error("the system has no random numbers")]
    Random(#[from] getrandom::Error),
    /// The server ends, or the task that took it has panicked.
    #[error("it was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}
