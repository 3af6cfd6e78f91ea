//! Every host that was ever heard of in what the broker keeps, with its latest and its previous snapshot.
//!
//! Snapshots stay compressed (about 9 KB for 300 processes, so 10,000 hosts take some 200 MB) and are decoded when a
//! page asks; while a page watches a host, the intake's decoded snapshot is kept.
//!
//! The lock is held to look something up, to put a snapshot in, or to take references to what all hosts have. Decoding,
//! adding up and sorting come after it, so that no page and no snapshot waits for another page. What takes as long as
//! there are hosts says so, and is not called on the threads that serve requests.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use fleetps_ingestor::history::{CpuPeak, Scope};
use fleetps_nats::{
    HostName, Snapshot,
    model::{HostState, Spacing},
    snapshot::{Decoder, Sent},
};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::{
    Moment, Position, Summary,
    fleet_changes::FleetChanges,
    fleet_state::{FleetState, Host, Sampled},
    fleet_view::{FleetView, Taken},
    kept::{KeptHost, KeptSnapshot, UndecodedHost},
    programs::{self, Programs, Share},
    tally::Names,
    tracked::{TrackedHost, Tracking},
};

/// Minutes of hosts that are recalled while others wait: some hundred microseconds.
const RECALLED_AT_ONCE: usize = 600;

/// The present state of all hosts, shared by all pages.
#[derive(Debug)]
pub struct Fleet {
    inner: RwLock<FleetState>,
    /// The hosts whose metrics are read.
    tracking: Tracking,
    /// The names of users and units.
    names: Names,
    /// Counts the changes; starts at a number of its own in every run, so that a page of an earlier run never
    /// matches.
    changed: watch::Sender<u64>,
}

/// What a host's metrics are made of.
#[derive(Debug)]
pub struct MeasuredHost {
    /// Its summary.
    pub summary: Arc<Summary>,
    /// Its programs, by the latest snapshot; none unless it is up.
    pub programs: Share,
    /// Its figures and counters; absent unless it is up.
    pub tracked: Option<TrackedHost>,
}

impl Default for Fleet {
    fn default() -> Self {
        let version = u64::try_from(super::now_us()).unwrap_or_default();
        let inner = FleetState { version, ..FleetState::default() };
        Self {
            inner: RwLock::new(inner),
            tracking: Tracking::default(),
            names: Names::default(),
            changed: watch::Sender::new(version),
        }
    }
}

impl Fleet {
    /// Takes a host's new snapshot that no stream has.
    pub fn take(&self, host: HostName, message: &[u8], snapshot: Snapshot, sent: Sent) {
        self.take_at(Position::default(), host, message, snapshot, sent);
    }

    /// Takes a host's new snapshot at a place of the stream: `message` as it came, and decoded. One that was sent again
    /// changes nothing.
    pub fn take_at(
        &self,
        position: Position,
        host: HostName,
        message: &[u8],
        snapshot: Snapshot,
        sent: Sent,
    ) {
        let stored_at_us = sent.stored_at_us;
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
        let now_us = stored_at_us.saturating_add(quiet_us);
        let summary = Summary { position, ..Summary::new(host.clone(), &snapshot, stored_at_us, now_us) };
        self.tracking.take(&host, &snapshot, steady_us);
        let tally = Arc::new(self.names.tally(&snapshot));
        let snapshot = Arc::new(snapshot);
        let boot_at_us = snapshot.host_info.boot_at_us;
        let latest = KeptSnapshot { message: message.into(), sent, boot_at_us, decoded: None };
        let mut inner = self.inner.write();
        inner.heard_until_us = inner.heard_until_us.max(stored_at_us);
        inner.position = if position.is_behind(inner.position) { position } else { inner.position };
        let share = inner.totals.programs.share_of(&snapshot);
        inner.put(host, Sampled { summary, heard_us, latest, decoded: snapshot, share, tally });
        self.has_changed(&mut inner);
    }

    /// Takes a snapshot of a host that is watched, which is in no stream: as the last one that is, with newer values.
    /// One that comes late, or of another run, is left alone.
    pub fn take_sharp(&self, host: HostName, message: &[u8], snapshot: Snapshot, sent: Sent) {
        let Some(known) = self.summary(&host) else { return };
        let is_later = snapshot.run_id == known.run_id
            && snapshot.sequence >= known.sequence
            && snapshot.captured_at_us > known.captured_at_us;
        if is_later && !known.is_paused {
            self.take_at(known.position, host, message, snapshot, sent);
        }
    }

    /// Whether somebody watches this host.
    pub fn is_watched(&self, host: &HostName) -> bool {
        self.inner.read().hosts.get(host).is_some_and(|known| known.changed.receiver_count() > 0)
    }

    /// The hosts that somebody watches. Takes as long as there are hosts.
    pub fn watched_hosts(&self) -> Vec<HostName> {
        let inner = self.inner.read();
        let watched = inner.hosts.iter().filter(|(_, known)| known.changed.receiver_count() > 0);
        watched.map(|(host, _)| host.clone()).collect()
    }

    /// Counts a change, while nobody can look: what is seen with a version is always the same.
    fn has_changed(&self, inner: &mut FleetState) {
        inner.version += 1;
        self.changed.send_replace(inner.version);
    }

    /// Takes from the history what the hosts' past hour was like before the first snapshot that came.
    /// Takes as long as there are hosts, and the lock for some of them at a time.
    pub fn recall(&self, peaks: &[CpuPeak]) {
        for some in peaks.chunks(RECALLED_AT_ONCE) {
            let mut inner = self.inner.write();
            for peak in some {
                if let Some(known) = inner.hosts.get_mut(&peak.host) {
                    let summary = Arc::make_mut(&mut known.summary);
                    summary.past_hour.take(peak.minute_us, peak.cpu_percent);
                }
            }
            self.has_changed(&mut inner);
        }
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
    /// Takes as long as there are hosts.
    pub fn age(&self, now_us: i64) {
        let state_of = |host: &Host| {
            let quiet_us = now_us.saturating_sub(host.heard_us);
            HostState::after(quiet_us, host.summary.interval_ms, Spacing::EverySample)
                .or_paused(host.summary.is_paused)
        };
        // Most often none has another, and pages read meanwhile.
        if self.inner.read().hosts.values().all(|host| state_of(host) == host.summary.state) {
            return;
        }
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        let next_version = inner.version + 1;
        for host in inner.hosts.values_mut() {
            let state = state_of(host);
            if state == host.summary.state {
                continue;
            }
            host.changed_in = next_version;
            inner.totals.subtract(host);
            Arc::make_mut(&mut host.summary).state = state;
            inner.totals.add(host);
            host.changed.send_replace(());
        }
        self.has_changed(inner);
    }

    /// Removes the hosts that were not heard of for `down_for`, at `now_us` as [`super::steady_us`] counts, and those of
    /// which `is_ended` says that they were revoked or forgotten. Watchers of such a host are notified, and find it gone.
    /// Takes as long as there are hosts.
    pub fn leave_out(&self, now_us: i64, down_for: Duration, is_ended: impl Fn(&HostName) -> bool) {
        let longest_us = i64::try_from(down_for.as_micros()).unwrap_or(i64::MAX);
        let is_gone = |host: &HostName, known: &Host| {
            // A paused host says nothing because it is asked to.
            let is_silent = !known.summary.is_paused && now_us.saturating_sub(known.heard_us) > longest_us;
            is_silent || is_ended(host)
        };
        // Most often none is, and pages read meanwhile.
        {
            let inner = self.inner.read();
            let is_any_gone = inner.hosts.iter().any(|(host, known)| is_gone(host, known));
            if !is_any_gone && !inner.left_out.hosts().any(&is_ended) {
                return;
            }
        }
        let mut inner = self.inner.write();
        let next_version = inner.version + 1;
        let FleetState { hosts, totals, left_out, gone, .. } = &mut *inner;
        left_out.set_after(down_for);
        for (host, left) in hosts.extract_if(.., |host, known| is_gone(host, known)) {
            totals.subtract(&left);
            left.changed.send_replace(());
            gone.add(next_version, &left.summary);
            left_out.add(host);
        }
        left_out.retain(|host| !is_ended(host));
        self.has_changed(&mut inner);
    }

    /// The fleet now, as far as it is in `scope`, with its `programs` busiest programs. Takes as long as there are hosts.
    pub fn view(&self, scope: &Scope, programs: usize) -> FleetView {
        if !scope.has_every_host() {
            return self.part(scope, programs);
        }
        let (taken, all_programs) = {
            let inner = self.inner.read();
            let taken = Taken {
                hosts: inner.hosts.values().map(|host| Arc::clone(&host.summary)).collect(),
                processes: inner.totals.processes,
                left_out: inner.left_out.hosts().count(),
                down_for: inner.left_out.after(),
                version: inner.version,
            };
            (taken, if programs > 0 { inner.totals.programs.all() } else { Vec::new() })
        };
        taken.with(programs::busiest(all_programs, programs))
    }

    /// The same of a part of the fleet, whose programs are added up for it.
    fn part(&self, scope: &Scope, programs: usize) -> FleetView {
        let (mut taken, shares) = {
            let inner = self.inner.read();
            let seen = || inner.hosts.iter().filter(|(host, _)| scope.sees(host)).map(|(_, known)| known);
            let shares: Vec<Share> = seen().map(Host::counted_share).collect();
            let taken = Taken {
                hosts: seen().map(|host| Arc::clone(&host.summary)).collect(),
                processes: seen().map(Host::counted_processes).sum(),
                left_out: inner.left_out.hosts().filter(|host| scope.sees(host)).count(),
                down_for: inner.left_out.after(),
                version: 0,
            };
            (taken, shares)
        };
        // Growth of the whole fleet's version would tell how many hosts there are.
        let mut version = DefaultHasher::new();
        for summary in &taken.hosts {
            (&summary.host, &summary.run_id, summary.sequence, summary.state.word()).hash(&mut version);
        }
        taken.left_out.hash(&mut version);
        taken.version = version.finish();
        let mut sums = Programs::default();
        shares.iter().filter(|_| programs > 0).for_each(|share| sums.add(share));
        taken.with(programs::busiest(sums.all(), programs))
    }

    /// The hosts in `scope` that are others than in the version `since` of the fleet, and those that went; every host where
    /// that is not known, or there is no such version. Takes as long as there are hosts.
    pub fn changes(&self, scope: &Scope, since: Option<u64>) -> FleetChanges {
        let inner = self.inner.read();
        let since = since.filter(|since| inner.gone.knows_since(*since) && *since <= inner.version);
        let mut changes = FleetChanges {
            version: inner.version,
            position: inner.position,
            is_whole: since.is_none(),
            left_out: inner.left_out.hosts().filter(|host| scope.sees(host)).count(),
            ..FleetChanges::default()
        };
        let from = since.unwrap_or_default();
        for (_, known) in inner.hosts.iter().filter(|(host, _)| scope.sees(host)) {
            changes.taken += known.summary.taken;
            if since.is_none() || known.changed_in > from {
                changes.sampled += u64::from(known.sampled_in > from);
                changes.hosts.push(Arc::clone(&known.summary));
            }
        }
        if let Some(since) = since {
            let is_back = |host: &HostName| inner.hosts.contains_key(host);
            inner.gone.since(since, |host| scope.sees(host), is_back, &mut changes);
        }
        changes
    }

    /// The snapshots of every host in `scope` that is up or silent, by name. Takes as long as there are hosts.
    pub(super) fn kept(&self, scope: &Scope) -> Vec<KeptHost> {
        let inner = self.inner.read();
        let is_seen =
            |(host, known): &(&HostName, &Host)| known.summary.state.is_current() && scope.sees(host);
        inner.hosts.iter().filter(is_seen).map(|(_, known)| known.kept()).collect()
    }

    /// What is known of every host in `scope` without decoding anything, by name. Takes as long as there are hosts.
    pub(super) fn known(&self, scope: &Scope) -> Vec<UndecodedHost> {
        let inner = self.inner.read();
        let seen = inner.hosts.iter().filter(|(host, _)| scope.sees(host));
        let known = |(_, known): (_, &Host)| UndecodedHost {
            kept: known.kept(),
            programs: known.counted_share(),
            tally: known.counted_tally(),
        };
        seen.map(known).collect()
    }

    /// The hosts in `scope` that `is_wanted`, by name, for their metrics: those that are up are tracked from now on. Takes as
    /// long as there are hosts, and longer at first, since their snapshots are decoded.
    pub fn metrics(&self, scope: &Scope, is_wanted: impl Fn(&HostName) -> bool) -> Vec<MeasuredHost> {
        let (wanted, now_us) = {
            let inner = self.inner.read();
            let is_seen = |host: &HostName| scope.sees(host) && is_wanted(host);
            let wanted = inner.hosts.iter().filter(|(host, _)| is_seen(host));
            let wanted: Vec<_> = wanted.map(|(_, known)| (known.kept(), known.counted_share())).collect();
            (wanted, super::steady_us())
        };
        let mut decoder = Decoder::new().ok();
        let metrics = wanted.into_iter().map(|(kept, programs)| {
            let summary = Arc::clone(&kept.summary);
            let tracked = (summary.state == HostState::Up).then(|| {
                let tracked = self.tracking.track(&summary.host, now_us);
                tracked.begin(|| kept.latest.decode(decoder.as_mut()?), now_us);
                tracked
            });
            MeasuredHost { summary, programs, tracked }
        });
        metrics.collect()
    }

    /// Another number when anything is another.
    pub fn version(&self) -> u64 {
        *self.changed.borrow()
    }

    /// How many hosts are known.
    pub fn host_count(&self) -> usize {
        self.inner.read().hosts.len()
    }

    /// When the broker stored the last snapshot of any host, in µs since 1970 UTC: until then, what hosts said is known.
    pub fn heard_until_us(&self) -> i64 {
        self.inner.read().heard_until_us
    }

    /// One host's summary.
    pub fn summary(&self, host: &HostName) -> Option<Arc<Summary>> {
        self.inner.read().hosts.get(host).map(|known| Arc::clone(&known.summary))
    }

    /// One host now, decoded, as far as it is in `scope`; `None` when it is not, or was never heard of.
    pub fn moment(&self, scope: &Scope, host: &HostName) -> Option<Moment> {
        if !scope.sees(host) {
            return None;
        }
        let kept = self.inner.read().hosts.get(host).map(Host::kept)?;
        let moment = kept.decode(&mut Decoder::new().ok()?)?;
        Some(if scope.sees_command_lines(host) { moment } else { moment.without_command_lines() })
    }

    /// Tells of every change in the fleet.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Until where the stream is taken in.
    pub fn position(&self) -> Position {
        self.inner.read().position
    }

    /// Tells of every change of one host.
    pub fn watch_host(&self, host: &HostName) -> Option<watch::Receiver<()>> {
        self.inner.read().hosts.get(host).map(|known| known.changed.subscribe())
    }
}
