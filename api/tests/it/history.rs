//! A history to look at.

use fleetps::testing::live::now_us;
use fleetps_nats::{Snapshot, snapshot::Process};

use crate::support::{Site, process, snapshot};

/// Seconds between two snapshots.
pub const STEP_US: i64 = 10_000_000;

/// A site that has only a past.
pub struct PastSite {
    pub site: Site,
    /// When the first snapshot was captured.
    pub begin_us: i64,
}

impl PastSite {
    /// Over these snapshots, each of a host, in one segment.
    pub fn of(begin_us: i64, snapshots: Vec<(&str, Snapshot)>) -> Self {
        Self { site: Site::with_history(vec![snapshots]), begin_us }
    }

    /// An hour ago, for two minutes, on two hosts: see [`table`].
    pub fn usual() -> Self {
        let begin_us = (now_us() - 3_600_000_000) / 1_000_000 * 1_000_000;
        let all = (0..12).flat_map(|step| {
            let at = |processes| Snapshot {
                captured_at_us: begin_us + i64::from(step) * STEP_US,
                ..snapshot(i64::from(step) + 1, processes)
            };
            [
                ("web-1", at(table(begin_us, step))),
                ("web-2", at(vec![process(1, 0, "init"), process(77, 1, "nginx")])),
            ]
        });
        Self::of(begin_us, all.collect())
    }

    /// The moment of a step, as URLs have it.
    pub fn at(&self, step: i64) -> String {
        fleetps::testing::display::time_exact(self.begin_us + step * STEP_US)
    }
}

/// The processes of web-1: a worker of nginx uses a tenth of a core and grows, cron is started at step 6, and a second
/// worker is gone from step 8 on.
pub fn table(begin_us: i64, step: i32) -> Vec<Process> {
    let steps = u64::try_from(step).unwrap();
    let worker = Process {
        cpu_percent: Some(10.0),
        cpu_time_ms: Some(50_000 + steps * 1_000),
        resident_bytes: Some((20 + steps * 2) << 20),
        read_bytes: Some(steps * 4096),
        user_name: Some("www-data".to_owned()),
        unit: Some("nginx.service".to_owned()),
        ..process(11, 10, "worker")
    };
    let mut all = vec![process(1, 0, "init"), process(10, 1, "nginx"), worker];
    if step >= 6 {
        all.push(Process { started_at_us: begin_us + 55_000_000, ..process(30, 1, "cron") });
    }
    if step < 8 {
        all.push(process(12, 10, "worker"));
    }
    all
}
