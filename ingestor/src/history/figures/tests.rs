//! What goes with figures, and how places are put together.

use std::{collections::HashMap, sync::Arc};

use fleetps_nats::{Snapshot, snapshot::Process};

use super::{read::together, *};
use crate::{
    history::Scope,
    segment::{SegmentRows, seal},
};

const GRID: Grid = Grid { begin_ms: 0, width_ms: 1_000, count: 10, reach_ms: 0 };

#[test]
fn figures_say_until_when_their_own_reading_has_each_host_of_the_question() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = SegmentRows::new(0, 1_000, 1, 5_000_000);
    let (a, b): (HostName, HostName) = ("a".parse().unwrap(), "b".parse().unwrap());
    for (sequence, (host, name)) in (1..).zip([(&a, "one"), (&a, "one"), (&b, "two")]) {
        let captured_at_us = sequence * 1_000_000;
        let process = Process { pid: 7, name: name.to_owned(), start_ticks: Some(1), ..Process::default() };
        let snapshot = Snapshot {
            captured_at_us,
            boot_id: "boot".to_owned(),
            processes: vec![process],
            ..Snapshot::default()
        };
        rows.push(sequence.cast_unsigned(), captured_at_us, host, &snapshot);
    }
    seal(folder.path(), &mut rows).unwrap();
    let history = History::open(folder.path()).unwrap();
    let figures = |history: &History, hosts| history.host_figures(&hosts, GRID, HostFigure::Heard).unwrap();
    let both = HashMap::from([(a.clone(), 2_000_000), (b.clone(), 3_000_000)]);
    assert_eq!(figures(&history, Hosts::All).sealed_us, both);
    let only_b = || Hosts::Only([b.clone()].into());
    assert_eq!(figures(&history, only_b()).sealed_us, HashMap::from([(b.clone(), 3_000_000)]));
    let within = history.within(Arc::new(Scope::new(only_b(), Hosts::none())));
    assert_eq!(figures(&within, Hosts::All).sealed_us, HashMap::from([(b.clone(), 3_000_000)]));

    let query = ProgramQuery {
        figure: ProgramFigure::Processes,
        names: None,
        users: None,
        units: None,
        reading: ProgramReading::Last,
    };
    let names = |grid, query: &ProgramQuery| {
        let mut found = history.program_names(&Hosts::All, grid, query).unwrap();
        found.sort();
        found.into_iter().map(|(host, program)| format!("{host} {}", program.name)).collect::<Vec<_>>()
    };
    assert_eq!(names(GRID, &query), ["a one", "b two"]);
    assert_eq!(names(Grid { begin_ms: 2_000, ..GRID }, &query), ["b two"]);
    assert_eq!(names(Grid { count: 2, ..GRID }, &query), ["a one"]);
    let one = ProgramQuery { names: Some(vec!["one".to_owned()]), ..query };
    assert_eq!(names(GRID, &one), ["a one"]);
}

#[test]
fn places_that_touch_are_put_together() {
    assert_eq!(together(vec![(5, 9), (-1, 2), (3, 4), (20, 21), (6, 7)]), [(-1, 9), (20, 21)]);
    assert_eq!(together(Vec::new()), []);
}
