//! Questions that are stopped: they end, say so, and leave the history as it was.

use std::{
    fmt::Debug,
    path::Path,
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use fleetps_nats::{Snapshot, snapshot::Process};

use super::*;
use crate::{
    filter::Filter,
    history::{EventKind, EventQuery, Found, TopBy, TopGroup, TopQuery},
    query::{Deadline, Stopped, TooManyRows},
    segment::{SegmentRows, seal},
};

/// Far longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Days of work.
const ENDLESS: &str =
    "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range ^ b.range = 5";

fn history(folder: &Path) -> History {
    let mut rows = SegmentRows::new(0, 1_000, 1, 5_000_000);
    for sequence in 1..=3 {
        let captured_at_us = sequence * 1_000_000;
        let snapshot = Snapshot { captured_at_us, boot_id: "b".to_owned(), ..Snapshot::default() };
        rows.push(sequence.cast_unsigned(), captured_at_us, &"host".parse().unwrap(), &snapshot);
    }
    seal(folder, &mut rows).unwrap();
    History::open(folder).unwrap()
}

/// Asks on a thread of its own, so that a question that does not end fails its test.
fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done, answer) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    answer
}

fn run(reading: &Reading<'_>, sql: &str) -> Result<i64, HistoryError> {
    Ok(reading.connection.query_row(sql, [], |row| row.get(0))?)
}

/// The history answers, with the whole of its content.
fn is_whole(history: &History) {
    let (host, span) = ("host".parse().unwrap(), Span { from_us: 0, to_us: 10_000_000 });
    assert_eq!(history.snapshots(&host, span, 10).unwrap().total, 3);
    assert_eq!(history.missing_segments(), []);
}

#[test]
fn a_query_ends_when_its_asker_is_gone_or_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let history = history(folder.path());
    for (limit, stopped) in
        [(Duration::MAX, Stopped::Cancelled), (Duration::from_millis(200), Stopped::TookTooLong)]
    {
        let deadline = Deadline::after(limit);
        let gone = deadline.cancel_on_drop();
        let (begun, has_begun) = mpsc::channel();
        let asked = history.within_budget(Budget::until(deadline));
        let answer = in_background(move || {
            asked.ask(|reading| {
                begun.send(()).unwrap();
                run(reading, ENDLESS)
            })
        });
        has_begun.recv_timeout(PATIENCE).unwrap();
        if stopped == Stopped::Cancelled {
            drop(gone);
        }
        let answer = answer.recv_timeout(PATIENCE).expect("the question goes on");
        assert!(matches!(answer, Err(HistoryError::Stopped(why)) if why == stopped), "{answer:?}");
        is_whole(&history);
    }
}

#[test]
fn a_query_that_begins_just_after_an_interrupt_ends_too() {
    let folder = tempfile::tempdir().unwrap();
    let history = history(folder.path());
    let deadline = Deadline::after(Duration::MAX);
    let asked = history.within_budget(Budget::until(deadline.clone()));
    let answer = in_background(move || {
        asked.ask(|reading| {
            // Whoever cancels interrupts at once, which the next query does not know.
            deadline.cancel();
            run(reading, ENDLESS)
        })
    });
    let answer = answer.recv_timeout(PATIENCE).expect("the question goes on");
    assert!(matches!(answer, Err(HistoryError::Stopped(Stopped::Cancelled))), "{answer:?}");
    is_whole(&history);
}

#[test]
fn every_method_keeps_to_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let history = history(folder.path());
    let over = history.within_budget(Budget::until(Deadline::after(Duration::ZERO)));
    let (host, span) = ("host".parse().unwrap(), Span { from_us: 0, to_us: 10_000_000 });
    fn is_stopped<T: Debug>(answer: Result<T, HistoryError>) {
        assert!(matches!(answer, Err(HistoryError::Stopped(Stopped::TookTooLong))), "{answer:?}");
    }
    is_stopped(over.snapshot_at(&host, 2_000_000));
    is_stopped(over.snapshots(&host, span, 10));
    is_stopped(over.host_metrics(&host, span, 10, &[]));
    is_stopped(over.events(&EventQuery { kinds: vec![EventKind::Booted], ..EventQuery::of(span, 10) }));
    is_stopped(over.cpu_peaks(span));
    is_stopped(over.process(&host, 1, None));
    is_stopped(over.search(&Filter::default(), 2_000_000, 10));
    is_whole(&history);
}

#[test]
fn a_question_that_needs_too_many_rows_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let history = history(folder.path());
    let (host, span) = ("host".parse().unwrap(), Span { from_us: 0, to_us: 10_000_000 });
    let few = history.within_budget(Budget::until(Deadline::after(PATIENCE)).with_max_rows(2));
    let refused = few.host_metrics(&host, span, 10, &[]);
    let expected = TooManyRows { max_rows: 2 };
    assert!(matches!(refused, Err(HistoryError::TooManyRows(many)) if many == expected), "{refused:?}");
    let enough = history.within_budget(Budget::until(Deadline::after(PATIENCE)).with_max_rows(3));
    assert_eq!(enough.host_metrics(&host, span, 10, &[]).unwrap().points.len(), 3);
}

#[test]
fn a_query_that_needs_too_much_memory_says_so_and_hurts_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let history = history(folder.path());
    let large = history.ask(|reading| {
        reading.connection.execute_batch("SET memory_limit = '40MB'; SET max_temp_directory_size = '0B'")?;
        run(reading, "SELECT len(list(range)) FROM range(20000000)")
    });
    assert!(matches!(large, Err(HistoryError::OutOfMemory)), "{large:?}");
    is_whole(&history);
}

#[test]
fn a_scope_of_many_hosts_answers_as_one_of_few() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = SegmentRows::new(0, 1_000, 1, 5_000_000);
    for (sequence, host) in ["seen", "hidden", "seen", "hidden", "silent"].into_iter().enumerate() {
        let captured_at_us = (1 + i64::try_from(sequence).unwrap()) * 1_000_000;
        let process = Process {
            pid: 1,
            name: host.to_owned(),
            command_line: Some("x".to_owned()),
            ..Process::default()
        };
        let snapshot =
            Snapshot { captured_at_us, processes: vec![process], interval_ms: 10_000, ..Snapshot::default() };
        rows.push(1 + sequence as u64, captured_at_us, &host.parse().unwrap(), &snapshot);
    }
    seal(folder.path(), &mut rows).unwrap();
    let history = History::open(folder.path()).unwrap();
    let span = Span { from_us: 0, to_us: 10_000_000 };
    let query = TopQuery { by: TopBy::Cpu, group: TopGroup::Host, span, host: None, limit: 10 };
    let answers = |others: usize| {
        let with_others = |own: &[&str]| -> Hosts {
            let others = (0..others).map(|number| format!("other-{number}").parse().unwrap());
            own.iter().map(|host| host.parse().unwrap()).chain(others).collect()
        };
        let scope = Scope::new(with_others(&["seen", "silent"]), with_others(&["silent"]));
        let scoped = history.within(Arc::new(scope));
        let found = scoped.search(&Filter::default(), 6_000_000, 10).unwrap();
        let command_lines = |found: &Found| found.process.command_line.clone();
        assert_eq!(
            found.listing.items.iter().map(command_lines).collect::<Vec<_>>(),
            [None, Some("x".to_owned())]
        );
        format!(
            "{found:?} {:?} {:?} {:?} {:?}",
            scoped.top(&query).unwrap(),
            scoped.cpu_peaks(span).unwrap(),
            scoped.elsewhere(&"none".parse().unwrap(), "seen", None, 10).unwrap(),
            scoped.events(&EventQuery::of(span, 100)).unwrap(),
        )
    };
    let few = answers(0);
    assert!(!few.contains("hidden"), "{few}");
    // Twice: the second time the tables are there.
    assert_eq!([answers(500), answers(500)], [few.clone(), few]);
}
