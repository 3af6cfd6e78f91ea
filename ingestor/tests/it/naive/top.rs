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
    groups.into_values().map(|(row, ..)| row).collect()
}

pub fn check_top(history: &History, published: &[Published], rng: &mut Rng) {
    let (a, b) = (moment(published, rng), moment(published, rng));
    check_top_over(history, published, Span { from_us: a.min(b), to_us: a.max(b) }, rng);
}

pub fn check_top_over(history: &History, published: &[Published], span: Span, rng: &mut Rng) {
    let by = [TopBy::Cpu, TopBy::Memory, TopBy::Read, TopBy::Written][rng.usize(0..4)];
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
        TopBy::Memory => row.peak_resident_bytes,
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
    assert_eq!(by_key(answer.items), expected, "{query:?}");
}
