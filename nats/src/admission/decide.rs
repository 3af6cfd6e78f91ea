//! Whether a claimant is admitted: the one place that decides, always by what the broker holds of that host at this moment,
//! so that an answer is never older than a revocation. Each try reads one record; what concerns all hosts (who else waits,
//! which names are taken) comes from the copy in memory.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{AdmissionSettings, Denial, EnrolmentTokens, request::Credentials, roll::Roll};
use crate::{
    bucket::{Bucket, Entry},
    hosts::{self, Admission, HostRecord},
    now_us,
};

/// The buckets and settings that decide an admission.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) hosts: Bucket<HostRecord>,
    pub(super) tokens: EnrolmentTokens,
    pub(super) settings: AdmissionSettings,
    pub(super) roll: Arc<Mutex<Roll>>,
}

/// How a host was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// As so often.
    Known,
    /// For the first time.
    New,
    /// With its new key; the former key is no longer valid.
    WithNewKey,
}

impl Rules {
    /// The roll of all hosts. It is plain data, so a panic elsewhere leaves it whole.
    pub(super) fn roll(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits the claimant or says why not.
    pub(super) async fn decide(&self, claimant: &Credentials) -> Result<Admitted, Denial> {
        let known = self.hosts.get(claimant.host.as_str()).await?;
        match (known, &claimant.token) {
            (Some(entry), _) if entry.value.admission == Admission::Revoked => Err(Denial::Revoked),
            (Some(entry), _) if entry.value.admission == Admission::Admitted && entry.value.has_key() => {
                self.by_key(claimant, entry).await
            }
            // One that waits may still bring a token.
            (known, Some(token)) => self.enrol(claimant, token, known).await,
            (Some(entry), None) if entry.value.keys.contains(&claimant.key) => Err(Denial::Waiting),
            (Some(entry), None) if entry.value.has_key() => Err(Denial::OtherKey),
            (known, None) if self.settings.approve => self.wait(claimant, known).await,
            (_, None) => Err(Denial::UnknownHost),
        }
    }

    async fn by_key(&self, claimant: &Credentials, known: Entry<HostRecord>) -> Result<Admitted, Denial> {
        let Entry { value: record, revision } = known;
        match record.keys.iter().position(|key| *key == claimant.key) {
            None => Err(Denial::OtherKey),
            Some(0) => Ok(Admitted::Known),
            Some(_) => {
                let changed = HostRecord { keys: vec![claimant.key.clone()], rotate: false, ..record };
                self.replace(claimant, &changed, revision).await?;
                Ok(Admitted::WithNewKey)
            }
        }
    }

    async fn enrol(
        &self,
        claimant: &Credentials,
        token: &str,
        known: Option<Entry<HostRecord>>,
    ) -> Result<Admitted, Denial> {
        self.check_name(claimant)?;
        let (id, groups) = self.tokens.use_up(token).await?;
        let record = HostRecord { token: Some(id), groups, ..new_record(claimant, Admission::Admitted) };
        self.put(claimant, record, known).await?;
        Ok(Admitted::New)
    }

    async fn wait(
        &self,
        claimant: &Credentials,
        known: Option<Entry<HostRecord>>,
    ) -> Result<Admitted, Denial> {
        self.check_name(claimant)?;
        let in_the_way = self.roll().waiting.in_the_way(&claimant.network, Instant::now());
        for host in in_the_way.map_err(|_| Denial::TooManyWaiting)? {
            if !hosts::end_waiting(&self.hosts, &host).await? {
                // Another request took this place; the host retries.
                return Err(Denial::Busy);
            }
        }
        let record = HostRecord {
            network: Some(claimant.network.clone()),
            ..new_record(claimant, Admission::Waiting)
        };
        self.put(claimant, record, known).await?;
        Err(Denial::Waiting)
    }

    /// Whether a host that has no key yet may have this name.
    fn check_name(&self, claimant: &Credentials) -> Result<(), Denial> {
        if !claimant.host.is_plain() {
            return Err(Denial::BadName);
        }
        match self.roll().looks_like(&claimant.host) {
            Some(other) => Err(Denial::LookAlike(other.to_owned())),
            None => Ok(()),
        }
    }

    /// Keeps the record of a host that had no key yet, or only waited. The groups that an administrator has put it into stay.
    async fn put(
        &self,
        claimant: &Credentials,
        mut record: HostRecord,
        known: Option<Entry<HostRecord>>,
    ) -> Result<(), Denial> {
        let Some(Entry { value: known, revision }) = known else {
            let created = self.hosts.create(claimant.host.as_str(), &record).await?;
            return if created { Ok(()) } else { Err(Denial::Busy) };
        };
        record.groups.extend(known.groups);
        record.legacy = known.legacy;
        self.replace(claimant, &record, revision).await
    }

    async fn replace(
        &self,
        claimant: &Credentials,
        record: &HostRecord,
        revision: u64,
    ) -> Result<(), Denial> {
        let replaced = self.hosts.update(claimant.host.as_str(), record, revision).await?;
        if replaced { Ok(()) } else { Err(Denial::Busy) }
    }
}

fn new_record(claimant: &Credentials, admission: Admission) -> HostRecord {
    let admitted_at_us = (admission == Admission::Admitted).then(now_us);
    let keys = vec![claimant.key.clone()];
    HostRecord { keys, admission, admitted_at_us, ..HostRecord::in_groups(BTreeSet::new()) }
}
