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

/// (captured, earlier, later, whether it says that a later one may be missing), all in seconds.
type HeldPlace = (i64, Option<i64>, Option<i64>, bool);

fn held_place(
    sealed: &SnapshotLookup,
    held: &[i64],
    at_s: i64,
    heard_until_s: i64,
) -> Option<Result<HeldPlace, NoSnapshot>> {
    let mut held: Vec<Arc<Snapshot>> =
        held.iter().map(|captured_s| Arc::new(snapshot(*captured_s))).collect();
    let latest = held.pop().unwrap();
    let pair = SnapshotPair::new("h".parse().unwrap(), latest, held.pop());
    let known = by_held(sealed, &pair, (at_s * S, heard_until_s * S), AwaySince(0))?;
    Some(match known {
        PastLookup::Nothing(nothing) => Err(nothing),
        PastLookup::PastMoment(then) => Ok((
            then.moment.snapshot().captured_at_us / S,
            then.earlier_us.map(|us| us / S),
            then.later_us.map(|us| us / S),
            then.away.is_some(),
        )),
    })
}

#[test]
fn without_the_stream_the_two_last_snapshots_that_are_held_answer_as_far_as_they_go() {
    // However long ago the last one came: when the broker went, nobody was heard of any longer.
    for at_s in [181, 9_000] {
        let last = held_place(&sealed(100), &[170, 180], at_s, 181);
        assert_eq!(last, Some(Ok((180, Some(170), None, true))), "{at_s}");
    }
    assert_eq!(held_place(&sealed(100), &[180], 185, 181), Some(Ok((180, Some(100), None, true))));
    // Others were heard of for long after it.
    let silent = NoSnapshot::AfterLast { last_us: 180 * S };
    assert_eq!(held_place(&sealed(100), &[170, 180], 9_000, 9_000), Some(Err(silent)));
    assert_eq!(held_place(&sealed(100), &[170, 180], 175, 181), Some(Ok((170, Some(100), Some(180), false))));
    let gap = NoSnapshot::Gap { before_us: 110 * S, after_us: 180 * S };
    assert_eq!(held_place(&sealed(100), &[110, 180], 170, 181), Some(Err(gap)));
    // What lies between is only in the stream.
    assert_eq!(held_place(&sealed(100), &[170, 180], 150, 181), None);
    // The history has it already.
    assert_eq!(held_place(&sealed(180), &[170, 180], 185, 181), None);
    let unknown = SnapshotLookup::Nothing(NoSnapshot::UnknownHost);
    assert_eq!(held_place(&unknown, &[170, 180], 165, 181), Some(Ok((170, None, Some(180), true))));
    assert_eq!(held_place(&unknown, &[170, 180], -80, 181), None);
}
