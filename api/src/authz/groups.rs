//! The tags of hosts, as the broker keeps them: the copy that rules are decided by.
//!
//! What follows from all tags at once (the scope of a person who sees some hosts) takes as long as there are hosts. It is
//! worked out once for each list of grants and change of tags, without a lock, and never on a thread that serves
//! requests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use async_nats::Client;
use fleetps_ingestor::history::{Hosts, Scope};
use fleetps_nats::{
    HostName,
    bucket::{BucketError, WatchedBucket},
    error_chain,
    hosts::{self, HostRecord},
};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::policy::{HostGroups, Permission, grants_allow};
use crate::{auth::Grant, metrics::Bounded};

/// How soon the broker is asked again after it did not say which hosts there are.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Lists of grants whose scopes are kept; one list is usually that of many people.
const MAX_SCOPES: usize = 256;
/// The tags of a host that has none.
static NO_GROUPS: HostGroups = HostGroups::new();

/// Which tags each host has. A host that the broker keeps nothing of has none.
#[derive(Debug, Clone, Default)]
pub struct Groups(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    tagged: Arc<TaggedHosts>,
    /// The scopes of people who see some hosts, by their grants, as of `tagged`.
    scopes: HashMap<Vec<Grant>, Arc<Scope>>,
    /// Tells of every change.
    changed: watch::Sender<()>,
    /// Whether the broker has answered once.
    is_known: bool,
}

/// The tags of all hosts at one time.
#[derive(Debug, Default, PartialEq)]
pub struct TaggedHosts {
    hosts: BTreeMap<HostName, HostGroups>,
    /// Another number when anything is another.
    version: u64,
}

impl TaggedHosts {
    /// The tags of `host`.
    pub fn of(&self, host: &HostName) -> &HostGroups {
        self.hosts.get(host).unwrap_or(&NO_GROUPS)
    }

    /// Another number when anything is another.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The hosts that have tags, or have a record.
    pub fn hosts(&self) -> impl Iterator<Item = &HostName> {
        self.hosts.keys()
    }

    /// The hosts on which these grants allow this, among those that have tags.
    fn hosts_of(&self, grants: &[Grant], action: Permission) -> Hosts {
        let is_allowed = |groups: &HostGroups| grants_allow(grants, action, groups);
        if is_allowed(&NO_GROUPS) {
            return Hosts::All;
        }
        self.hosts.iter().filter(|(_, groups)| is_allowed(groups)).map(|(host, _)| host.clone()).collect()
    }

    fn scope_of(&self, grants: &[Grant]) -> Scope {
        Scope::new(
            self.hosts_of(grants, Permission::SeeHosts),
            self.hosts_of(grants, Permission::SeeCommandLines),
        )
    }
}

impl Groups {
    /// Takes what the tags are now. Takes as long as there are hosts, and readers do not wait for it.
    pub fn set(&self, hosts: BTreeMap<HostName, HostGroups>) {
        let (before, in_use, is_known) = {
            let known = self.0.read();
            // The others are worked out again when somebody comes who has them.
            let in_use = known.scopes.iter().filter(|(_, scope)| Arc::strong_count(scope) > 1);
            (
                Arc::clone(&known.tagged),
                in_use.map(|(grants, _)| grants.clone()).collect::<Vec<_>>(),
                known.is_known,
            )
        };
        if before.hosts == hosts && is_known {
            return;
        }
        let tagged = Arc::new(TaggedHosts { hosts, version: before.version + 1 });
        let scopes = in_use.into_iter().map(|grants| {
            let scope = Arc::new(tagged.scope_of(&grants));
            (grants, scope)
        });
        let scopes = scopes.collect();
        let mut known = self.0.write();
        let changed = known.changed.clone();
        *known = Known { tagged, scopes, changed, is_known: true };
        known.changed.send_replace(());
    }

    /// Whether the broker has said once which tags there are. Until then, that a host has none means nothing.
    pub fn is_known(&self) -> bool {
        self.0.read().is_known
    }

    /// Tells of every change of the tags.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.0.read().changed.subscribe()
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
                let groups = self.clone();
                let setting = tokio::task::spawn_blocking(move || {
                    groups.set(records.all().into_iter().filter_map(of_host).collect());
                    records
                });
                records = match setting.await {
                    Ok(records) => records,
                    Err(error) => {
                        tracing::error!(%error, "cannot take the groups of hosts any longer");
                        return;
                    }
                };
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

    /// How many scopes are kept. When there is no room, all of them are forgotten and worked out again.
    pub fn bounded(&self) -> Bounded {
        let known = self.0.read();
        let (in_use, limit) = (known.scopes.len() as u64, MAX_SCOPES as u64);
        Bounded { of: "scopes", in_use, limit, refused: 0 }
    }

    /// The tags of `host`.
    pub fn of(&self, host: &HostName) -> HostGroups {
        self.now().of(host).clone()
    }

    /// The tags of all hosts now.
    pub fn now(&self) -> Arc<TaggedHosts> {
        Arc::clone(&self.0.read().tagged)
    }

    /// Another number when anything is another.
    pub fn version(&self) -> u64 {
        self.0.read().tagged.version
    }

    /// The hosts and command lines that these grants let somebody see, where that is known without looking through all
    /// hosts.
    pub fn known_scope_of(&self, grants: &[Grant]) -> Option<Arc<Scope>> {
        if grants_allow(grants, Permission::SeeHosts, &NO_GROUPS)
            && grants_allow(grants, Permission::SeeCommandLines, &NO_GROUPS)
        {
            return Some(Arc::new(Scope::everything()));
        }
        self.0.read().scopes.get(grants).cloned()
    }

    /// The hosts and command lines that these grants let somebody see. Of a host without tags only a grant for every host
    /// is known to reach it. Takes as long as there are hosts where it is not known yet.
    pub fn scope_of(&self, grants: &[Grant]) -> Arc<Scope> {
        if let Some(known) = self.known_scope_of(grants) {
            return known;
        }
        let tagged = self.now();
        let scope = Arc::new(tagged.scope_of(grants));
        let mut known = self.0.write();
        if Arc::ptr_eq(&known.tagged, &tagged) {
            if known.scopes.len() >= MAX_SCOPES {
                known.scopes.clear();
            }
            known.scopes.insert(grants.to_vec(), Arc::clone(&scope));
        }
        scope
    }
}
