//! How hosts come into the fleet: tokens for them, those that wait for approval, and those that have come. For who may admit
//! hosts ([`Permission::AdmitHosts`](crate::authz::Permission::AdmitHosts)), which is for the whole fleet.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use axum::http::StatusCode;
use fleetps_nats::{
    HostName,
    admission::EnrolmentTokens,
    audit::{AuditEntry, Outcome},
    bucket::{Bucket, BucketError, Entry},
    error_chain,
    hosts::{self, Admission, Group, HostRecord},
    now_us, units,
};

use super::ScopedFleet;
use crate::{broker, refusal::Refusal};

/// Hosts of each kind on the page: whoever lets more in at a time does it by a token.
const MAX_SHOWN: usize = 50;
/// How long a host counts as new.
const NEW_FOR_US: i64 = 3_600_000_000;
/// A host that was let in so soon after it was first heard of, without a token, was let in by the server itself: nobody
/// approves so quickly.
const OF_THE_OWNER_US: i64 = 500_000;
/// The record may be changed at the same moment, and again.
const MAX_ATTEMPTS: usize = 5;

/// A token that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewToken {
    /// How long it can be used.
    pub lasts: Duration,
    /// How many hosts it admits.
    pub uses: u32,
    /// The groups of these hosts.
    pub groups: BTreeSet<String>,
}

/// A host that waits, or has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newcomer {
    /// Its name.
    pub host: HostName,
    /// The network that it waits in; empty where that is not known.
    pub network: String,
    /// When it first asked to be admitted, in µs since 1970 UTC: another host of the same name asked at another time.
    pub asked_at_us: i64,
    /// When it was admitted; when it asked, while it waits.
    pub at_us: i64,
    /// Whether it has sent a snapshot.
    pub sends: bool,
}

/// Who is coming.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Joining {
    /// Hosts that wait for approval, the last one first.
    pub waiting: Vec<Newcomer>,
    /// How many more of them there are.
    pub more_waiting: usize,
    /// Hosts that have come within the last hour, the last one first.
    pub admitted: Vec<Newcomer>,
    /// How many more of them there are.
    pub more_admitted: usize,
}

impl ScopedFleet {
    /// The hosts that wait for approval, and those that have come lately.
    pub(crate) fn joining(&self) -> Joining {
        let now_us = now_us();
        let (mut waiting, mut admitted) = (Vec::new(), Vec::new());
        for (name, record) in self.shared.host_keys.records() {
            let Ok(host) = name.parse::<HostName>() else { continue };
            let at_us = record.admitted_at_us.unwrap_or(record.first_contact_at_us);
            let is_new = now_us.saturating_sub(at_us) < NEW_FOR_US;
            let kind = match record.admission {
                Admission::Waiting => &mut waiting,
                Admission::Admitted if record.has_key() && is_new => &mut admitted,
                Admission::Admitted | Admission::Revoked => continue,
            };
            let sends = self.summary(&host).is_some();
            // With `--no-agent` the server's own machine would be awaited for ever.
            if !sends && is_beside_the_server(&record) {
                continue;
            }
            kind.push(Newcomer {
                sends,
                host,
                network: record.network.clone().unwrap_or_default(),
                asked_at_us: record.first_contact_at_us,
                at_us,
            });
        }
        for kind in [&mut waiting, &mut admitted] {
            kind.sort_by_key(|newcomer| Reverse(newcomer.at_us));
        }
        let [more_waiting, more_admitted] =
            [&waiting, &admitted].map(|kind| kind.len().saturating_sub(MAX_SHOWN));
        waiting.truncate(MAX_SHOWN);
        admitted.truncate(MAX_SHOWN);
        Joining { waiting, more_waiting, admitted, more_admitted }
    }

    /// Makes a token, which is audited before: it cannot be read again.
    ///
    /// # Errors
    /// When a group is none, or the broker does not answer.
    pub(crate) async fn make_enrolment_token(&self, new: NewToken) -> Result<String, Refusal> {
        let Some(client) = &self.shared.broker else { return Err(Refusal::no_broker()) };
        let groups: Result<Vec<Group>, _> = new.groups.iter().map(|group| group.parse::<Group>()).collect();
        let groups = groups.map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, error.to_string(), "write groups as in: web env=prod")
        })?;
        let NewToken { lasts, uses, groups: names } = new;
        let lasts_text = units::format_duration(lasts);
        let entry = AuditEntry {
            at_us: now_us(),
            who: self.person.name.clone(),
            from: Some(self.person.from),
            action: "enrolment-token.make".to_owned(),
            host: None,
            what: format!("for {uses} hosts within {lasts_text}, groups {names:?}"),
            outcome: Outcome::Done,
        };
        let not_audited = |error| Refusal::fault("could not write down that a token is made", &error);
        self.shared.audit_log.write(entry).await.map_err(not_audited)?;
        let making = async { EnrolmentTokens::open(client).await?.make(lasts, uses, groups).await };
        let failed = |error| Refusal::fault("could not make a token", &error_chain(&error));
        broker::ask(client, making).await?.map_err(failed)
    }

    /// Admits the host that waits since `asked_at_us`.
    ///
    /// # Errors
    /// When it does not wait (any longer), or the broker does not answer.
    pub(crate) async fn approve(&self, host: &HostName, asked_at_us: i64) -> Result<(), Refusal> {
        let Some(client) = &self.shared.broker else { return Err(Refusal::no_broker()) };
        let was = broker::ask(client, self.approve_in(client, host, asked_at_us)).await??;
        let key = was.keys.first().map_or("none", String::as_str);
        let what = format!("waits with the key {key} → admitted");
        self.shared.audit_log.note(&self.person, "host.approve", Some(host.clone()), what, Outcome::Done);
        Ok(())
    }

    async fn approve_in(
        &self,
        client: &async_nats::Client,
        host: &HostName,
        asked_at_us: i64,
    ) -> Result<HostRecord, Refusal> {
        let failed = |error| Refusal::fault("could not approve the host", &error_chain(&error));
        let records: Bucket<HostRecord> = hosts::open(client).await.map_err(failed)?;
        for _ in 0..MAX_ATTEMPTS {
            let known = records.get(host.as_str()).await.map_err(failed)?;
            let waiting = known.filter(|known| is_waiting_since(&known.value, asked_at_us));
            let Some(Entry { value: was, revision }) = waiting else { return Err(waits_no_longer(host)) };
            let mut value = was.clone();
            value.admit();
            if records.update(host.as_str(), &value, revision).await.map_err(failed)? {
                return Ok(was);
            }
        }
        Err(Refusal::fault("could not approve the host", &"others change it all the time"))
    }

    /// Ends the waiting of the host that waits since `asked_at_us`. It may ask again.
    ///
    /// # Errors
    /// When it does not wait (any longer), or the broker does not answer.
    pub(crate) async fn turn_away(&self, host: &HostName, asked_at_us: i64) -> Result<(), Refusal> {
        let Some(client) = &self.shared.broker else { return Err(Refusal::no_broker()) };
        let ending = async {
            let records = hosts::open(client).await?;
            let known = records.get(host.as_str()).await?;
            let is_it = known.is_some_and(|known| is_waiting_since(&known.value, asked_at_us));
            Ok(is_it && hosts::end_waiting(&records, host.as_str()).await?)
        };
        let failed = |error: BucketError| Refusal::fault("could not end the waiting", &error_chain(&error));
        if !broker::ask(client, ending).await?.map_err(failed)? {
            return Err(waits_no_longer(host));
        }
        let what = "waits → forgotten".to_owned();
        self.shared.audit_log.note(&self.person, "host.forget", Some(host.clone()), what, Outcome::Done);
        Ok(())
    }
}

/// Whether it is the server's own machine, which is let in before it ever asks.
fn is_beside_the_server(record: &HostRecord) -> bool {
    let waited_us = record.admitted_at_us.map(|at_us| at_us.saturating_sub(record.first_contact_at_us));
    record.token.is_none() && waited_us.is_some_and(|waited_us| waited_us < OF_THE_OWNER_US)
}

fn is_waiting_since(record: &HostRecord, asked_at_us: i64) -> bool {
    record.admission == Admission::Waiting && record.first_contact_at_us == asked_at_us
}

fn waits_no_longer(host: &HostName) -> Refusal {
    let error = format!("{host} does not wait for approval");
    Refusal::new(
        StatusCode::CONFLICT,
        error,
        "somebody else may have decided already; look at the list again",
    )
}
