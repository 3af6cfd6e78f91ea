//! What changed in the fleet since a version of it, so that a reader of changes keeps one number and not the fleet.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use fleetps_nats::HostName;

use super::{Position, Summary};

/// Hosts that went and are remembered: a whole large fleet at once. Readers that are further behind get the whole fleet.
const MAX_GONE: usize = 10_000;

/// The hosts that are others than in an earlier version of the fleet.
#[derive(Debug, Clone, Default)]
pub struct FleetChanges {
    /// The version of the fleet now.
    pub version: u64,
    /// Until where in the stream this is.
    pub position: Position,
    /// Whether these are all hosts, and not only those that changed.
    pub is_whole: bool,
    /// The hosts that changed, by name.
    pub hosts: Vec<Arc<Summary>>,
    /// The hosts that went and are not back, in the order in which they went.
    pub gone: Vec<HostName>,
    /// Hosts that are not among these, because they were not heard of for long.
    pub left_out: usize,
    /// How many snapshots came so far of all hosts that are there, or went since.
    pub taken: u64,
    /// How many of the hosts that changed have a new snapshot.
    pub sampled: u64,
}

/// The hosts that went lately, with the version of the fleet in which they did.
#[derive(Debug, Default)]
pub(super) struct Gone {
    hosts: VecDeque<(u64, HostName, u64)>,
    /// The version in which the last one went that is no longer remembered.
    forgotten_in: u64,
}

impl Gone {
    pub(super) fn add(&mut self, version: u64, summary: &Summary) {
        self.hosts.push_back((version, summary.host.clone(), summary.taken));
        if self.hosts.len() > MAX_GONE
            && let Some((version, _, _)) = self.hosts.pop_front()
        {
            self.forgotten_in = version;
        }
    }

    /// Whether every host is remembered that went after this version.
    pub(super) fn knows_since(&self, version: u64) -> bool {
        version >= self.forgotten_in
    }

    /// Adds those that went after this version to `changes`.
    pub(super) fn since(
        &self,
        version: u64,
        sees: impl Fn(&HostName) -> bool,
        is_back: impl Fn(&HostName) -> bool,
        changes: &mut FleetChanges,
    ) {
        let mut told = HashSet::new();
        for (_, host, taken) in self.hosts.iter().rev().take_while(|(gone_in, _, _)| *gone_in > version) {
            if sees(host) {
                changes.taken += taken;
                if !is_back(host) && told.insert(host) {
                    changes.gone.push(host.clone());
                }
            }
        }
        changes.gone.reverse();
    }
}
