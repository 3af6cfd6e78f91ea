//! What the lock of the fleet guards: its hosts with their snapshots, and what they add up to.

use std::{collections::BTreeMap, sync::Arc};

use fleetps_nats::{HostName, Snapshot, model::HostState};
use tokio::sync::watch;

use super::{
    Position, Summary,
    fleet_changes::Gone,
    kept::{KeptHost, KeptSnapshot},
    left_out::LeftOut,
    programs::{Programs, Share},
    tally::Tally,
};

/// What the lock of the fleet guards.
#[derive(Debug, Default)]
pub(super) struct FleetState {
    pub(super) hosts: BTreeMap<HostName, Host>,
    pub(super) totals: Totals,
    /// Hosts that were not heard of for long.
    pub(super) left_out: LeftOut,
    /// Hosts that went lately.
    pub(super) gone: Gone,
    /// Until where the stream is taken in.
    pub(super) position: Position,
    /// When the broker stored the last of all snapshots.
    pub(super) heard_until_us: i64,
    /// Counts the changes; the same number as watchers see.
    pub(super) version: u64,
}

/// A host with its snapshots.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) summary: Arc<Summary>,
    /// When it was last heard of, by [`super::steady_us`], so that setting a clock makes no host silent.
    pub(super) heard_us: i64,
    pub(super) latest: KeptSnapshot,
    pub(super) previous: Option<KeptSnapshot>,
    pub(super) share: Share,
    /// Its users and units.
    pub(super) tally: Arc<Tally>,
    pub(super) changed: watch::Sender<()>,
    /// The version of the fleet in which it last changed.
    pub(super) changed_in: u64,
    /// The version of the fleet in which its last snapshot came.
    pub(super) sampled_in: u64,
}

/// The sums over all hosts that are up.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) programs: Programs,
    pub(super) processes: u64,
}

/// A host's new snapshot, with what follows from it.
pub(super) struct Sampled {
    pub(super) summary: Summary,
    /// When the host was heard of: see [`Host::heard_us`].
    pub(super) heard_us: i64,
    pub(super) latest: KeptSnapshot,
    pub(super) decoded: Arc<Snapshot>,
    pub(super) share: Share,
    pub(super) tally: Arc<Tally>,
}

impl Totals {
    pub(super) fn add(&mut self, host: &Host) {
        self.programs.add(&host.counted_share());
        self.processes += host.counted_processes();
    }

    pub(super) fn subtract(&mut self, host: &Host) {
        self.programs.subtract(&host.counted_share());
        self.processes -= host.counted_processes();
    }
}

impl FleetState {
    /// Puts a host's new snapshot in the place of its last one.
    pub(super) fn put(&mut self, host: HostName, sampled: Sampled) {
        let next_version = self.version + 1;
        match self.hosts.get_mut(&host) {
            Some(known) => {
                self.totals.subtract(known);
                known.take(sampled, next_version);
                self.totals.add(known);
                known.changed.send_replace(());
            }
            None => {
                self.left_out.remove(&host);
                let new = Host::new(sampled, next_version);
                self.totals.add(&new);
                self.hosts.insert(host, new);
            }
        }
    }
}

impl Host {
    fn new(sampled: Sampled, version: u64) -> Self {
        let Sampled { summary, heard_us, latest, share, tally, .. } = sampled;
        Self {
            summary: Arc::new(summary),
            heard_us,
            latest,
            previous: None,
            share,
            tally,
            changed: watch::Sender::new(()),
            changed_in: version,
            sampled_in: version,
        }
    }

    /// Takes a new snapshot; decoded ones are kept while somebody watches.
    fn take(&mut self, sampled: Sampled, version: u64) {
        let Sampled { summary, heard_us, mut latest, decoded, share, tally } = sampled;
        let is_watched = self.changed.receiver_count() > 0;
        latest.decoded = is_watched.then_some(decoded);
        let mut previous = std::mem::replace(&mut self.latest, latest);
        previous.decoded = previous.decoded.filter(|_| is_watched);
        self.previous = Some(previous);
        (self.share, self.tally) = (share, tally);
        self.heard_us = heard_us;
        self.summary = Arc::new(summary.after(&self.summary));
        (self.changed_in, self.sampled_in) = (version, version);
    }

    /// Its part of the fleet's programs: nothing unless it is up, because its processes are unknown then.
    pub(super) fn counted_share(&self) -> Share {
        match self.summary.state {
            HostState::Up => Arc::clone(&self.share),
            HostState::Paused | HostState::Silent | HostState::Down => Share::default(),
        }
    }

    /// Its users and units: none unless it is up, as of programs.
    pub(super) fn counted_tally(&self) -> Arc<Tally> {
        if self.summary.state == HostState::Up { Arc::clone(&self.tally) } else { Arc::default() }
    }

    pub(super) fn kept(&self) -> KeptHost {
        let (latest, previous) = (self.latest.clone(), self.previous.clone());
        KeptHost { summary: Arc::clone(&self.summary), latest, previous }
    }

    pub(super) fn counted_processes(&self) -> u64 {
        if self.summary.state == HostState::Up { u64::from(self.summary.process_count) } else { 0 }
    }
}
