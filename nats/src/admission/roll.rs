//! The roll of all hosts, kept current by the bucket's changes: which wait, which names exist, which are admitted.
//! Whether one host is admitted is decided by its own record, never by the roll.

use std::collections::{BTreeMap, BTreeSet};

use super::waiting::Waiting;
use crate::{
    HostName,
    bucket::Told,
    hosts::{Admission, HostRecord},
};

/// The roll of all hosts.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// The waiting hosts.
    pub(super) waiting: Waiting,
    /// Names of hosts that may or might speak, by what they look like.
    names: BTreeMap<String, BTreeSet<String>>,
    /// Hosts whose connections stay.
    welcome: BTreeSet<String>,
    /// The keys seen since the bucket is read anew; `None` while it is up to date.
    told: Option<BTreeSet<String>>,
}

/// A host whose connections are to be ended.
#[derive(Debug)]
pub(super) struct Unwelcome {
    pub(super) host: HostName,
    /// It was welcome until now, so it is connected most likely.
    pub(super) was_welcome: bool,
}

impl Roll {
    /// Applies a change; returns the hosts whose connections are to be ended.
    pub(super) fn apply(&mut self, told: Told<HostRecord>) -> Vec<Unwelcome> {
        match told {
            Told::Anew => {
                self.waiting.clear();
                self.names.clear();
                self.told = Some(BTreeSet::new());
                Vec::new()
            }
            Told::UpToDate => {
                let told = self.told.take().unwrap_or_default();
                let gone: Vec<String> = self.welcome.difference(&told).cloned().collect();
                gone.iter().for_each(|key| _ = self.welcome.remove(key));
                let hosts = gone.iter().filter_map(|key| key.parse().ok());
                hosts.map(|host| Unwelcome { host, was_welcome: true }).collect()
            }
            Told::Change { key, value, .. } => self.change(&key, value.as_ref()).into_iter().collect(),
        }
    }

    fn change(&mut self, key: &str, record: Option<&HostRecord>) -> Option<Unwelcome> {
        let host: HostName = key.parse().ok()?;
        if let Some(told) = &mut self.told {
            told.insert(key.to_owned());
        }
        self.waiting.set(key, record);
        let names = self.names.entry(host.look()).or_default();
        names.remove(key);
        if record.is_some_and(|record| record.has_key() && record.admission != Admission::Waiting) {
            names.insert(key.to_owned());
        }
        if names.is_empty() {
            self.names.remove(&host.look());
        }
        if record.is_some_and(|record| record.admission == Admission::Admitted && !record.rotate) {
            self.welcome.insert(key.to_owned());
            return None;
        }
        let was_welcome = self.welcome.remove(key);
        // At first, as if all had been welcome: they may have been when this service was started.
        let may_be_connected =
            self.told.is_some() && record.is_none_or(|record| record.admission != Admission::Waiting);
        (was_welcome || may_be_connected).then_some(Unwelcome { host, was_welcome })
    }

    /// Another host's name that people would take for this one.
    pub(super) fn looks_like(&self, host: &HostName) -> Option<&str> {
        let alike = self.names.get(&host.look())?.iter().map(String::as_str);
        alike.filter(|name| *name != host.as_str()).min()
    }
}
