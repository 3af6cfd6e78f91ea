//! The expected answers about a moment.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use fleetps_ingestor::history::{History, NoSnapshot, PastSnapshot, Resolution, SnapshotLookup, Span};
use fleetps_nats::{HostName, Snapshot, model::SnapshotPair};

use crate::fleet::Published;

/// The snapshots of a host, in the order in which they were captured.
pub fn snapshots_of<'a>(published: &'a [Published], host: &HostName) -> Vec<&'a Snapshot> {
    let mut snapshots: Vec<_> = published
        .iter()
        .filter(|published| published.host == *host)
        .map(|published| &published.snapshot)
        .collect();
    snapshots.sort_by_key(|snapshot| snapshot.captured_at_us);
    snapshots
}

/// How much of the past is kept.
pub struct Kept {
    resolution: Resolution,
    /// Which snapshots have their process table: those captured then.
    tables_us: HashMap<HostName, BTreeSet<i64>>,
}

impl Kept {
    /// Everything.
    pub fn all(published: &[Published]) -> Self {
        let mut tables_us: HashMap<HostName, BTreeSet<i64>> = HashMap::new();
        for Published { host, snapshot, .. } in published {
            tables_us.entry(host.clone()).or_default().insert(snapshot.captured_at_us);
        }
        Self { resolution: Resolution::Samples, tables_us }
    }

    /// The process tables that a thinned history has: of every minute the last one, and where a minute lies in two
    /// segments, one of each.
    pub fn thinned(history: &History, published: &[Published]) -> Self {
        let everything = Span { from_us: i64::MIN, to_us: i64::MAX };
        let mut tables_us = HashMap::new();
        for (host, all_us) in Self::all(published).tables_us {
            let kept = history.snapshots(&host, everything, usize::MAX >> 1).unwrap().items;
            let kept: BTreeSet<i64> = kept.into_iter().collect();
            assert!(kept.is_subset(&all_us));
            let minute = |us: &&i64| us.div_euclid(60_000_000);
            let last_of_minute =
                |us: &&i64| all_us.range(**us + 1..).next().as_ref().map(minute) != Some(minute(us));
            assert!(all_us.iter().filter(last_of_minute).all(|us| kept.contains(us)));
            tables_us.insert(host, kept);
        }
        Self { resolution: Resolution::Minutes, tables_us }
    }

    /// Whether a snapshot is so near before a moment that the host was then as it says.
    fn says_how_it_was(&self, snapshot: &Snapshot, at_us: i64) -> bool {
        let least_us = if self.resolution == Resolution::Samples { 0 } else { 180_000_000 };
        at_us - snapshot.captured_at_us <= least_us.max(3000 * i64::from(snapshot.interval_ms))
    }
}

/// The last of `snapshots` at or before a moment with the one before it, and when the first one after it was captured.
fn around<'a>(
    snapshots: &[&'a Snapshot],
    at_us: i64,
) -> (Option<&'a Snapshot>, Option<&'a Snapshot>, Option<i64>) {
    let after = snapshots.partition_point(|snapshot| snapshot.captured_at_us <= at_us);
    let at = |back: usize| after.checked_sub(back).map(|place| snapshots[place]);
    (at(2), at(1), snapshots.get(after).map(|snapshot| snapshot.captured_at_us))
}

fn silence(before_us: i64, after_us: Option<i64>) -> NoSnapshot {
    match after_us {
        Some(after_us) => NoSnapshot::Gap { before_us, after_us },
        None => NoSnapshot::AfterLast { last_us: before_us },
    }
}

/// What the history should say of a moment.
pub fn at_moment(published: &[Published], kept: &Kept, host: &HostName, at_us: i64) -> SnapshotLookup {
    let snapshots = snapshots_of(published, host);
    let has_table = |snapshot: &&Snapshot| {
        kept.tables_us.get(host).is_some_and(|tables_us| tables_us.contains(&snapshot.captured_at_us))
    };
    let tables: Vec<&Snapshot> = snapshots.iter().copied().filter(has_table).collect();
    let (earlier, table, later_us) = around(&tables, at_us);
    if let Some(snapshot) = table.filter(|table| kept.says_how_it_was(table, at_us)) {
        return SnapshotLookup::Snapshot(Box::new(PastSnapshot {
            pair: SnapshotPair::new(
                host.clone(),
                Arc::new(snapshot.clone()),
                earlier
                    .filter(|earlier| earlier.boot_id == snapshot.boot_id)
                    .map(|earlier| Arc::new(earlier.clone())),
            ),
            earlier_us: earlier.map(|earlier| earlier.captured_at_us),
            later_us,
            resolution: kept.resolution,
        }));
    }
    let (_, sample, next_us) = around(&snapshots, at_us);
    SnapshotLookup::Nothing(match (sample, table) {
        (None, _) => next_us.map_or(NoSnapshot::UnknownHost, |first_us| NoSnapshot::BeforeFirst { first_us }),
        (Some(sample), _) if !kept.says_how_it_was(sample, at_us) => silence(sample.captured_at_us, next_us),
        (Some(_), Some(table)) => silence(table.captured_at_us, later_us),
        (Some(_), None) => NoSnapshot::OnlyHours { after_us: later_us },
    })
}
