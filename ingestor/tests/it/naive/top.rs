//! The expected top.

use std::collections::{BTreeSet, HashMap};

use fastrand::Rng;
use fleetps_ingestor::history::{History, Identity, Span, TopBy, TopGroup, TopQuery, TopRow};
use fleetps_nats::snapshot::Process;

use super::{identity, moment, some_host};
use crate::fleet::Published;

/// What one process had in the snapshots of a span, and when that was.
type Samples<'a> = HashMap<Identity, Vec<(i64, &'a Process)>>;

/// The group's name, and its process.
type Group = (Option<String>, Option<Identity>);

fn samples<'a>(published: &'a [Published], query: &TopQuery) -> Samples<'a> {
    let span = query.span;
    let mut samples = Samples::new();
    for Published { host, snapshot, .. } in published {
        let is_within = (span.from_us..span.to_us).contains(&snapshot.captured_at_us);
        if is_within && query.host.as_ref().is_none_or(|wanted| wanted == host) {
            for process in &snapshot.processes {
                let sample = (snapshot.captured_at_us, process);
                samples.entry(identity(host, snapshot, process)).or_default().push(sample);
            }
        }
    }
    samples.values_mut().for_each(|samples| samples.sort_by_key(|(captured_at_us, _)| *captured_at_us));
    samples
}

/// What a counter grew by in the phase at `place` of a process: since the one before, or all of it where it started within the
/// span.
fn used(
    phases: &[Vec<&Process>],
    place: usize,
    is_new: bool,
    counter: fn(&Process) -> Option<u64>,
) -> Option<u64> {
    let values = |phase: &[&Process]| phase.iter().filter_map(|process| counter(process)).collect::<Vec<_>>();
    let now = values(&phases[place]);
    let earlier = phases[..place].iter().rev().find_map(|phase| values(phase).into_iter().max());
    let before = match earlier {
        Some(before) => before,
        None if is_new => 0,
        None => *now.iter().min()?,
    };
    Some(now.into_iter().max()? - before)
}

/// What names the group of a process on a host.
fn key(group: TopGroup, host: &str, process: &Process) -> Option<String> {
    match group {
        TopGroup::Process | TopGroup::Name => Some(process.name.clone()),
        TopGroup::User => process.user_name.clone(),
        TopGroup::Unit => process.unit.clone(),
        TopGroup::Host => Some(host.to_owned()),
    }
}

/// What a process was, one after the other: each as long as what names its group stayed the same.
fn phases<'a>(group: TopGroup, samples: &[(i64, &'a Process)]) -> Vec<Vec<&'a Process>> {
    let phases = samples.chunk_by(|(_, one), (_, other)| key(group, "", one) == key(group, "", other));
    phases.map(|phase| phase.iter().map(|(_, process)| *process).collect()).collect()
}

fn top(published: &[Published], query: &TopQuery) -> Vec<TopRow> {
    let mut groups: HashMap<Group, (TopRow, BTreeSet<String>, BTreeSet<Identity>)> = HashMap::new();
    let samples = samples(published, query);
    let phased = samples.into_iter().map(|(identity, samples)| (identity, phases(query.group, &samples)));
    let each = phased.flat_map(|(identity, phases)| {
        (0..phases.len()).map(move |place| (identity.clone(), phases.clone(), place))
    });
    for (identity, phases, place) in each {
        let is_new = identity.started_at_us >= query.span.from_us;
        let program = phases[place][0];
        let key = key(query.group, identity.host.as_str(), program);
        let process = (query.group == TopGroup::Process).then(|| identity.clone());
        let (row, hosts, processes) = groups.entry((key.clone(), process.clone())).or_insert_with(|| {
            let nothing = TopRow {
                key,
                process,
                hosts: 0,
                processes: 0,
                cpu_time_ms: None,
                memory_bytes: None,
                peak_resident_bytes: None,
                read_bytes: None,
                written_bytes: None,
            };
            (nothing, BTreeSet::new(), BTreeSet::new())
        });
        let add = |sum: &mut Option<u64>, counter: fn(&Process) -> Option<u64>| {
            *sum = used(&phases, place, is_new, counter).map_or(*sum, |used| Some(sum.unwrap_or(0) + used));
        };
        add(&mut row.cpu_time_ms, |process| process.cpu_time_ms);
        // Only with CPU time of its own there is a sum.
        if used(&phases, place, is_new, |process| process.cpu_time_ms).is_some() {
            let ended = phases[place].iter().filter_map(|process| process.ended_children_cpu_ms).sum::<u64>();
            row.cpu_time_ms = row.cpu_time_ms.map(|ms| ms + ended);
        }
        add(&mut row.read_bytes, |process| process.read_bytes);
        add(&mut row.written_bytes, |process| process.written_bytes);
        let peak = phases[place].iter().filter_map(|process| process.resident_bytes).max();
        row.peak_resident_bytes = row.peak_resident_bytes.max(peak);
        hosts.insert(identity.host.to_string());
        processes.insert(identity);
        (row.processes, row.hosts) = (processes.len() as u64, hosts.len() as u64);
    }
    let memory = memory(published, query);
    let with_memory = |(group, (row, ..)): (Group, (TopRow, _, _))| {
        let memory_bytes = memory.get(&group).copied();
        TopRow { memory_bytes, ..row }
    };
    groups.into_iter().map(with_memory).collect()
}

/// The memory of groups with any, as the mean of their hosts' snapshots: what processes of a host share is counted once.
fn memory(published: &[Published], query: &TopQuery) -> HashMap<Group, f64> {
    let samples = samples(published, query);
    let mut longest: HashMap<(String, String), usize> = HashMap::new();
    for (identity, samples) in &samples {
        let of_boot = longest.entry((identity.host.to_string(), identity.boot_id.clone())).or_default();
        *of_boot = (*of_boot).max(samples.len());
    }
    let mut recorded: HashMap<&str, usize> = HashMap::new();
    longest.iter().for_each(|((host, _), snapshots)| *recorded.entry(host).or_default() += snapshots);
    // Of each host and group: what its processes had for themselves, and the most that one of them shared.
    let mut of_hosts: HashMap<(Group, &str), (f64, f64)> = HashMap::new();
    for (identity, samples) in &samples {
        for phase in phases(query.group, samples) {
            let key = key(query.group, identity.host.as_str(), phase[0]);
            let process = (query.group == TopGroup::Process).then(|| identity.clone());
            let sizes: Vec<(u64, u64)> = phase
                .iter()
                .filter_map(|process| {
                    let resident = process.resident_bytes?;
                    Some((resident, process.shared_bytes.unwrap_or(0).min(resident)))
                })
                .collect();
            if sizes.is_empty() {
                continue;
            }
            let own = sizes.iter().map(|(resident, shared)| (resident - shared) as f64).sum::<f64>();
            let shared = sizes.iter().map(|(_, shared)| *shared as f64).sum::<f64>();
            let sums = of_hosts.entry(((key, process), identity.host.as_str())).or_default();
            *sums = (sums.0 + own, sums.1.max(shared));
        }
    }
    let mut memory = HashMap::new();
    for ((group, host), (own, shared)) in of_hosts {
        *memory.entry(group).or_default() += (own + shared) / recorded[host] as f64;
    }
    memory
}

/// Whether two memories are the same. Where a span of equal figures reaches out of the time, how many of its snapshots lie within
/// is told by its length, so it is about the same.
fn is_alike(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= one.max(other) / 10.0,
        (one, other) => one == other,
    }
}

pub fn check_top(history: &History, published: &[Published], rng: &mut Rng) {
    let (a, b) = (moment(published, rng), moment(published, rng));
    check_top_over(history, published, Span { from_us: a.min(b), to_us: a.max(b) }, rng);
}

pub fn check_top_over(history: &History, published: &[Published], span: Span, rng: &mut Rng) {
    let by = [TopBy::Cpu, TopBy::Memory, TopBy::Peak, TopBy::Read, TopBy::Written][rng.usize(0..5)];
    let groups = [TopGroup::Process, TopGroup::Name, TopGroup::User, TopGroup::Unit, TopGroup::Host];
    let query = TopQuery {
        by,
        group: groups[rng.usize(0..5)],
        span,
        host: rng.bool().then(|| some_host(published, rng)),
        limit: 10_000,
    };
    let figure = |row: &TopRow| match by {
        TopBy::Cpu => row.cpu_time_ms,
        // Nothing is below a byte.
        TopBy::Memory => row.memory_bytes.map(|bytes| (bytes * 1e3) as u64),
        TopBy::Peak => row.peak_resident_bytes,
        TopBy::Read => row.read_bytes,
        TopBy::Written => row.written_bytes,
    };
    let answer = history.top(&query).unwrap().lines;
    assert!(answer.items.is_sorted_by_key(|row| std::cmp::Reverse(figure(row))), "{query:?}");
    let of_few = history.top(&TopQuery { limit: 2, ..query.clone() }).unwrap().lines;
    assert_eq!(of_few.items, answer.items[..answer.items.len().min(2)], "{query:?}");
    let by_key = |mut rows: Vec<TopRow>| {
        rows.sort_by_key(|row| (row.key.clone(), row.process.clone()));
        rows
    };
    let expected = by_key(top(published, &query));
    assert_eq!((answer.total, of_few.total), (expected.len() as u64, expected.len() as u64), "{query:?}");
    let answer = by_key(answer.items);
    for (row, expected) in answer.iter().zip(&expected) {
        let (one, other) = (row.memory_bytes, expected.memory_bytes);
        assert!(is_alike(one, other), "{query:?}: {one:?}, not {other:?} of {:?}", row.key);
    }
    let without_memory = |rows: Vec<TopRow>| -> Vec<TopRow> {
        rows.into_iter().map(|row| TopRow { memory_bytes: None, ..row }).collect()
    };
    assert_eq!(without_memory(answer), without_memory(expected), "{query:?}");
}
