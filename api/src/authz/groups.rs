//! The tags of hosts, as the broker keeps them: the copy that rules are decided by.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_nats::Client;
use fleetps_ingestor::history::{Hosts, Scope};
use fleetps_nats::{
    HostName,
    bucket::{BucketError, WatchedBucket},
    error_chain,
    hosts::{self, HostRecord},
};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::policy::{Decision, HostGroups, Permission, permission_of};
use crate::auth::Person;

/// How soon the broker is asked again after it did not say which hosts there are.
const ASK_AGAIN: Duration = Duration::from_secs(1);

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

    /// Follows the broker's bucket of hosts until `shutdown`. Until it has answered once, hosts have no groups, so that
    /// no person sees too much.
    pub async fn follow(self, client: Client, shutdown: CancellationToken) {
        let following = async {
            let mut records = loop {
                match Self::records(&client).await {
                    Ok(records) => break records,
                    Err(error) => tracing::warn!(
                        "cannot read the groups of hosts: {}; trying again",
                        error_chain(&error)
                    ),
                }
                tokio::time::sleep(ASK_AGAIN).await;
            };
            loop {
                let of_host = |(host, record): (String, Arc<HostRecord>)| {
                    Some((host.parse().ok()?, record.groups.clone()))
                };
                self.set(records.all().into_iter().filter_map(of_host).collect());
                records.changed().await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = following => {}
        }
    }

    async fn records(client: &Client) -> Result<WatchedBucket<HostRecord>, BucketError> {
        hosts::open(client).await?.follow().await
    }

    /// The tags of `host`.
    pub fn of(&self, host: &HostName) -> HostGroups {
        self.0.read().hosts.get(host).cloned().unwrap_or_default()
    }

    /// Another number when anything is another.
    pub fn version(&self) -> u64 {
        self.0.read().version
    }

    /// The hosts and command lines that `person` may see.
    pub fn scope_of(&self, person: &Person) -> Scope {
        Scope::new(
            self.hosts_of(person, Permission::SeeHosts),
            self.hosts_of(person, Permission::SeeCommandLines),
        )
    }

    /// The hosts on which `person` may do this. Of a host without tags only a grant for every host is known to reach it.
    fn hosts_of(&self, person: &Person, action: Permission) -> Hosts {
        if permission_of(person, action, Some(&HostGroups::new())) == Decision::Allowed {
            return Hosts::All;
        }
        let tagged = self.0.read();
        let allowed = tagged
            .hosts
            .iter()
            .filter(|(_, groups)| permission_of(person, action, Some(groups)) == Decision::Allowed);
        allowed.map(|(host, _)| host.clone()).collect()
    }
}
