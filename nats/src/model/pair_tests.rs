use proptest::prelude::*;

use super::*;

/// Of a process: pid, start, bytes read.
type Given = (u32, i64, Option<u64>);

fn snapshot(boot_id: &str, monotonic_ms: u64, processes: &[Given]) -> Snapshot {
    let process = |&(pid, started_at_us, read_bytes): &Given| Process {
        pid,
        started_at_us,
        read_bytes,
        ..Process::default()
    };
    let processes = processes.iter().map(process).collect();
    Snapshot { boot_id: boot_id.to_owned(), monotonic_ms, processes, ..Snapshot::default() }
}

fn pair(previous: Option<Snapshot>, latest: Snapshot) -> SnapshotPair {
    SnapshotPair::new("h".parse().unwrap(), Arc::new(latest), previous.map(Arc::new))
}

fn read_per_s(pair: &SnapshotPair) -> Vec<Option<f64>> {
    pair.processes().map(|view| view.rates().named("read_bytes")).collect()
}

/// A host that had received this many bytes, this long after its boot.
fn received(monotonic_ms: u64, bytes: u64) -> Snapshot {
    let host = HostSample { network_received_bytes: Some(bytes), ..HostSample::default() };
    Snapshot { host, ..snapshot("b", monotonic_ms, &[]) }
}

fn received_per_s(pair: &SnapshotPair) -> Option<f64> {
    pair.host_rate(|host| host.network_received_bytes)
}

#[test]
fn rates_are_differences_of_the_same_process_and_absent_when_unknown() {
    let earlier =
        snapshot("b", 1_000, &[(1, 5, Some(100)), (2, 5, Some(100)), (3, 5, Some(900)), (4, 5, None)]);
    let later = snapshot(
        "b",
        3_000,
        &[(1, 5, Some(300)), (2, 6, Some(300)), (3, 5, Some(0)), (4, 5, Some(7)), (5, 5, Some(1))],
    );
    let both = pair(Some(earlier.clone()), later.clone());
    assert_eq!(read_per_s(&both), [Some(100.0), None, None, None, None]);
    assert_eq!(read_per_s(&pair(None, later.clone())), [None; 5]);
    assert_eq!(read_per_s(&pair(Some(later), earlier)), [None; 4], "out of order");
}

#[test]
fn a_counter_is_also_found_by_its_place_in_the_declaration() {
    let both = pair(Some(snapshot("b", 1_000, &[(1, 5, Some(1))])), snapshot("b", 2_000, &[(1, 5, Some(9))]));
    let view = both.processes().next().unwrap();
    let place = |name| PROCESS.iter().position(|field| field.name == name).unwrap();
    assert_eq!(view.rate_at(place("read_bytes")), Some(8.0));
    assert_eq!((view.rate_at(place("written_bytes")), view.rate_at(place("name"))), (None, None));
}

#[test]
fn a_counter_that_is_too_large_to_be_stored_has_no_rate() {
    let both = pair(
        Some(snapshot("b", 1_000, &[(1, 5, Some(u64::MAX))])),
        snapshot("b", 2_000, &[(1, 5, Some(u64::MAX - 1))]),
    );
    assert_eq!(read_per_s(&both), [None]);
}

#[test]
fn a_snapshot_of_another_boot_is_no_previous_one() {
    let both = pair(Some(snapshot("a", 1_000, &[(1, 5, Some(1))])), snapshot("b", 3_000, &[(1, 5, Some(9))]));
    assert_eq!((both.previous(), both.elapsed_ms()), (None, None));
    assert_eq!(read_per_s(&both), [None]);
}

#[test]
fn another_run_of_the_agent_and_lost_snapshots_do_not_end_a_rate() {
    let earlier = Snapshot { run_id: "one".to_owned(), sequence: 70, ..received(1_000, 100) };
    let later = Snapshot { run_id: "two".to_owned(), sequence: 1, ..received(101_000, 1_100) };
    assert_eq!(received_per_s(&pair(Some(earlier), later)), Some(10.0));
}

#[test]
fn a_clock_that_is_set_back_changes_no_rate() {
    let earlier = Snapshot { captured_at_us: 9_000_000, ..received(1_000, 100) };
    let later = Snapshot { captured_at_us: 2_000_000, ..received(3_000, 300) };
    assert_eq!(received_per_s(&pair(Some(earlier), later)), Some(100.0));
}

#[test]
fn a_counter_of_the_host_that_wraps_around_has_no_rate() {
    let both = pair(Some(received(1_000, u64::from(u32::MAX))), received(2_000, 5));
    assert_eq!(received_per_s(&both), None);
}

#[test]
fn a_process_has_an_age_and_a_part_of_the_memory() {
    let mut latest = snapshot("b", 1_000, &[(1, 2_000_000, None), (2, 9_000_000, None)]);
    latest.captured_at_us = 5_000_000;
    latest.host.memory_total_bytes = Some(400);
    latest.processes[0].resident_bytes = Some(100);
    let pair = pair(None, latest);
    let views: Vec<_> = pair.processes().map(|view| (view.age_us(), view.memory_percent())).collect();
    assert_eq!(views, [(3_000_000, Some(25.0)), (0, None)]);
}

#[test]
fn an_edit_reaches_both_snapshots() {
    let both = pair(Some(received(1_000, 1)), received(2_000, 2));
    let edited = both.edited(|snapshot| snapshot.os_host_name = "x".to_owned());
    assert_eq!(edited.latest().os_host_name, "x");
    assert_eq!(edited.previous().map(|previous| previous.os_host_name.as_str()), Some("x"));
}

proptest! {
    #[test]
    fn rates_are_finite_and_not_negative_whatever_a_host_sends(
        before in (0..3_u8, any::<u64>(), any::<u64>()),
        after in (0..3_u8, any::<u64>(), any::<u64>()),
    ) {
        let given = |(boot, monotonic_ms, bytes): (u8, u64, u64)| {
            snapshot(&boot.to_string(), monotonic_ms, &[(1, 5, Some(bytes))])
        };
        let both = pair(Some(given(before)), given(after));
        for rate in read_per_s(&both).into_iter().flatten() {
            prop_assert!(rate.is_finite() && rate >= 0.0);
            prop_assert!(before.0 == after.0 && before.1 < after.1 && before.2 <= after.2);
        }
    }
}
