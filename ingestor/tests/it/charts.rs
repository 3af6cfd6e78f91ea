//! Charts, the programs that made up the use of a host, and restart loops, on hosts whose use is known.

use std::path::Path;

use fleetps_ingestor::{
    events::{Detector, MessagePlace},
    history::{BreakdownOf, EventKind, EventQuery, Extent, History, Identity, Span},
    merge_folder,
    segment::{SegmentRows, seal},
};
use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{HostSample, Process},
};

/// 2026-11-20 00:00 UTC.
const BEGIN_US: i64 = 1_795_132_800_000_000;
const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const MIB: u64 = 1 << 20;

fn host() -> HostName {
    "web-01".parse().unwrap()
}

fn span(from_s: i64, to_s: i64) -> Span {
    Span { from_us: BEGIN_US + from_s * SECOND_US, to_us: BEGIN_US + to_s * SECOND_US }
}

fn process(pid: u32, name: &str, started_s: i64) -> Process {
    Process {
        pid,
        name: name.to_owned(),
        parent_pid: Some(1),
        unit: Some(format!("{name}.service")),
        started_at_us: BEGIN_US + started_s * SECOND_US,
        ..Process::default()
    }
}

/// A snapshot this many seconds after the beginning, by a host that has been up for an hour more.
fn snapshot(second: i64, processes: Vec<Process>) -> Snapshot {
    Snapshot {
        boot_id: "boot".to_owned(),
        run_id: "run".to_owned(),
        captured_at_us: BEGIN_US + second * SECOND_US,
        interval_ms: 10_000,
        monotonic_ms: u64::try_from((second + 3600) * 1000).unwrap(),
        host: HostSample { network_sent_bytes: u64::try_from(second * 100).ok(), ..HostSample::default() },
        processes,
        ..Snapshot::default()
    }
}

/// Seals the snapshots as fresh segments of ten.
fn seal_all(folder: &Path, snapshots: impl IntoIterator<Item = Snapshot>) {
    let mut snapshots: Vec<_> = snapshots.into_iter().collect();
    let (mut sequence, mut detector) = (1, Detector::default());
    while !snapshots.is_empty() {
        let stored_us = snapshots[0].captured_at_us;
        let mut rows = SegmentRows::new(0, 1, sequence, stored_us);
        let mut events = Vec::new();
        for snapshot in snapshots.drain(..snapshots.len().min(10)) {
            let place =
                MessagePlace { partition: 0, epoch_s: 1, sequence, stored_at_us: snapshot.captured_at_us };
            events.extend(detector.snapshot(place, &host(), &snapshot));
            rows.push(sequence, stored_us, &host(), &snapshot);
            sequence += 1;
        }
        rows.set_events(events, detector.clock());
        seal(folder, &mut rows).unwrap();
    }
}

/// Asks as sealed, and again when everything is merged.
fn check(snapshots: impl IntoIterator<Item = Snapshot>, ask: impl Fn(&History)) {
    let folder = tempfile::tempdir().unwrap();
    seal_all(folder.path(), snapshots);
    let history = History::open(folder.path()).unwrap();
    ask(&history);
    assert!(merge_folder(folder.path()).unwrap() > 0);
    history.refresh().unwrap();
    ask(&history);
}

fn all_the_same(value: f64) -> Option<Extent> {
    Some(Extent { min: value, mean: value, max: value })
}

#[test]
fn a_host_has_exact_rates_and_its_gaps() {
    // Three minutes of samples, five of silence, two of samples; on average 100 bytes a second throughout.
    let seconds = (0..180).step_by(10).chain((480..600).step_by(10));
    check(seconds.map(|second| snapshot(second, Vec::new())), |history| {
        let metrics = history.host_metrics(&host(), span(60, 600), 9, &[]).unwrap();
        let begins: Vec<_> =
            metrics.points.iter().map(|point| (point.from_us - BEGIN_US) / MINUTE_US).collect();
        assert_eq!(begins, [1, 2, 8, 9]);
        for point in &metrics.points {
            assert_eq!((point.samples, point.extent("network_sent_bytes_per_s")), (6, all_the_same(100.0)));
            assert_eq!((point.extent("cpu_percent"), point.extent("disk_read_bytes_per_s")), (None, None));
        }
        assert_eq!(metrics.gaps, [span(170, 480)]);
        // A span inside the silence has nothing else.
        let silent = history.host_metrics(&host(), span(200, 300), 9, &[]).unwrap();
        assert_eq!((silent.points.len(), silent.gaps), (0, vec![span(200, 300)]));
    });
}

#[test]
fn what_is_in_no_segment_yet_counts_as_if_it_were() {
    // Silent for five minutes, with another boot from second 540 on.
    let seconds = (0..180).step_by(10).chain((480..600).step_by(10));
    let taken: Vec<Snapshot> = seconds
        .map(|second| {
            let mut snapshot = snapshot(second, Vec::new());
            snapshot.host.cpu_percent = Some(second as f32 / 10.0);
            if second >= 540 {
                snapshot.boot_id = "another".to_owned();
                snapshot.monotonic_ms -= 4_140_000;
                snapshot.host.network_sent_bytes = u64::try_from((second - 540) * 300).ok();
            }
            snapshot
        })
        .collect();
    let spans = [span(60, 600), span(200, 300), span(100, 490), span(500, 600), span(0, 1000)];
    let ask = |sealed: usize, newer: &[Snapshot]| {
        let folder = tempfile::tempdir().unwrap();
        seal_all(folder.path(), taken[..sealed].to_vec());
        // Another host has later snapshots, so that this one seems to be silent.
        let mut rows = SegmentRows::new(0, 1, 1000, BEGIN_US);
        rows.push(1000, BEGIN_US, &"web-02".parse().unwrap(), &snapshot(600, Vec::new()));
        seal(folder.path(), &mut rows).unwrap();
        let history = History::open(folder.path()).unwrap();
        spans.map(|span| history.host_metrics(&host(), span, 9, newer).unwrap())
    };
    let all_sealed = ask(taken.len(), &[]);
    assert_eq!(all_sealed[0].gaps, [span(170, 480)]);
    for sealed in [0_usize, 5, 17, 18, 19, 24, 25, 29] {
        // Some of them are in a segment meanwhile, and the first rate needs the one before.
        let newer = &taken[sealed.saturating_sub(3)..];
        assert_eq!(ask(sealed, newer), all_sealed, "{sealed} sealed");
    }
}

#[test]
fn a_process_has_its_cpu_use_from_its_start() {
    // A core and a half from second 95 on; first seen at 100.
    let busy = |second: i64| Process {
        cpu_time_ms: u64::try_from((second - 95) * 1500).ok(),
        resident_bytes: Some(if second == 150 { 9 * MIB } else { MIB }),
        ..process(7, "busy", 95)
    };
    let at = |second| snapshot(second, if second < 100 { Vec::new() } else { vec![busy(second)] });
    check((0..300).step_by(10).map(at), |history| {
        let started_at_us = BEGIN_US + 95 * SECOND_US;
        let identity =
            Identity::of(&host(), "boot", &Process { pid: 7, started_at_us, ..Process::default() });
        let metrics = history.process_metrics(&identity, span(0, 300), 3).unwrap();
        assert_eq!(metrics.points.len(), 2);
        assert!(metrics.points.iter().all(|point| point.extent("cpu_percent") == all_the_same(150.0)));
        assert_eq!(metrics.points[0].extent("resident_bytes").map(|bytes| bytes.max), Some((9 * MIB) as f64));
        assert_eq!(metrics.points[1].extent("resident_bytes"), all_the_same(MIB as f64));
        assert_eq!((metrics.points[0].extent("virtual_bytes"), metrics.gaps.len()), (None, 0));
        // Another start is another process.
        let other = Identity { start: identity.start + 1, ..identity };
        assert_eq!(history.process_metrics(&other, span(0, 300), 3).unwrap().points, []);
    });
}

#[test]
fn a_breakdown_names_the_programs_that_used_most() {
    // Half a core and 10 MiB all the time, by two processes; a core and 30 MiB in the second half; and a little by another.
    let processes = |second: i64| {
        let used = |process: Process, since_s: i64, percent: i64, mib: u64| Process {
            cpu_time_ms: u64::try_from((second - since_s) * percent * 10).ok(),
            resident_bytes: Some(mib * MIB),
            ..process
        };
        let mut processes = vec![
            used(process(1, "steady", -5000), -5000, 20, 4),
            used(process(2, "steady", -5000), -5000, 30, 6),
            used(process(3, "little", -5000), -5000, 1, 1),
        ];
        if second >= 1800 {
            processes.push(used(process(4, "late", 1790), 1790, 100, 30));
        }
        processes
    };
    check((0..3600).step_by(10).map(|second| snapshot(second, processes(second))), |history| {
        let ask = |of, span| history.breakdown(&host(), span, of, 2, 2).unwrap();
        let cpu = ask(BreakdownOf::Cpu, span(0, 3600));
        assert_eq!(cpu.bounds_us, [0, 30, 60].map(|minute| BEGIN_US + minute * MINUTE_US));
        let names: Vec<_> = cpu.layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["late", "steady"]);
        assert_eq!(cpu.layers[0].values, [Some(0.0), Some(100.0)]);
        assert_eq!(cpu.layers[1].values, [Some(50.0), Some(50.0)]);
        assert_eq!(cpu.other, [Some(1.0), Some(1.0)]);
        let memory = ask(BreakdownOf::Memory, span(0, 3600));
        let mib: Vec<Vec<_>> = memory
            .layers
            .iter()
            .map(|layer| layer.values.iter().map(|bytes| bytes.map(|bytes| bytes as u64 / MIB)).collect())
            .collect();
        assert_eq!(mib, [[Some(0), Some(30)], [Some(10), Some(10)]]);
        // Over days the sums of hours answer, and say nothing of hours without samples.
        let days = ask(BreakdownOf::Cpu, span(-86_400, 86_400));
        assert_eq!(days.bounds_us.len(), 3);
        assert_eq!(days.layers[0].values.first(), Some(&None));
        assert_eq!(days.other.get(1), Some(&Some(1.0)));
    });
}

#[test]
fn a_service_that_is_started_again_and_again_is_one_event() {
    // A new process every half minute, that lives for 20 s.
    let crashing = |second: i64| {
        let start = second / 30 * 30;
        if second - start < 20 {
            vec![process(u32::try_from(start).unwrap() + 5, "crashing", start)]
        } else {
            Vec::new()
        }
    };
    check((0..300).step_by(10).map(|second| snapshot(second, crashing(second))), |history| {
        let of = |kind| {
            let of_host = EventQuery { host: Some(host()), ..EventQuery::of(span(0, 300), 100) };
            history.events(&EventQuery { kinds: vec![kind], ..of_host }).unwrap().items
        };
        // The first one was there already.
        assert_eq!((of(EventKind::Started).len(), of(EventKind::Exited).len()), (9, 10));
        let loops = of(EventKind::RestartLoop);
        assert_eq!(loops.len(), 1);
        assert_eq!(loops[0].detail(), "started 6 times within 2m 30s, lives 20s (crashing.service)");
        let newest = history.events(&EventQuery::of(span(0, 300), 2)).unwrap();
        assert_eq!((newest.items.len(), newest.total), (2, Some(20)));
        assert_eq!(newest.items[0].at_us, BEGIN_US + 290 * SECOND_US);
    });
}

#[test]
fn another_kernel_or_agent_is_an_event() {
    let at = |second: i64| {
        let mut snapshot = snapshot(second, Vec::new());
        snapshot.agent_version = if second < 100 { "0.1.0" } else { "0.2.0" }.to_owned();
        let is_new = second >= 200;
        snapshot.host_info.kernel = Some(if is_new { "Linux 7" } else { "Linux 6" }.to_owned());
        snapshot.host_info.cores = Some(if is_new { 8 } else { 4 });
        snapshot.boot_id = if is_new { "boot 2" } else { "boot 1" }.to_owned();
        snapshot
    };
    check((0..300).step_by(10).map(at), |history| {
        let events = history
            .events(&EventQuery { host: Some(host()), ..EventQuery::of(span(50, 300), 100) })
            .unwrap()
            .items;
        let told: Vec<_> = events
            .iter()
            .map(|event| ((event.at_us - BEGIN_US) / SECOND_US, event.kind, event.detail()))
            .collect();
        assert_eq!(
            told,
            [
                (200, EventKind::HostChanged, "cores: 4 → 8; kernel: Linux 6 → Linux 7".to_owned()),
                (200, EventKind::Booted, String::new()),
                (100, EventKind::AgentChanged, "agent version: 0.1.0 → 0.2.0".to_owned()),
            ]
        );
    });
}
