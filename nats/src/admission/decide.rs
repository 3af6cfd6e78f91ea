//! Whether a claimant is admitted: the one place that decides, always by what the broker holds at this moment.

use std::collections::BTreeSet;

use super::{AdmissionSettings, EnrolmentTokens, Refusal, question::Claimant};
use crate::{
    bucket::{Bucket, Entry},
    hosts::{Admission, HostRecord},
    now_us,
};

/// Hosts that may wait to be approved at a time: a rollout, and not the names that somebody makes up.
const MAX_WAITING: usize = 1000;

/// What admission decides by.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) hosts: Bucket<HostRecord>,
    pub(super) tokens: EnrolmentTokens,
    pub(super) settings: AdmissionSettings,
}

/// What else follows from an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// As so often.
    Known,
    /// For the first time.
    New,
    /// With its new key; the former one is good no more.
    WithNewKey,
}

impl Rules {
    /// Admits the claimant or says why not.
    pub(super) async fn decide(&self, claimant: &Claimant) -> Result<Admitted, Refusal> {
        let known = self.hosts.get(claimant.host.as_str()).await?;
        match (known, &claimant.token) {
            (Some(entry), _) if entry.value.admission == Admission::Revoked => Err(Refusal::Revoked),
            (Some(entry), _) if entry.value.admission == Admission::Admitted && entry.value.has_key() => {
                self.by_key(claimant, entry).await
            }
            // One that waits may still bring a token.
            (known, Some(token)) => self.enrol(claimant, token, known).await,
            (Some(entry), None) if entry.value.keys.contains(&claimant.key) => Err(Refusal::Waiting),
            (Some(entry), None) if entry.value.has_key() => Err(Refusal::OtherKey),
            (known, None) if self.settings.approve => self.wait(claimant, known).await,
            (_, None) => Err(Refusal::UnknownHost),
        }
    }

    async fn by_key(&self, claimant: &Claimant, known: Entry<HostRecord>) -> Result<Admitted, Refusal> {
        let Entry { value: record, revision } = known;
        match record.keys.iter().position(|key| *key == claimant.key) {
            None => Err(Refusal::OtherKey),
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
        claimant: &Claimant,
        token: &str,
        known: Option<Entry<HostRecord>>,
    ) -> Result<Admitted, Refusal> {
        let (id, groups) = self.tokens.use_up(token).await?;
        let record = HostRecord { token: Some(id), groups, ..new_record(claimant, Admission::Admitted) };
        self.put(claimant, record, known).await?;
        Ok(Admitted::New)
    }

    async fn wait(&self, claimant: &Claimant, known: Option<Entry<HostRecord>>) -> Result<Admitted, Refusal> {
        let all = self.hosts.all().await?;
        let waiting = all.iter().filter(|(_, entry)| entry.value.admission == Admission::Waiting);
        if waiting.count() >= MAX_WAITING {
            return Err(Refusal::TooManyWaiting);
        }
        self.put(claimant, new_record(claimant, Admission::Waiting), known).await?;
        Err(Refusal::Waiting)
    }

    /// Keeps the record of a host that had no key yet, or only waited. The groups that an administrator has put it into stay.
    async fn put(
        &self,
        claimant: &Claimant,
        mut record: HostRecord,
        known: Option<Entry<HostRecord>>,
    ) -> Result<(), Refusal> {
        let Some(Entry { value: known, revision }) = known else {
            let created = self.hosts.create(claimant.host.as_str(), &record).await?;
            return if created { Ok(()) } else { Err(Refusal::Busy) };
        };
        record.groups.extend(known.groups);
        self.replace(claimant, &record, revision).await
    }

    async fn replace(&self, claimant: &Claimant, record: &HostRecord, revision: u64) -> Result<(), Refusal> {
        let replaced = self.hosts.update(claimant.host.as_str(), record, revision).await?;
        if replaced { Ok(()) } else { Err(Refusal::Busy) }
    }
}

fn new_record(claimant: &Claimant, admission: Admission) -> HostRecord {
    HostRecord {
        keys: vec![claimant.key.clone()],
        admission,
        groups: BTreeSet::new(),
        first_contact_at_us: now_us(),
        token: None,
        rotate: false,
    }
}
