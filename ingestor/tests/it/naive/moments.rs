//! What the history should say of a moment.

use fleetps_ingestor::history::{AtMoment, NoSnapshot, PastSnapshot, Resolution};
use fleetps_nats::{HostName, Snapshot, snapshot::HostInfo};

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

/// What the history should say of a moment, where every sample is kept.
pub fn at_moment(published: &[Published], host: &HostName, at_us: i64) -> AtMoment {
    let snapshots = snapshots_of(published, host);
    let after = snapshots.partition_point(|snapshot| snapshot.captured_at_us <= at_us);
    let captured = |place: usize| snapshots.get(place).map(|snapshot| snapshot.captured_at_us);
    let Some(place) = after.checked_sub(1) else {
        let first_us = captured(0);
        return AtMoment::Nothing(
            first_us.map_or(NoSnapshot::UnknownHost, |first_us| NoSnapshot::BeforeFirst { first_us }),
        );
    };
    let snapshot = snapshots[place];
    if at_us - snapshot.captured_at_us > 3000 * i64::from(snapshot.interval_ms) {
        let before_us = snapshot.captured_at_us;
        return AtMoment::Nothing(match captured(after) {
            Some(after_us) => NoSnapshot::Gap { before_us, after_us },
            None => NoSnapshot::AfterLast { last_us: before_us },
        });
    }
    let earlier = place.checked_sub(1).map(|place| snapshots[place]);
    AtMoment::Snapshot(Box::new(PastSnapshot {
        snapshot: snapshot.clone(),
        previous: earlier.filter(|earlier| earlier.boot_id == snapshot.boot_id).map(for_rates),
        earlier_us: earlier.map(|earlier| earlier.captured_at_us),
        later_us: captured(after),
        resolution: Resolution::Samples,
    }))
}

/// What a history tells of the snapshot before.
fn for_rates(snapshot: &Snapshot) -> Snapshot {
    Snapshot {
        os_host_name: String::new(),
        agent_version: String::new(),
        host_info: HostInfo::default(),
        filesystems: Vec::new(),
        ..snapshot.clone()
    }
}
