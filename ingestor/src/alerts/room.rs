//! How many instances of a rule are remembered: of one host and of the whole fleet, with what is told where they are too many.

use std::collections::BTreeSet;

use super::{MAX_INSTANCES, MAX_INSTANCES_OF_HOST};

/// The instances of a rule in the whole fleet.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) instances: usize,
    /// Whether it was told that the fleet has too many.
    pub(super) is_told: bool,
    /// Alerts that were not raised for that.
    pub(super) beyond: u64,
}

/// The room that a rule has for instances of one host, whose own instances `fleet` leaves out meanwhile.
pub(super) struct Room<'a> {
    pub(super) rule: &'a str,
    pub(super) fleet: &'a mut Count,
    /// The rules of which it was told that this host has too many instances.
    pub(super) told: &'a mut BTreeSet<String>,
}

impl Room<'_> {
    /// Whether there is no room for one more beside the host's `instances`.
    pub(super) fn is_full(&self, instances: usize) -> bool {
        instances >= MAX_INSTANCES_OF_HOST || self.fleet.instances + instances >= MAX_INSTANCES
    }

    /// Takes note that there was no room for an instance beside the host's `instances`, of which an alert was lost if
    /// `is_alert`. How many there are, where that is to be told.
    pub(super) fn refuse(&mut self, instances: usize, is_alert: bool) -> Option<usize> {
        self.fleet.beyond += u64::from(is_alert);
        if instances >= MAX_INSTANCES_OF_HOST {
            return self.told.insert(self.rule.to_owned()).then_some(instances);
        }
        let is_told = std::mem::replace(&mut self.fleet.is_told, true);
        (!is_told).then_some(self.fleet.instances + instances)
    }

    /// Takes the host's `instances` back into the fleet's. With half of the room free, what comes next is told again.
    pub(super) fn settle(&mut self, instances: usize) {
        self.fleet.instances += instances;
        if instances < MAX_INSTANCES_OF_HOST / 2 {
            self.told.remove(self.rule);
        }
        if self.fleet.instances < MAX_INSTANCES / 2 {
            self.fleet.is_told = false;
        }
    }
}
