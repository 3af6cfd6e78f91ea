//! The hosts that a question can be about: of the history and of the present, as far as they are in the asker's scope.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use fleetps_ingestor::history::{HeardHost, Hosts};
use fleetps_nats::HostName;

use super::{matcher::Matcher, metric};
use crate::{
    authz::TaggedHosts,
    live::{FleetView, Summary},
};

/// A host that is known.
#[derive(Debug, Clone)]
pub(crate) struct KnownHost {
    /// When its first snapshot was captured, in ms since 1970 UTC.
    pub(super) first_ms: i64,
    /// When the last was that is known.
    pub(super) last_ms: i64,
    /// The time between two, in ms.
    pub(super) interval_ms: u32,
    /// Its groups.
    pub(super) groups: Vec<String>,
    /// How it is now; absent where it is not in the fleet any more.
    pub(super) now: Option<Arc<Summary>>,
}

/// All hosts that are known, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownHosts {
    pub(super) hosts: BTreeMap<HostName, KnownHost>,
    /// How long a host that is not heard of is shown.
    pub(super) down_for: Duration,
}

impl KnownHosts {
    /// Those of the fleet and of the history, which both are in the asker's scope.
    pub(crate) fn new(view: &FleetView, groups: &TaggedHosts, heard: Vec<HeardHost>) -> Self {
        let mut hosts = BTreeMap::new();
        for HeardHost { host, first_us, last_us, interval_ms } in heard {
            let groups = groups.of(&host).iter().cloned().collect();
            let (first_ms, last_ms) = (first_us.div_euclid(1000), last_us.div_euclid(1000));
            hosts.insert(host, KnownHost { first_ms, last_ms, interval_ms, groups, now: None });
        }
        for summary in &view.hosts {
            let captured_ms = summary.captured_at_us.div_euclid(1000);
            let known = hosts.entry(summary.host.clone()).or_insert_with(|| KnownHost {
                first_ms: captured_ms,
                last_ms: captured_ms,
                interval_ms: summary.interval_ms,
                groups: groups.of(&summary.host).iter().cloned().collect(),
                now: None,
            });
            known.last_ms = known.last_ms.max(captured_ms);
            known.interval_ms = known.interval_ms.max(summary.interval_ms);
            known.now = Some(Arc::clone(summary));
        }
        Self { hosts, down_for: view.down_for }
    }

    /// The hosts that meet the conditions on hosts and groups.
    pub(super) fn selected(&self, matchers: &[Matcher]) -> Vec<HostName> {
        let is_selected = |(host, known): &(&HostName, &KnownHost)| {
            matchers.iter().all(|matcher| match matcher.label.as_str() {
                metric::HOST => matcher.accepts(host.as_str()),
                metric::GROUP => known.is_in(matcher),
                _ => true,
            })
        };
        self.hosts.iter().filter(is_selected).map(|(host, _)| host.clone()).collect()
    }

    /// The same, as far as they were heard of within a time.
    pub(super) fn selected_within(
        &self,
        matchers: &[Matcher],
        (start_ms, end_ms): (i64, i64),
    ) -> Vec<HostName> {
        let mut selected = self.selected(matchers);
        selected.retain(|host| {
            self.hosts.get(host).is_some_and(|known| known.first_ms <= end_ms && known.last_ms >= start_ms)
        });
        selected
    }

    /// The groups of hosts that were heard of within a time.
    pub(crate) fn groups(&self, (start_ms, end_ms): (i64, i64)) -> BTreeSet<String> {
        let within =
            self.hosts.values().filter(|known| known.first_ms <= end_ms && known.last_ms >= start_ms);
        within.flat_map(|known| known.groups.iter().cloned()).collect()
    }

    /// These hosts, as the history is asked for them.
    pub(super) fn asked(&self, selected: &[HostName]) -> Hosts {
        match selected.len() == self.hosts.len() && selected.len() > 1 {
            true => Hosts::All,
            false => selected.iter().cloned().collect(),
        }
    }

    /// The longest interval between two snapshots of `hosts`, in ms.
    pub(super) fn longest_interval_ms(&self, hosts: &[HostName]) -> i64 {
        let intervals = hosts.iter().filter_map(|host| self.hosts.get(host)).map(|known| known.interval_ms);
        intervals.max().unwrap_or_default().into()
    }
}

impl KnownHost {
    /// Whether one of its groups meets the condition; a host without groups is in the one with an empty name.
    fn is_in(&self, matcher: &Matcher) -> bool {
        match self.groups.is_empty() {
            true => matcher.accepts(""),
            // "Not in web" is about all of its groups.
            false if matcher.is_negative() => self.groups.iter().all(|group| matcher.accepts(group)),
            false => self.groups.iter().any(|group| matcher.accepts(group)),
        }
    }
}
