//! The hosts of older systems by what posts say, kept in memory: by name, by key, and by how their names look.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use fleetps_nats::{
    HostName,
    bucket::WatchedBucket,
    hosts::{Admission, HostRecord, LegacyAgent},
};

use super::{KeyHash, System};

/// A host of an older system.
#[derive(Debug, Clone)]
pub(crate) struct LegacyHost {
    /// Its name in the fleet.
    pub host: HostName,
    /// Its record.
    pub record: Arc<HostRecord>,
}

impl LegacyHost {
    /// What is known of its agent.
    pub(crate) fn agent(&self) -> Option<&LegacyAgent> {
        self.record.legacy.as_ref()
    }
    /// The hash of its key; absent where the system has none.
    pub(super) fn key(&self) -> Option<KeyHash> {
        self.agent().and_then(|agent| agent.key.clone()).map(KeyHash)
    }
}

/// What is known of all hosts.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The hosts of older systems, by system and what they call themselves.
    names: HashMap<(System, String), Vec<LegacyHost>>,
    /// One of the hosts that have a key.
    keys: HashMap<(System, Option<KeyHash>), LegacyHost>,
    /// How names look, and which have that look.
    looks: BTreeMap<String, Vec<HostName>>,
}

impl Index {
    pub(super) fn of(records: &WatchedBucket<HostRecord>) -> Self {
        let mut index = Self::default();
        for (name, record) in records.all() {
            if let Ok(host) = name.parse::<HostName>() {
                index.insert(LegacyHost { host, record });
            }
        }
        index
    }

    /// Takes what is known of one host now.
    pub(super) fn add(&mut self, known: LegacyHost) {
        self.remove(&known.host);
        self.insert(known);
    }

    fn insert(&mut self, known: LegacyHost) {
        let LegacyHost { host, record } = &known;
        if record.admission != Admission::Waiting && (record.has_key() || record.legacy.is_some()) {
            self.looks.entry(host.look()).or_default().push(host.clone());
        }
        let Some(agent) = &record.legacy else { return };
        let Ok(system) = agent.system.parse::<System>() else { return };
        self.keys.insert((system, known.key()), known.clone());
        self.names.entry((system, agent.name.clone())).or_default().push(known);
    }

    pub(super) fn remove(&mut self, host: &HostName) {
        if let Some(alike) = self.looks.get_mut(&host.look()) {
            alike.retain(|other| other != host);
            if alike.is_empty() {
                self.looks.remove(&host.look());
            }
        }
        self.names.retain(|_, hosts| {
            hosts.retain(|known| known.host != *host);
            !hosts.is_empty()
        });
        self.keys.retain(|_, known| known.host != *host);
    }

    pub(super) fn named(&self, system: System, name: &str) -> &[LegacyHost] {
        self.names.get(&(system, name.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// The hosts of a system, in no order.
    pub(super) fn of_system(&self, system: System) -> impl Iterator<Item = &LegacyHost> {
        self.names.iter().filter(move |((of, _), _)| *of == system).flat_map(|(_, hosts)| hosts)
    }

    /// One of the hosts of a system that have this key, or none.
    pub(super) fn one_with(&self, system: System, key: Option<&KeyHash>) -> Option<&LegacyHost> {
        self.keys.get(&(system, key.cloned()))
    }

    /// Whether people would take `host` for another host that there is.
    pub(super) fn looks_like(&self, host: &HostName) -> bool {
        self.looks.get(&host.look()).is_some_and(|alike| alike.iter().any(|other| other != host))
    }
}
