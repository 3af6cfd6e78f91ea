//! The expected lives of processes.

use std::{cmp::Reverse, collections::HashMap};

use fastrand::Rng;
use fleetps_ingestor::history::{History, Identity, ProcessLife};
use fleetps_nats::{
    HostName,
    model::{Value, process::FIGURES},
    snapshot::Process,
};

use super::{hosts, identity, moments::snapshots_of, some_host};
use crate::fleet::Published;

/// Every process of a host over its life.
fn lives(published: &[Published], host: &HostName) -> Vec<ProcessLife> {
    let snapshots = snapshots_of(published, host);
    let mut lives: HashMap<Identity, ProcessLife> = HashMap::new();
    for snapshot in &snapshots {
        for process in &snapshot.processes {
            let identity = identity(host, snapshot, process);
            let life = lives.entry(identity.clone()).or_insert_with(|| ProcessLife {
                identity,
                process: without_samples(process),
                first_seen_us: snapshot.captured_at_us,
                last_seen_us: snapshot.captured_at_us,
                has_exited: false,
            });
            life.last_seen_us = snapshot.captured_at_us;
            life.process = without_samples(process);
        }
    }
    let last_us = snapshots.last().map(|snapshot| snapshot.captured_at_us);
    let mut lives: Vec<ProcessLife> = lives.into_values().collect();
    lives.iter_mut().for_each(|life| life.has_exited = last_us > Some(life.last_seen_us));
    lives
}

fn without_samples(process: &Process) -> Process {
    let mut process = process.clone();
    FIGURES.into_iter().for_each(|figure| process.set(figure, Value::Absent));
    process
}

pub fn check_lives(history: &History, published: &[Published], rng: &mut Rng) {
    let host = some_host(published, rng);
    let mut all = lives(published, &host);
    let one = all[rng.usize(0..all.len())].clone();
    let (pid, name) = (one.identity.pid, one.process.name.clone());
    let last = |life: &&ProcessLife| (life.last_seen_us, life.identity.started_at_us);
    let of_pid = |started_at_us: Option<i64>| {
        let same = all.iter().filter(|life| life.identity.pid == pid);
        same.filter(|life| started_at_us.is_none_or(|us| us == life.identity.started_at_us)).max_by_key(last)
    };
    for started_at_us in [Some(one.identity.started_at_us), None] {
        assert_eq!(history.process(&host, pid, started_at_us).unwrap().as_ref(), of_pid(started_at_us));
    }
    assert_eq!(history.process(&host, pid, Some(i64::MIN)).unwrap(), None);
    let before_us = one.identity.started_at_us;
    all.retain(|life| {
        life.process.name == name && life.has_exited && life.identity.started_at_us < before_us
    });
    all.sort_by_key(|life| Reverse((life.identity.started_at_us, life.last_seen_us, life.identity.pid)));
    let found = history.incarnations(&host, &name, before_us, 3).unwrap();
    assert_eq!((found.total, &found.items[..]), (all.len() as u64, &all[..all.len().min(3)]));
    check_elsewhere(history, published, &host, &one.process);
}

fn check_elsewhere(history: &History, published: &[Published], host: &HostName, process: &Process) {
    let (name, command_line) = (&process.name, process.command_line.as_deref());
    let others = hosts(published).into_iter().filter(|other| *other != host);
    let expected: Vec<ProcessLife> = others
        .filter_map(|other| {
            let of_program = lives(published, other).into_iter().filter(|life| life.process.name == *name);
            of_program.max_by_key(|life| {
                let is_alike = life.process.command_line.as_deref() == command_line;
                (is_alike, life.last_seen_us, life.identity.started_at_us, Reverse(life.identity.pid))
            })
        })
        .collect();
    assert_eq!(history.elsewhere(host, name, command_line, 10).unwrap().items, expected);
}
