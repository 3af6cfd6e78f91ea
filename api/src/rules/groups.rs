//! The tags of hosts, as the broker keeps them: the copy that rules are decided by.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fleetps_ingestor::history::{Hosts, Scope};
use fleetps_nats::HostName;
use parking_lot::RwLock;

use super::{Action, Decision, may};
use crate::people::Person;

/// The tags of one host, as in `web` or `env=prod`.
pub type HostGroups = BTreeSet<String>;

/// Which tags each host has. A host that the broker keeps nothing of has none.
#[derive(Debug, Clone, Default)]
pub struct Groups(Arc<RwLock<Tagged>>);

#[derive(Debug, Default)]
struct Tagged {
    hosts: BTreeMap<HostName, HostGroups>,
    /// Another number when anything is another.
    version: u64,
}

impl Groups {
    /// Takes what the tags are now.
    pub fn set(&self, hosts: BTreeMap<HostName, HostGroups>) {
        let mut tagged = self.0.write();
        if tagged.hosts != hosts {
            *tagged = Tagged { hosts, version: tagged.version + 1 };
        }
    }

    /// The tags of `host`.
    pub fn of(&self, host: &HostName) -> HostGroups {
        self.0.read().hosts.get(host).cloned().unwrap_or_default()
    }

    /// Another number when anything is another.
    pub fn version(&self) -> u64 {
        self.0.read().version
    }

    /// What `person` may see.
    pub fn scope_of(&self, person: &Person) -> Scope {
        Scope::new(self.hosts_of(person, Action::SeeHosts), self.hosts_of(person, Action::SeeCommandLines))
    }

    /// The hosts on which `person` may do this. Of a host without tags only a grant for every host is known to reach it.
    fn hosts_of(&self, person: &Person, action: Action) -> Hosts {
        if may(person, action, Some(&HostGroups::new())) == Decision::Allowed {
            return Hosts::All;
        }
        let tagged = self.0.read();
        let allowed =
            tagged.hosts.iter().filter(|(_, groups)| may(person, action, Some(groups)) == Decision::Allowed);
        allowed.map(|(host, _)| host.clone()).collect()
    }
}
