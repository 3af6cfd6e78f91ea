//! The expected matches of a search at a moment.

use std::{collections::BTreeSet, time::Duration};

use fastrand::Rng;
use fleetps_ingestor::{
    filter::{Deadline, Fields, Filter},
    history::{Found, History, Omitted, PastSnapshot, Searched, SnapshotLookup},
};
use fleetps_nats::{
    HostName,
    model::{ProcessRates, derived, process::PROCESS},
    snapshot::Process,
};

use super::{
    hosts, identity, moment,
    moments::{Kept, at_moment},
};
use crate::fleet::Published;

/// What a search should find among one process of a snapshot.
fn found(host: &HostName, past: &PastSnapshot, process: &Process) -> Found {
    let (now, before) = (past.pair.latest(), past.pair.previous());
    let same = |other: &&Process| (other.pid, other.started_at_us) == (process.pid, process.started_at_us);
    let rate = |counter: fn(&Process) -> Option<u64>| {
        let earlier = before?.processes.iter().find(same)?;
        let elapsed_ms =
            now.monotonic_ms.checked_sub(before?.monotonic_ms).filter(|elapsed_ms| *elapsed_ms > 0)?;
        Some(counter(process)?.checked_sub(counter(earlier)?)? as f64 / (elapsed_ms as f64 / 1000.0))
    };
    Found {
        identity: identity(host, now, process),
        captured_at_us: now.captured_at_us,
        age_us: derived::process_age_us(now, process),
        process: process.clone(),
        memory_total_bytes: now.host.memory_total_bytes,
        rates: ProcessRates::of(|place| match PROCESS[place].name {
            "read_bytes" => rate(|process| process.read_bytes),
            "written_bytes" => rate(|process| process.written_bytes),
            _ => None,
        }),
    }
}

pub fn check_search(history: &History, published: &[Published], kept: &Kept, rng: &mut Rng) {
    let at_us = moment(published, rng);
    let text = ["", "cpu > 100 and not postgres", "read > 1M or unit ~ sh", "mem% >= 0.2"][rng.usize(0..4)];
    let filter = Filter::parse(text).unwrap();
    let patient = Deadline::after(Duration::from_secs(600));
    let (mut expected, mut omitted) = (Vec::new(), Omitted::default());
    for host in hosts(published) {
        let SnapshotLookup::Snapshot(past) = at_moment(published, kept, host, at_us) else { continue };
        let latest = past.pair.latest();
        omitted.add(Omitted::of(latest.processes_left_out, latest.texts_shortened));
        let of_host = past.pair.latest().processes.iter().map(|process| found(host, &past, process));
        let of_host: Vec<Found> = of_host.collect();
        let matching = filter.matching(of_host.iter().map(fields), &patient).unwrap();
        expected.extend(
            of_host.into_iter().zip(matching).filter(|(_, matches)| *matches).map(|(found, _)| found),
        );
    }
    let Searched { listing: answer, omitted: told, hosts } = history.search(&filter, at_us, 20).unwrap();
    assert_eq!(told, omitted, "{text:?} at {at_us}");
    assert_eq!(answer.total, expected.len() as u64, "{text:?} at {at_us}");
    let on: BTreeSet<&HostName> = expected.iter().map(|found| &found.identity.host).collect();
    assert_eq!(hosts, on.len() as u64, "{text:?} at {at_us}");
    expected.truncate(20);
    assert_eq!(answer.items, expected, "{text:?} at {at_us}");
}

fn fields(found: &Found) -> Fields<'_> {
    let process = &found.process;
    let resident_bytes = process.resident_bytes.map(|bytes| bytes as f64);
    Fields {
        host: found.identity.host.as_str(),
        process,
        rates: found.rates,
        memory_percent: resident_bytes
            .zip(found.memory_total_bytes)
            .map(|(bytes, total_bytes)| 100.0 * bytes / total_bytes as f64),
        age_s: found.age_us as f64 / 1e6,
    }
}
