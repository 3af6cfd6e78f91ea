//! Every host that was ever heard of in what the broker keeps, with its latest and its previous snapshot.
//!
//! Snapshots stay compressed (about 9 KB for 300 processes, so 10,000 hosts take some 200 MB) and are decoded when a
//! page asks; while a page watches a host, the intake's decoded snapshot is kept.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use fleetps_ingestor::history::{CpuPeak, Scope};
use fleetps_nats::{
    HostName, Snapshot,
    model::{HostState, SnapshotPair, Spacing},
    snapshot::Decoder,
};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::{
    Moment, ProgramTotals, Summary,
    programs::{Programs, Share},
};

/// The present state of all hosts, shared by all pages.
#[derive(Debug)]
pub struct Fleet {
    inner: RwLock<Inner>,
    /// Counts the changes; starts at a number of its own in every run, so that a page of an earlier run never
    /// matches.
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    hosts: BTreeMap<HostName, Host>,
    programs: Programs,
    processes: u64,
}

/// A snapshot as it came.
#[derive(Debug, Clone)]
struct Kept {
    message: Arc<[u8]>,
    decoded: Option<Arc<Snapshot>>,
}

#[derive(Debug)]
struct Host {
    summary: Arc<Summary>,
    /// When it was last heard of, by [`super::steady_us`], so that setting a clock makes no host silent.
    heard_us: i64,
    latest: Kept,
    previous: Option<Kept>,
    share: Share,
    changed: watch::Sender<()>,
}

/// How many hosts are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FleetCounts {
    /// Hosts that are up.
    pub up: usize,
    /// Hosts that are silent.
    pub silent: usize,
    /// Hosts that are down.
    pub down: usize,
    /// Processes on the hosts that are up.
    pub processes: u64,
}

/// The whole fleet at one moment.
#[derive(Debug, Clone)]
pub struct FleetView {
    /// Every host, by name.
    pub hosts: Vec<Arc<Summary>>,
    /// How many are in which state.
    pub counts: FleetCounts,
    /// The busiest programs.
    pub programs: Vec<(String, ProgramTotals)>,
    /// Another number when anything is another.
    pub version: u64,
}

impl FleetView {
    fn new(
        hosts: Vec<Arc<Summary>>,
        processes: u64,
        programs: Vec<(String, ProgramTotals)>,
        version: u64,
    ) -> Self {
        let count = |state| hosts.iter().filter(|summary| summary.state == state).count();
        let (up, silent, down) = (count(HostState::Up), count(HostState::Silent), count(HostState::Down));
        Self { counts: FleetCounts { up, silent, down, processes }, programs, version, hosts }
    }
}

impl Default for Fleet {
    fn default() -> Self {
        let first_version = u64::try_from(super::now_us()).unwrap_or_default();
        Self { inner: RwLock::default(), changed: watch::Sender::new(first_version) }
    }
}

impl Fleet {
    /// Takes a host's new snapshot: `message` as it came, and decoded. One that was sent again changes nothing.
    pub fn take(&self, host: HostName, message: &[u8], snapshot: Snapshot, stored_at_us: i64) {
        let is_repeat = |known: Arc<Summary>| {
            snapshot.is_repeat_of(&known.run_id, known.sequence)
                && snapshot.captured_at_us == known.captured_at_us
        };
        if self.summary(&host).is_some_and(is_repeat) {
            return;
        }
        let (known_heard_us, steady_us) = (self.heard_us(&host, stored_at_us), super::steady_us());
        // A snapshot that waited in the stream at the start is as old as the clocks say.
        let first_heard_us = || steady_us.saturating_sub(super::now_us().saturating_sub(stored_at_us).max(0));
        let heard_us = known_heard_us.unwrap_or_else(first_heard_us);
        let quiet_us = steady_us.saturating_sub(heard_us);
        let summary =
            Summary::new(host.clone(), &snapshot, stored_at_us, stored_at_us.saturating_add(quiet_us));
        let snapshot = Arc::new(snapshot);
        let mut latest = Kept { message: message.into(), decoded: None };
        let mut inner = self.inner.write();
        let share = inner.programs.share_of(&snapshot);
        let inner = &mut *inner;
        match inner.hosts.get_mut(&host) {
            Some(known) => {
                inner.programs.subtract(&known.counted_share());
                inner.processes -= known.counted_processes();
                let watched = known.changed.receiver_count() > 0;
                latest.decoded = watched.then_some(snapshot);
                let mut previous = std::mem::replace(&mut known.latest, latest);
                previous.decoded = previous.decoded.filter(|_| watched);
                known.previous = Some(previous);
                known.share = share;
                known.heard_us = heard_us;
                known.summary = Arc::new(summary.after(&known.summary));
                inner.programs.add(&known.counted_share());
                inner.processes += known.counted_processes();
                known.changed.send_replace(());
            }
            None => {
                let summary = Arc::new(summary);
                let changed = watch::Sender::new(());
                let new = Host { summary, heard_us, latest, previous: None, share, changed };
                inner.programs.add(&new.counted_share());
                inner.processes += new.counted_processes();
                inner.hosts.insert(host, new);
            }
        }
        self.changed.send_modify(|version| *version += 1);
    }

    /// Takes from the history what the hosts' past hour was like before the first snapshot that came.
    pub fn recall(&self, peaks: &[CpuPeak]) {
        let mut inner = self.inner.write();
        for peak in peaks {
            if let Some(known) = inner.hosts.get_mut(&peak.host) {
                let summary = Arc::make_mut(&mut known.summary);
                summary.past_hour.take(peak.minute_us, peak.cpu_percent);
            }
        }
        drop(inner);
        self.changed.send_modify(|version| *version += 1);
    }

    /// When the host of a snapshot was heard of: now, or as before for a snapshot that is known; `None` for an unknown
    /// host.
    fn heard_us(&self, host: &HostName, stored_at_us: i64) -> Option<i64> {
        let inner = self.inner.read();
        let known = inner.hosts.get(host)?;
        let is_known = known.summary.last_seen_us == stored_at_us;
        Some(if is_known { known.heard_us } else { super::steady_us() })
    }

    /// Recomputes every host's state as time passes, at `now_us` as [`super::steady_us`] counts.
    pub fn age(&self, now_us: i64) {
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        let mut any = false;
        for host in inner.hosts.values_mut() {
            let quiet_us = now_us.saturating_sub(host.heard_us);
            let state = HostState::after(quiet_us, host.summary.interval_ms, Spacing::EverySample);
            if state == host.summary.state {
                continue;
            }
            any = true;
            inner.programs.subtract(&host.counted_share());
            inner.processes -= host.counted_processes();
            Arc::make_mut(&mut host.summary).state = state;
            inner.programs.add(&host.counted_share());
            inner.processes += host.counted_processes();
            host.changed.send_replace(());
        }
        if any {
            self.changed.send_modify(|version| *version += 1);
        }
    }

    /// Removes the hosts for which `is_to_leave` is true, given the host and when it was last heard of, by
    /// [`super::steady_us`]. Watchers of such a host are notified, and find it gone.
    pub fn leave_out(&self, is_to_leave: impl Fn(&HostName, i64) -> bool) {
        let is_gone = |host: &HostName, known: &Host| is_to_leave(host, known.heard_us);
        // Most often none is, and pages read meanwhile.
        if !self.inner.read().hosts.iter().any(|(host, known)| is_gone(host, known)) {
            return;
        }
        let mut inner = self.inner.write();
        let Inner { hosts, programs, processes } = &mut *inner;
        for (_, left) in hosts.extract_if(.., |host, known| is_gone(host, known)) {
            programs.subtract(&left.counted_share());
            *processes -= left.counted_processes();
            left.changed.send_replace(());
        }
        drop(inner);
        self.changed.send_modify(|version| *version += 1);
    }

    /// The fleet now, as far as it is in `scope`, with its `programs` busiest programs.
    pub fn view(&self, scope: &Scope, programs: usize) -> FleetView {
        let inner = self.inner.read();
        if scope.has_every_host() {
            let hosts = inner.hosts.values().map(|host| Arc::clone(&host.summary)).collect();
            return FleetView::new(hosts, inner.processes, inner.programs.busiest(programs), self.version());
        }
        let seen: Vec<&Host> =
            inner.hosts.iter().filter(|(host, _)| scope.sees(host)).map(|(_, known)| known).collect();
        let mut sums = Programs::default();
        let mut version = DefaultHasher::new();
        for host in &seen {
            sums.add(&host.counted_share());
            (&host.summary.host, host.summary.version(), host.summary.state.word()).hash(&mut version);
        }
        let processes = seen.iter().map(|host| host.counted_processes()).sum();
        let hosts = seen.iter().map(|host| Arc::clone(&host.summary)).collect();
        // Growth of the whole fleet's version would tell how many hosts there are.
        FleetView::new(hosts, processes, sums.busiest(programs), version.finish())
    }

    /// Another number when anything is another.
    pub fn version(&self) -> u64 {
        *self.changed.borrow()
    }

    /// How many hosts are known.
    pub fn host_count(&self) -> usize {
        self.inner.read().hosts.len()
    }

    /// One host's summary.
    pub fn summary(&self, host: &HostName) -> Option<Arc<Summary>> {
        self.inner.read().hosts.get(host).map(|known| Arc::clone(&known.summary))
    }

    /// One host now, decoded, as far as it is in `scope`; `None` when it is not, or was never heard of.
    pub fn moment(&self, scope: &Scope, host: &HostName) -> Option<Moment> {
        self.decoded(scope, host, &mut Decoder::new().ok()?)
    }

    /// [`Fleet::moment`] with a decoder for many hosts: making one takes as long as decoding 30 processes.
    pub(super) fn decoded(&self, scope: &Scope, host: &HostName, decoder: &mut Decoder) -> Option<Moment> {
        if !scope.sees(host) {
            return None;
        }
        let (summary, latest, previous) = {
            let inner = self.inner.read();
            let known = inner.hosts.get(host)?;
            (Arc::clone(&known.summary), known.latest.clone(), known.previous.clone())
        };
        let latest = latest.decode(decoder)?;
        let previous = previous.and_then(|kept| kept.decode(decoder));
        let moment = Moment { summary, pair: SnapshotPair::new(host.clone(), latest, previous) };
        Some(if scope.sees_command_lines(host) { moment } else { moment.without_command_lines() })
    }

    /// Tells of every change in the fleet.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells of every change of one host.
    pub fn watch_host(&self, host: &HostName) -> Option<watch::Receiver<()>> {
        self.inner.read().hosts.get(host).map(|known| known.changed.subscribe())
    }
}

impl Host {
    /// Its part of the fleet's programs: nothing unless it is up, because its processes are unknown then.
    fn counted_share(&self) -> std::borrow::Cow<'_, Share> {
        match self.summary.state {
            HostState::Up => std::borrow::Cow::Borrowed(&self.share),
            HostState::Silent | HostState::Down => std::borrow::Cow::Owned(Share::new()),
        }
    }

    fn counted_processes(&self) -> u64 {
        if self.summary.state == HostState::Up { u64::from(self.summary.process_count) } else { 0 }
    }
}

impl Kept {
    fn decode(&self, decoder: &mut Decoder) -> Option<Arc<Snapshot>> {
        if let Some(decoded) = &self.decoded {
            return Some(Arc::clone(decoded));
        }
        // Its times were judged when it came.
        decoder.decode(&self.message, i64::MAX).ok().map(Arc::new)
    }
}
