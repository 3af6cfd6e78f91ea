use super::*;

const S: i64 = 1_000_000;

fn snapshot(captured_s: i64) -> Snapshot {
    Snapshot {
        captured_at_us: captured_s * S,
        interval_ms: 10_000,
        boot_id: "b".to_owned(),
        ..Snapshot::default()
    }
}

fn sealed(captured_s: i64) -> SnapshotLookup {
    SnapshotLookup::Snapshot(Box::new(PastSnapshot {
        pair: SnapshotPair::new("h".parse().unwrap(), Arc::new(snapshot(captured_s)), None),
        earlier_us: Some((captured_s - 10) * S),
        later_us: None,
        resolution: Resolution::Samples,
    }))
}

/// (captured, earlier, later, whether rates are known), all in seconds.
type Place = (i64, Option<i64>, Option<i64>, bool);

fn place(sealed: SnapshotLookup, recent: &[i64], at_s: i64) -> Result<Place, NoSnapshot> {
    let recent = recent.iter().map(|captured_s| snapshot(*captured_s)).collect();
    match join(&"h".parse().unwrap(), sealed, recent, at_s * S) {
        PastLookup::Nothing(nothing) => Err(nothing),
        PastLookup::PastMoment(then) => Ok((
            then.moment.snapshot().captured_at_us / S,
            then.earlier_us.map(|us| us / S),
            then.later_us.map(|us| us / S),
            then.moment.pair.previous().is_some(),
        )),
    }
}

#[test]
fn the_stream_goes_on_where_the_history_ends() {
    assert_eq!(place(sealed(100), &[90, 100, 110], 105), Ok((100, Some(90), Some(110), false)));
    assert_eq!(place(sealed(100), &[90, 100, 110, 120], 115), Ok((110, Some(100), Some(120), true)));
    assert_eq!(place(sealed(100), &[110, 120], 125), Ok((120, Some(110), None, true)));
    assert_eq!(place(sealed(100), &[110], 112), Ok((110, Some(100), None, false)));
    assert_eq!(place(sealed(100), &[], 105), Ok((100, Some(90), None, false)));
}

#[test]
fn a_moment_without_a_snapshot_names_the_nearest_on_both_sides() {
    let last = |last_s: i64| SnapshotLookup::Nothing(NoSnapshot::AfterLast { last_us: last_s * S });
    let unknown = || SnapshotLookup::Nothing(NoSnapshot::UnknownHost);
    let gap =
        |before_s: i64, after_s: i64| NoSnapshot::Gap { before_us: before_s * S, after_us: after_s * S };
    assert_eq!(place(last(100), &[500], 300), Err(gap(100, 500)));
    assert_eq!(place(last(100), &[110, 500], 300), Err(gap(110, 500)));
    assert_eq!(place(last(100), &[110], 300), Err(NoSnapshot::AfterLast { last_us: 110 * S }));
    assert_eq!(place(last(100), &[], 300), Err(NoSnapshot::AfterLast { last_us: 100 * S }));
    assert_eq!(place(unknown(), &[500], 300), Err(NoSnapshot::BeforeFirst { first_us: 500 * S }));
    assert_eq!(place(unknown(), &[], 300), Err(NoSnapshot::UnknownHost));
    assert_eq!(place(unknown(), &[290, 300, 310], 300), Ok((300, Some(290), Some(310), true)));
}
