//! The expected top.

use std::collections::{BTreeSet, HashMap};

use fastrand::Rng;
use fleetps_ingestor::history::{History, Identity, Span, TopBy, TopGroup, TopQuery, TopRow};
use fleetps_nats::snapshot::Process;

use super::{identity, moment, some_host};
use crate::fleet::Published;

/// What one process had in the snapshots of a span.
type Samples<'a> = HashMap<Identity, Vec<&'a Process>>;

/// The group's name, and its process.
type Group = (Option<String>, Option<Identity>);

fn samples<'a>(published: &'a [Published], query: &TopQuery) -> Samples<'a> {
    let span = query.span;
    let mut samples = Samples::new();
    for Published { host, snapshot, .. } in published {
        let is_within = (span.from_us..span.to_us).contains(&snapshot.captured_at_us);
        if is_within && query.host.as_ref().is_none_or(|wanted| wanted == host) {
            for process in &snapshot.processes {
                samples.entry(identity(host, snapshot, process)).or_default().push(process);
            }
        }
    }
    samples
}

/// What a counter grew by; all of it for a process that started within the span.
fn used(samples: &[&Process], is_new: bool, counter: fn(&Process) -> Option<u64>) -> Option<u64> {
    let values = || samples.iter().filter_map(|process| counter(process));
    let before = if is_new { 0 } else { values().min()? };
    Some(values().max()? - before)
}

fn top(published: &[Published], query: &TopQuery) -> Vec<TopRow> {
    let mut groups: HashMap<Group, (TopRow, BTreeSet<String>)> = HashMap::new();
    for (identity, samples) in samples(published, query) {
        let is_new = identity.started_at_us >= query.span.from_us;
        let program = samples[0];
        let (key, process) = match query.group {
            TopGroup::Process => (Some(program.name.clone()), Some(identity.clone())),
            TopGroup::Name => (Some(program.name.clone()), None),
            TopGroup::User => (program.user_name.clone(), None),
            TopGroup::Unit => (program.unit.clone(), None),
            TopGroup::Host => (Some(identity.host.to_string()), None),
        };
        let (row, hosts) = groups.entry((key.clone(), process.clone())).or_insert_with(|| {
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
            (nothing, BTreeSet::new())
        });
        let add = |sum: &mut Option<u64>, counter: fn(&Process) -> Option<u64>| {
            *sum = used(&samples, is_new, counter).map_or(*sum, |used| Some(sum.unwrap_or(0) + used));
        };
        add(&mut row.cpu_time_ms, |process| process.cpu_time_ms);
        add(&mut row.read_bytes, |process| process.read_bytes);
        add(&mut row.written_bytes, |process| process.written_bytes);
        let peak = samples.iter().filter_map(|process| process.resident_bytes).max();
        row.peak_resident_bytes = row.peak_resident_bytes.max(peak);
        hosts.insert(identity.host.to_string());
        (row.processes, row.hosts) = (row.processes + 1, hosts.len() as u64);
    }
    groups.into_values().map(|(row, _)| row).collect()
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
    let answer = history.top(&query).unwrap();
    assert!(answer.items.is_sorted_by_key(|row| std::cmp::Reverse(figure(row))), "{query:?}");
    let of_few = history.top(&TopQuery { limit: 2, ..query.clone() }).unwrap();
    assert_eq!(of_few.items, answer.items[..answer.items.len().min(2)], "{query:?}");
    let by_key = |mut rows: Vec<TopRow>| {
        rows.sort_by_key(|row| (row.key.clone(), row.process.clone()));
        rows
    };
    let expected = by_key(top(published, &query));
    assert_eq!((answer.total, of_few.total), (expected.len() as u64, expected.len() as u64), "{query:?}");
    assert_eq!(by_key(answer.items), expected, "{query:?}");
}
