//! Processes that never answer: a FIFO that nobody writes to keeps its reader for ever.

use std::{fs, path::Path, process::Command};

use super::*;

/// Far longer than reading takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn write(folder: &Path, pid: u32, line: Option<&str>) {
    let folder = folder.join(pid.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("status"), format!("State:\tS\nUid:\t{pid}\t{pid}\t0\t0\n")).unwrap();
    match line {
        Some(line) => fs::write(folder.join("cmdline"), line).unwrap(),
        None => assert!(Command::new("mkfifo").arg(folder.join("cmdline")).status().unwrap().success()),
    }
}

fn wanted(pid: u32) -> Wanted {
    Wanted { pid, token: pid.into(), facts: true, storage: true }
}

fn asked(reader: &mut DetailReader, pids: impl IntoIterator<Item = u32>) -> Vec<Details> {
    let wanted: Vec<Wanted> = pids.into_iter().map(wanted).collect();
    let mut found = Vec::new();
    reader.details(&wanted, PATIENCE, &mut |details| found.push(details));
    found.sort_by_key(|details| details.pid);
    found
}

fn arguments(details: &Details) -> Option<Vec<String>> {
    details.facts.as_ref()?.arguments.clone()
}

fn user(details: &Details) -> Option<&str> {
    details.facts.as_ref()?.user_id.as_deref()
}

#[test]
fn a_process_that_cannot_be_read_costs_its_own_fields_only() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 7, Some("before"));
    write(folder.path(), 8, None);
    write(folder.path(), 9, Some("behind"));
    let mut reader = DetailReader::new(folder.path().to_str().unwrap());
    let found = asked(&mut reader, [7, 8, 9]);
    assert_eq!(found.iter().map(|details| details.pid).collect::<Vec<_>>(), [7, 8, 9]);
    assert_eq!(found.iter().map(user).collect::<Vec<_>>(), [Some("7"), Some("8"), Some("9")]);
    assert_eq!(arguments(&found[1]), None);
    assert_eq!((found[1].storage, found[2].storage), (None, Some(None)));
    assert_eq!(arguments(&found[2]).unwrap(), ["behind"]);
    // Asked again, it is not waited for again.
    let found = asked(&mut reader, [8]);
    assert_eq!((user(&found[0]), arguments(&found[0])), (Some("8"), None));
    assert_eq!(reader.shared.lock().stuck.len(), 1);
    // It answers at last: its thread ends, and it is read as any other.
    fs::write(folder.path().join("8/cmdline"), "late\0").unwrap();
    let mut late = Vec::new();
    let until = Instant::now() + PATIENCE;
    while late.is_empty() && Instant::now() < until {
        reader.details(&[], PATIENCE, &mut |details| late.push(details));
        thread::yield_now();
    }
    assert_eq!(arguments(&late[0]).unwrap(), ["late"]);
    fs::remove_file(folder.path().join("8/cmdline")).unwrap();
    fs::write(folder.path().join("8/cmdline"), "again\0").unwrap();
    while !reader.shared.lock().stuck.is_empty() && Instant::now() < until {
        thread::yield_now();
    }
    assert_eq!(arguments(&asked(&mut reader, [8])[0]).unwrap(), ["again"]);
}

#[test]
fn however_many_cannot_be_read_the_threads_are_few_and_what_is_always_answered_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let pids = 10..10 + 2 * MOST_STUCK as u32;
    pids.clone().for_each(|pid| write(folder.path(), pid, None));
    write(folder.path(), 99, Some("last"));
    let mut reader = DetailReader::new(folder.path().to_str().unwrap());
    let found = asked(&mut reader, pids.clone().chain([99]));
    assert_eq!(found.len(), pids.len() + 1);
    for (details, pid) in found.iter().zip(pids.clone().chain([99])) {
        assert_eq!(user(details), Some(pid.to_string().as_str()));
        assert_eq!(arguments(details), None);
    }
    assert_eq!(reader.shared.lock().stuck.len(), MOST_STUCK);
    assert!(reader.shared.lock().thread <= MOST_STUCK as u64 + 1);
    // One comes back, and all is read again.
    fs::write(folder.path().join("10/cmdline"), "back\0").unwrap();
    let until = Instant::now() + PATIENCE;
    while reader.shared.lock().stuck.len() == MOST_STUCK && Instant::now() < until {
        thread::yield_now();
    }
    let found = asked(&mut reader, [99]);
    assert!(found.iter().any(|details| arguments(details).is_some_and(|line| line == ["last"])));
}

#[test]
fn what_is_not_there_in_time_comes_with_a_later_call() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 7, Some("slow"));
    let mut reader = DetailReader::new(folder.path().to_str().unwrap());
    let mut found = Vec::new();
    reader.details(&[wanted(7)], Duration::ZERO, &mut |details| found.push(details));
    assert!(found.is_empty());
    assert_eq!(arguments(&asked(&mut reader, [])[0]).unwrap(), ["slow"]);
}
