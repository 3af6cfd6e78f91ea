//! Which host sent a request, by its signature: the hosts' keys as the broker keeps them, followed in memory.
//!
//! Only the key in use is taken here. A host with a key that is new, or with a next one, asks to be admitted first, as it would
//! at the broker, so that admission alone changes records. A revocation arrives by the same feed that a change of groups does,
//! within milliseconds.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::Client;
use fleetps_nats::{
    HostName,
    admission::Refusals,
    bucket::{BucketError, WatchedBucket},
    error_chain,
    hosts::{self, Admission, HostRecord},
    signed::{NotSigned, SignedRequest},
};
use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use super::network;

/// How soon the broker is asked again after it did not say which hosts there are.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Wrong signatures in the name of one host from one network that are looked at, at once and in a second over a longer time: each
/// costs as much as a right one, and a host makes none.
const WRONG_AT_ONCE: f64 = 50.0;
const WRONG_PER_S: f64 = 5.0;
/// Hosts and networks with a count of their own. When it is full, all are counted anew.
const MAX_COUNTED: usize = 10_000;

/// The keys of all hosts. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct HostKeys(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    records: RwLock<Option<WatchedBucket<HostRecord>>>,
    wrong: Mutex<HashMap<(IpAddr, HostName), Wrong>>,
    refusals: Refusals,
}

/// The wrong signatures that may still come, and since when.
#[derive(Debug, Clone, Copy)]
struct Wrong {
    left: f64,
    since: Instant,
}

/// A request is not of the host that it names, or that host may not send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The broker has not said yet which hosts there are.
    #[error("the keys of hosts are not known yet")]
    NotRead,
    /// The request is not signed as it must be.
    #[error(transparent)]
    Unsigned(#[from] NotSigned),
    /// Too many wrong signatures came in the name of this host.
    #[error("too many wrong signatures came from this network in the name of this host")]
    TooManyWrong,
    /// The name has no such key, or there is no such host.
    #[error("this key does not speak for this host")]
    OtherKey,
    /// The host waits for approval.
    #[error("the host waits to be approved: fleetps host approve NAME")]
    Waiting,
    /// The host was revoked.
    #[error("the host was revoked")]
    Revoked,
}

impl NotAdmitted {
    /// A short name to count by.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotRead => "keys-not-read",
            Self::Unsigned(NotSigned::Header(_)) => "bad-header",
            Self::Unsigned(NotSigned::Signature) => "bad-signature",
            Self::TooManyWrong => "too-many-signatures",
            Self::OtherKey => "other-key",
            Self::Waiting => "waiting",
            Self::Revoked => "revoked",
        }
    }
}

impl HostKeys {
    /// Follows the broker's bucket of hosts until `shutdown`. Until it has answered once, no host is known.
    pub async fn follow(self, client: Client, shutdown: CancellationToken) {
        let following = async {
            loop {
                match records(&client).await {
                    Ok(records) => break *self.0.records.write() = Some(records),
                    Err(error) => {
                        tracing::warn!(
                            "cannot read the keys of hosts: {}; trying again",
                            error_chain(&error)
                        );
                    }
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        shutdown.run_until_cancelled(following).await;
        shutdown.cancelled().await;
        self.0.records.write().take();
    }

    /// The records of all hosts, by name; none before the broker has answered once.
    pub fn records(&self) -> Vec<(String, Arc<HostRecord>)> {
        self.0.records.read().as_ref().map(WatchedBucket::all).unwrap_or_default()
    }

    /// Whether `request` is of the host that it names, and that host may send.
    ///
    /// # Errors
    /// When it is not, or may not.
    pub fn check(
        &self,
        request: &SignedRequest,
        signature: Option<&str>,
        from: IpAddr,
    ) -> Result<(), NotAdmitted> {
        let record = match self.0.records.read().as_ref() {
            Some(records) => records.get(request.host.as_str()),
            None => return Err(NotAdmitted::NotRead),
        };
        let record = record.filter(|record| record.keys.first() == Some(&request.key));
        let record = record.ok_or(NotAdmitted::OtherKey)?;
        self.verify(request, signature, from, Instant::now())?;
        match record.admission {
            Admission::Admitted => Ok(()),
            Admission::Waiting => Err(NotAdmitted::Waiting),
            Admission::Revoked => Err(NotAdmitted::Revoked),
        }
    }

    /// Checks the signature, unless too many wrong ones came before.
    fn verify(
        &self,
        request: &SignedRequest,
        signature: Option<&str>,
        from: IpAddr,
        now: Instant,
    ) -> Result<(), NotAdmitted> {
        let key = (network(from), request.host.clone());
        if self.0.wrong.lock().get_mut(&key).is_some_and(|wrong| wrong.at(now).left < 1.0) {
            return Err(NotAdmitted::TooManyWrong);
        }
        request.verify(signature).inspect_err(|_| {
            let mut counted = self.0.wrong.lock();
            if counted.len() >= MAX_COUNTED && !counted.contains_key(&key) {
                counted.clear();
            }
            let full = Wrong { left: WRONG_AT_ONCE, since: now };
            counted.entry(key).or_insert(full).at(now).left -= 1.0;
        })?;
        Ok(())
    }

    /// Whether `host` is to make itself a new key.
    pub fn is_to_rotate(&self, host: &HostName) -> bool {
        let records = self.0.records.read();
        records.as_ref().and_then(|records| records.get(host.as_str())).is_some_and(|record| record.rotate)
    }

    /// What was refused, by reason.
    pub fn refusals(&self) -> &Refusals {
        &self.0.refusals
    }
}

impl Wrong {
    fn at(&mut self, now: Instant) -> &mut Self {
        let passed_s = now.saturating_duration_since(self.since).as_secs_f64();
        *self = Self { left: (self.left + passed_s * WRONG_PER_S).min(WRONG_AT_ONCE), since: now };
        self
    }
}

async fn records(client: &Client) -> Result<WatchedBucket<HostRecord>, BucketError> {
    hosts::open(client).await?.follow().await
}
