use fleetps_nats::{
    Snapshot,
    snapshot::{Encoder, Process, Sent},
};

use super::*;
use crate::live::{now_us, steady_us};

const NO_GROUPS: &BTreeSet<String> = &BTreeSet::new();

/// A process of a program, user and unit of the same name.
fn process(pid: u32, name: &str, cpu_percent: f32) -> Process {
    Process {
        pid,
        name: name.to_owned(),
        user_name: Some(format!("{name}-user")),
        unit: Some(format!("{name}.service")),
        cpu_percent: Some(cpu_percent),
        started_at_us: 1_790_000_000_000_000,
        ..Process::default()
    }
}

fn fleet(hosts: &[(&str, Vec<Process>)]) -> Fleet {
    let (fleet, mut encoder) = (Fleet::default(), Encoder::new().unwrap());
    for (host, processes) in hosts {
        let snapshot = Snapshot {
            format: fleetps_nats::snapshot::FORMAT,
            boot_id: "boot".to_owned(),
            run_id: "run".to_owned(),
            sequence: 1,
            interval_ms: 10_000,
            captured_at_us: now_us(),
            processes: processes.clone(),
            ..Snapshot::default()
        };
        let message = encoder.encode(&snapshot).unwrap();
        fleet.take(host.parse().unwrap(), &message, snapshot, Sent::new(now_us(), None));
    }
    fleet
}

fn suggest(fleet: &Fleet, scope: &Scope, text: &str) -> Suggested {
    let words = text.split(' ').map(str::to_owned).collect();
    fleet.suggest(scope, &Wanted::of(words), |_| NO_GROUPS)
}

fn names(named: &[Named]) -> Vec<&str> {
    named.iter().map(|named| &*named.name).collect()
}

fn hosts(suggested: &Suggested) -> Vec<&str> {
    suggested.hosts.iter().map(|summary| summary.host.as_str()).collect()
}

#[test]
fn what_is_called_so_comes_before_what_begins_so_and_what_has_it_somewhere() {
    let pool = (10..19).map(|pid| process(pid, "my-java", 1.0));
    let processes = pool.chain([process(1, "java", 0.0), process(2, "javac", 0.0), process(3, "perl", 9.0)]);
    let fleet = fleet(&[("my-java-1", processes.collect()), ("java", vec![process(1, "Java", 5.0)])]);
    let suggested = suggest(&fleet, &Scope::everything(), "java");
    assert_eq!(hosts(&suggested), ["java", "my-java-1"]);
    assert_eq!(names(&suggested.programs), ["Java", "java", "javac", "my-java"], "letters of any case");
    assert_eq!(names(&suggested.users), ["Java-user", "java-user", "javac-user"], "and no more than fit");
    assert_eq!(names(&suggested.units), ["Java.service", "java.service", "javac.service"]);
    assert_eq!((suggested.programs[3].processes, suggested.programs[3].hosts), (9, 1));
    let words = suggest(&fleet, &Scope::everything(), "java my");
    assert_eq!((hosts(&words), names(&words.programs)), (vec!["my-java-1"], vec!["my-java"]));
    let nothing = suggest(&fleet, &Scope::everything(), "ruby");
    assert!(nothing.hosts.is_empty() && nothing.programs.is_empty() && nothing.processes.is_empty());
}

#[test]
fn of_each_kind_there_are_few_and_of_processes_the_busiest() {
    let many: Vec<(String, Vec<Process>)> = (0..20)
        .map(|host: u8| {
            let nginx = |pid| process(pid, "nginx", f32::from(host) + pid as f32 / 100.0);
            let others = (0..20).map(|pid| process(100 + pid, &format!("nginx-{pid:02}"), 900.0));
            (format!("nginx-{host:02}"), [nginx(7), nginx(8)].into_iter().chain(others).collect())
        })
        .collect();
    let many: Vec<_> = many.iter().map(|(host, processes)| (host.as_str(), processes.clone())).collect();
    let fleet = fleet(&many);
    let suggested = suggest(&fleet, &Scope::everything(), "nginx");
    assert_eq!(suggested.hosts.len(), MAX_HOSTS);
    assert_eq!((suggested.programs.len(), &*suggested.programs[0].name), (MAX_PROGRAMS, "nginx"));
    assert_eq!((suggested.programs[0].processes, suggested.programs[0].hosts), (40, 20));
    assert_eq!((suggested.users.len(), suggested.units.len()), (MAX_OTHERS, MAX_OTHERS));
    let place = |process: &NamedProcess| (process.identity.host.to_string(), process.identity.pid);
    let places: Vec<_> = suggested.processes.iter().map(place).collect();
    // Other programs use more CPU, but are not called so.
    assert_eq!(places, [19, 18, 17, 16].map(|host| (format!("nginx-{host}"), 8)));
}

#[test]
fn nothing_of_a_hidden_host_is_suggested_or_counted() {
    let fleet = fleet(&[
        ("own-1", vec![process(1, "shop", 1.0)]),
        ("other-1", vec![process(2, "shop", 99.0), process(3, "shop-secret", 50.0)]),
    ]);
    let own = || ["own-1".parse().unwrap()].into_iter().collect();
    let own = Scope::new(own(), own());
    let suggested = suggest(&fleet, &own, "shop");
    assert_eq!(names(&suggested.programs), ["shop"]);
    assert_eq!((suggested.programs[0].processes, suggested.programs[0].hosts), (1, 1));
    assert_eq!((names(&suggested.users), names(&suggested.units)), (vec!["shop-user"], vec!["shop.service"]));
    let hosts_of: Vec<_> = suggested.processes.iter().map(|process| process.identity.host.as_str()).collect();
    assert_eq!(hosts_of, ["own-1"]);
    assert!(suggest(&fleet, &own, "other").hosts.is_empty());
    assert!(suggest(&fleet, &own, "secret").programs.is_empty());
}

#[test]
fn hosts_are_found_by_their_groups_and_a_silent_one_has_no_programs() {
    let fleet = fleet(&[("web-1", vec![process(1, "nginx", 1.0)])]);
    let groups: BTreeSet<String> = ["env=prod".to_owned(), "Frontend".to_owned()].into();
    let of_group = |text: &str| {
        let words = text.split(' ').map(str::to_owned).collect();
        fleet.suggest(&Scope::everything(), &Wanted::of(words), |_| &groups).hosts.len()
    };
    assert_eq!(["frontend", "web prod", "web nothing"].map(of_group), [1, 1, 0]);
    fleet.age(steady_us() + 31_000_000);
    let suggested = suggest(&fleet, &Scope::everything(), "nginx");
    assert!(suggested.programs.is_empty() && suggested.users.is_empty() && suggested.processes.is_empty());
    assert_eq!(hosts(&suggest(&fleet, &Scope::everything(), "web-1")), ["web-1"]);
}
