use std::time::Duration;

use fleetps_nats::{
    HostName,
    snapshot::{Encoder, Process, Sent},
};

use fleetps_ingestor::history::FoundBy;

use super::*;
use crate::live::now_us;

const HOSTS: usize = 40;
const PROCESSES: u32 = 10;

/// Every host with two snapshots 10 s apart; the process with pid 7 of every fourth host reads 1,000 bytes a second.
fn fleet() -> Fleet {
    let fleet = Fleet::default();
    let mut encoder = Encoder::new().unwrap();
    for sequence in 1..=2 {
        for number in 0..HOSTS {
            let read = if number % 4 == 0 { 10_000 * sequence } else { 0 };
            let process = |pid| Process {
                pid,
                name: format!("worker-{}", pid % 2),
                command_line: Some("/bin/worker --secret".to_owned()),
                started_at_us: 1_790_000_000_000_000,
                read_bytes: Some(if pid == 7 { read } else { 0 }),
                ..Process::default()
            };
            let snapshot = Snapshot {
                format: fleetps_nats::snapshot::FORMAT,
                boot_id: "boot".to_owned(),
                run_id: "run".to_owned(),
                sequence,
                monotonic_ms: sequence * 10_000,
                interval_ms: 10_000,
                captured_at_us: now_us(),
                processes: (1..=PROCESSES).rev().map(process).collect(),
                ..Snapshot::default()
            };
            let message = encoder.encode(&snapshot).unwrap();
            fleet.take(host(number), &message, snapshot, Sent::new(now_us(), None));
        }
    }
    fleet
}

fn host(number: usize) -> HostName {
    format!("h{number:02}").parse().unwrap()
}

fn search(fleet: &Fleet, scope: &Scope, filter: &str, limit: usize) -> LiveSearch {
    let deadline = Deadline::after(Duration::from_secs(60));
    fleet.search(scope, &Filter::parse(filter).unwrap(), limit, &deadline)
}

fn places(search: &LiveSearch) -> Vec<(String, u32)> {
    let place = |found: &Found| (found.identity.host.to_string(), found.identity.pid);
    search.found.iter().map(place).collect()
}

#[test]
fn the_first_matches_come_by_host_and_pid_whichever_thread_found_them() {
    let fleet = fleet();
    let search = search(&fleet, &Scope::everything(), "worker-1", 12);
    let expected =
        [0, 1, 2].into_iter().flat_map(|number| [1, 3, 5, 7, 9].map(|pid| (host(number).to_string(), pid)));
    assert_eq!(places(&search), expected.take(12).collect::<Vec<_>>());
    assert_eq!((search.total, search.hosts, search.hosts_left), (5 * HOSTS as u64, HOSTS, 0));
}

#[test]
fn a_snapshot_before_is_decoded_only_where_something_needs_a_rate() {
    let fleet = fleet();
    let none = search(&fleet, &Scope::everything(), "name = nothing", 100);
    assert_eq!((none.total, none.decoded), (0, HOSTS));
    let one = search(&fleet, &Scope::everything(), "host = h08 and pid = 7", 100);
    assert_eq!((one.total, one.decoded), (1, HOSTS + 2));
    assert_eq!(one.found[0].rates.named("read_bytes"), Some(1_000.0), "it is shown");
    assert_eq!(one.found[0].process.command_line.as_deref(), Some("/bin/worker --secret"), "whole");
    let readers = search(&fleet, &Scope::everything(), "read > 1", 100);
    assert_eq!((readers.total, readers.decoded), (HOSTS as u64 / 4, 2 * HOSTS + 2 * HOSTS / 4));
    assert!(readers.found.iter().all(|found| found.rates.named("read_bytes") == Some(1_000.0)));
}

#[test]
fn the_first_matches_of_another_order_are_the_first_of_all_and_their_hosts_are_counted() {
    let fleet = fleet();
    let read =
        fleetps_nats::model::process::PROCESS.iter().position(|field| field.column == "read_bytes").unwrap();
    let by = |by, descending, limit| {
        let order = FoundOrder { by, descending };
        let deadline = Deadline::after(Duration::from_secs(60));
        let filter = Filter::parse("worker").unwrap();
        fleet.search_in_order(&Scope::everything(), &filter, (order, limit), &deadline)
    };
    let readers = by(FoundBy::Rate(read), true, 12);
    let hosts: Vec<String> = places(&readers).into_iter().map(|(host, _)| host).collect();
    let expected: Vec<String> = (0..10).map(|number| host(number * 4).to_string()).collect();
    assert_eq!(hosts[..10], expected);
    assert!(readers.found[..10].iter().all(|found| found.identity.pid == 7));
    assert_eq!((readers.total, readers.matching_hosts), (10 * HOSTS as u64, HOSTS as u64));
    let last = by(FoundBy::Host, true, 11);
    assert_eq!(places(&last)[0], ("h39".to_owned(), 1));
    assert_eq!(places(&last)[10], ("h38".to_owned(), 1));
}

#[test]
fn hosts_and_command_lines_outside_the_scope_are_not_searched() {
    let fleet = fleet();
    let hosts = [host(1), host(2)].into_iter().collect();
    let command_lines = [host(2)].into_iter().collect();
    let found = search(&fleet, &Scope::new(hosts, command_lines), "secret", 100);
    assert!(places(&found).iter().all(|(host, _)| host == "h02"), "{:?}", places(&found));
    assert_eq!((found.total, found.hosts), (u64::from(PROCESSES), 2));
}

#[test]
fn what_took_too_long_is_counted_as_not_searched() {
    let fleet = fleet();
    let deadline = Deadline::after(Duration::ZERO);
    let cut = fleet.search(&Scope::everything(), &Filter::parse("worker").unwrap(), 100, &deadline);
    assert_eq!((cut.total, cut.hosts, cut.hosts_left, cut.decoded), (0, 0, HOSTS, 0));
}
