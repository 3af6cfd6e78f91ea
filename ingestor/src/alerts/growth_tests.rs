use super::*;

const GIB: f64 = (1_u64 << 30) as f64;
const SIZE: f64 = 100.0 * GIB;
const DAY_S: f64 = 24.0 * HOUR_S;

fn disk(used: f64) -> FilesystemSample {
    FilesystemSample {
        mount: "/data".to_owned(),
        total_bytes: Some(SIZE as u64),
        used_bytes: Some(used as u64),
        available_bytes: Some((SIZE - used) as u64),
        ..FilesystemSample::default()
    }
}

fn snapshot(minute: i64, filesystems: Vec<FilesystemSample>) -> Snapshot {
    let captured_at_us = 1_700_000_000_000_000 / HOUR_US * HOUR_US + minute * 60_000_000;
    Snapshot { captured_at_us, filesystems, ..Snapshot::default() }
}

/// After these hours with a sample every 10 minutes, where `used` says how full the disk is (in GiB) at an hour.
fn after(hours: i64, used: impl Fn(f64) -> f64) -> Option<f64> {
    let mut growths = Growths::default();
    for minute in (0..=hours * 60).step_by(10) {
        let disk = disk(used(minute as f64 / 60.0) * GIB);
        growths.note(&snapshot(minute, vec![disk]));
    }
    growths.full_in_s(&disk(used(hours as f64) * GIB)).map(|seconds| seconds / DAY_S)
}

fn is_about(found: Option<f64>, days: f64) -> bool {
    found.is_some_and(|found| (found / days - 1.0).abs() < 0.1)
}

#[test]
fn a_disk_that_grows_steadily_is_full_when_the_rest_is_used_up() {
    // 12 GiB a day from 60 on: at 84 after two days, 16 are left.
    let steady = |hour: f64| 60.0 + hour / 2.0;
    assert!(is_about(after(48, steady), 16.0 / 12.0), "{:?}", after(48, steady));
    // Files that come and go within an hour, and noise, change little.
    let busy = |hour: f64| 60.0 + hour / 2.0 + if (hour * 6.0) as u32 % 6 == 3 { 0.2 } else { 0.0 };
    assert!(is_about(after(48, busy), 16.0 / 12.0), "{:?}", after(48, busy));
}

#[test]
fn nothing_is_said_before_most_of_a_day_is_known() {
    let steady = |hour: f64| 80.0 + hour / 4.0;
    assert_eq!(after(17, steady), None);
    assert_eq!(after(19, steady), None, "of the longer time, a day is needed");
    assert!(after(25, steady).is_some());
}

#[test]
fn what_does_not_grow_all_the_time_is_not_about_to_be_full() {
    let far = Some(FAR_S / DAY_S);
    for (what, used) in [
        ("it stays", (|_| 95.0) as fn(f64) -> f64),
        ("it shrinks", |hour| 95.0 - hour / 10.0),
        ("there is room", |hour| 10.0 + hour / 4.0),
        ("a copy that ended", |hour| if hour > 40.0 { 80.0 } else { 60.0 }),
        ("a copy that goes on, after a week of quiet", |hour| 70.0 + (hour - 46.0).max(0.0)),
        ("rotated every night", |hour| 70.0 + hour.rem_euclid(24.0)),
        ("rotated once a week", |hour| if hour > 30.0 { 60.0 + hour / 8.0 } else { 80.0 + hour / 8.0 }),
        ("noise on a full disk", |hour| 99.0 + hour / 1000.0),
    ] {
        assert_eq!(after(48, used), far, "{what}");
    }
}

#[test]
fn a_day_and_a_week_must_agree() {
    // A GiB a day in the week, ten in the last day.
    let faster =
        |hour: f64| 70.0 + hour / 24.0 + if hour > 144.0 { (hour - 144.0) * 9.0 / 24.0 } else { 0.0 };
    let found = after(168, faster).unwrap();
    let left = 100.0 - faster(168.0);
    assert!(found > 0.9 * left, "{found} days by the slower growth, {left} GiB left");
}

#[test]
fn what_is_remembered_is_bounded_and_outlives_a_restart() {
    let mut growths = Growths::default();
    let mut again = Growths::default();
    for minute in (0..20 * 24 * 60).step_by(30) {
        let steady = disk((60.0 + minute as f64 / 1440.0) * GIB);
        let others = (0..100).map(|number| FilesystemSample { mount: format!("/{number}"), ..disk(GIB) });
        let snapshot = snapshot(minute, std::iter::once(steady.clone()).chain(others).collect());
        growths.note(&snapshot);
        again.note(&snapshot);
        if minute % 330 == 0 {
            again = rmp_serde::from_slice(&rmp_serde::to_vec_named(&again).unwrap()).unwrap();
        }
        if minute % 330 == 30 {
            assert_eq!(growths.full_in_s(&steady), again.full_in_s(&steady));
        }
    }
    assert_eq!(growths, again);
    assert_eq!(growths.0.len(), MAX_FILESYSTEMS);
    let data = &growths.0["/data"];
    assert_eq!((data.day.uses.len(), data.week.uses.len()), (25, 43));
    assert!(rmp_serde::to_vec_named(data).unwrap().len() <= 400);
    growths.note(&snapshot(28 * 24 * 60, vec![disk(GIB)]));
    assert_eq!(growths.0.len(), 1, "the others are forgotten, and this begins anew: {growths:?}");
}

#[test]
fn hours_of_which_nothing_is_known_are_left_out() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut slots, mut hour) = (Slots::default(), 470_000_i64);
    let mut plain: Vec<(i64, u32)> = Vec::new();
    for _ in 0..300 {
        hour += [1, 1, 1, 2, 5, 24, 25, 30][rng.usize(..8)];
        let mib = rng.u32(..100_000);
        assert!(DAY.note(&mut slots, hour, mib), "seed {seed}");
        assert!(!DAY.note(&mut slots, hour, 0) && !DAY.note(&mut slots, hour - 1, 0), "seed {seed}");
        plain.retain(|(slot, _)| hour - slot <= 24);
        assert_eq!(slots.over(), plain, "seed {seed}");
        plain.push((hour, mib));
    }
}

#[test]
fn a_mount_that_is_gone_makes_room_for_a_new_one() {
    let of = |mount: String| FilesystemSample { mount, ..disk(60.0 * GIB) };
    let mut growths = Growths::default();
    for minute in 0..200 {
        let mut filesystems = vec![of(format!("/run/{minute}")), of("x".repeat(MAX_MOUNT_BYTES + 1))];
        filesystems.extend((minute >= 100).then(|| of("/data".to_owned())));
        growths.note(&snapshot(minute, filesystems));
    }
    assert_eq!(growths.0.len(), MAX_FILESYSTEMS);
    let is_known = |mount: &str| growths.0.contains_key(mount);
    assert!(is_known("/data") && is_known("/run/199") && !is_known("/run/0"), "{growths:?}");
    assert!(growths.0.keys().all(|mount| mount.len() <= MAX_MOUNT_BYTES));
    // Those that are there stay.
    let all = || (0..100).map(|number| of(format!("/{number}"))).collect::<Vec<_>>();
    growths.note(&snapshot(200, all()));
    let before: Vec<String> = growths.0.keys().cloned().collect();
    growths.note(&snapshot(201, all()));
    assert!(growths.0.keys().eq(&before));
    assert!(growths.0.keys().all(|mount| !mount.starts_with("/run/")), "{before:?}");
}

#[test]
fn a_clock_from_the_future_does_not_stop_it_for_ever() {
    let mut growths = Growths::default();
    growths.note(&snapshot(60 * 24 * 365, vec![disk(90.0 * GIB)]));
    for minute in (0..48 * 60).step_by(10) {
        growths.note(&snapshot(minute, vec![disk((60.0 + minute as f64 / 120.0) * GIB)]));
    }
    assert!(growths.full_in_s(&disk(84.0 * GIB)).is_some_and(|seconds| seconds < 2.0 * DAY_S));
}
