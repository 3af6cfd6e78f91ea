use fastrand::Rng;

use super::*;

const MINUTE_US: i64 = 60_000_000;
const SAMPLE_MS: u64 = 10_000;

/// A host that is looked at every 10 s.
struct Host {
    presences: Presences,
    at_us: i64,
}

fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    names
}

impl Host {
    fn new() -> Self {
        Self { presences: Presences::default(), at_us: 1_700_000_000_000_000 }
    }

    fn look(&mut self, names: &[&str], is_whole: bool) {
        self.at_us += 10_000_000;
        self.presences.note(&Seen {
            names: sorted(names),
            at_us: self.at_us,
            since_ms: Some(SAMPLE_MS),
            is_whole,
            view: "",
        });
    }

    fn minutes(&mut self, minutes: u32, names: &[&str]) {
        (0..minutes * 6).for_each(|_| self.look(names, true));
    }

    /// What has been missed for more than five minutes.
    fn gone(&self) -> Vec<&str> {
        let missed = self.presences.missed_s(300.0, std::iter::empty());
        missed
            .into_iter()
            .filter(|(_, value)| value.is_some_and(|seconds| seconds > 300.0))
            .map(|it| it.0)
            .collect()
    }
}

const LEARNED: u32 = 25 * 60 + 1;

#[test]
fn what_ran_for_a_day_and_an_hour_is_missed_and_nothing_else() {
    let mut host = Host::new();
    host.minutes(LEARNED / 2, &["init.service", "db.service"]);
    host.minutes(LEARNED / 2 + 1, &["init.service", "db.service", "late.service"]);
    host.minutes(5, &["init.service"]);
    assert_eq!(host.gone(), [""; 0]);
    host.minutes(1, &["init.service"]);
    assert_eq!(host.gone(), ["db.service"]);
    let missed = host.presences.missed_s(300.0, std::iter::empty());
    assert_eq!(missed["db.service"], Some(360.0));
    host.minutes(1, &["init.service", "db.service"]);
    assert_eq!(host.gone(), [""; 0]);
    let back = host.presences.missed_s(300.0, ["db.service", "late.service", "none"].into_iter());
    assert_eq!(back, BTreeMap::from([("db.service", Some(0.0))]));
}

#[test]
fn what_stops_each_night_or_comes_and_goes_is_never_expected() {
    let mut host = Host::new();
    for _ in 0..10 {
        // A backup stops the database for three minutes, and a job runs four minutes of five.
        host.minutes(23 * 60, &["init.service", "db.service"]);
        host.minutes(3, &["init.service"]);
        host.minutes(57, &["init.service", "db.service"]);
    }
    host.minutes(60, &["init.service"]);
    assert_eq!(host.gone(), [""; 0]);
    let mut host = Host::new();
    for _ in 0..2_000 {
        host.minutes(4, &["init.service", "job.service"]);
        host.minutes(1, &["init.service"]);
    }
    host.minutes(60, &["init.service"]);
    assert_eq!(host.gone(), [""; 0]);
}

#[test]
fn restarts_change_nothing() {
    let mut host = Host::new();
    for hour in 0..40 {
        // Each hour for ten seconds, and once for a minute and a half.
        host.minutes(59, &["init.service", "db.service"]);
        host.look(&["init.service"], true);
        host.minutes(1, &["init.service", "db.service"]);
        if hour == 20 {
            (0..9).for_each(|_| host.look(&["init.service"], true));
        }
    }
    host.minutes(6, &["init.service"]);
    assert_eq!(host.gone(), ["db.service"]);
}

#[test]
fn what_is_not_back_is_forgotten_and_what_goes_again_and_again_is_learned_anew() {
    let both = ["init.service", "db.service"];
    let mut host = Host::new();
    host.minutes(LEARNED, &both);
    host.minutes(72 * 60 - 1, &["init.service"]);
    assert_eq!(host.gone(), ["db.service"]);
    host.minutes(1, &["init.service"]);
    assert_eq!(host.gone(), [""; 0]);
    host.minutes(LEARNED, &both);
    for times in 0..4 {
        host.minutes(10, &["init.service"]);
        assert_eq!(host.gone().len(), usize::from(times < 3), "the {times}. time");
        host.minutes(600, &both);
    }
    host.minutes(LEARNED, &both);
    host.minutes(10, &["init.service"]);
    assert_eq!(host.gone(), ["db.service"]);
    // Three days of rest.
    host.minutes(73 * 60, &both);
    host.minutes(10, &["init.service"]);
    host.minutes(10, &both);
    host.minutes(10, &["init.service"]);
    assert_eq!(host.gone(), ["db.service"]);
}

#[test]
fn what_is_not_known_changes_nothing() {
    let both = ["init.service", "db.service"];
    let mut host = Host::new();
    host.minutes(LEARNED, &both);
    (0..1_000).for_each(|_| host.look(&["init.service"], false));
    assert_eq!(host.gone(), [""; 0], "processes are left out");
    assert_eq!(host.presences.missed_s(1.0, std::iter::empty())["db.service"], None);
    (0..29).for_each(|_| host.look(&["init.service"], true));
    assert_eq!(host.gone(), [""; 0]);
    // Since it was seen last, and not only as far as it was observed.
    (0..2).for_each(|_| host.look(&["init.service"], true));
    assert_eq!(host.presences.missed_s(300.0, std::iter::empty())["db.service"], Some(10_310.0));
    let seen = |view: &'static str, since_ms| Seen {
        names: both.into(),
        at_us: host.at_us + MINUTE_US,
        since_ms,
        is_whole: true,
        view,
    };
    let mut of_another = host.presences.clone();
    of_another.note(&seen("sees only its own processes", Some(SAMPLE_MS)));
    assert!(of_another.names.values().all(|presence| !presence.is_regular), "another view is another agent");
}

#[test]
fn a_boot_says_nothing_for_ten_minutes_and_nothing_is_missed_where_nothing_is_seen() {
    let whole = |monotonic_ms, names: &[&'static str], left_out| {
        let snapshot = Snapshot { monotonic_ms, processes_left_out: left_out, ..Snapshot::default() };
        Seen::of(&snapshot, sorted(names), Some(1)).is_whole
    };
    assert!(whole(600_000, &["a"], 0));
    assert!(!whole(599_999, &["a"], 0) && !whole(600_000, &[], 0) && !whole(600_000, &["a"], 1));
}

#[test]
fn a_new_version_takes_the_place_of_the_old_one() {
    let mut host = Host::new();
    host.minutes(LEARNED, &["init.service", "app-41.service", "php-fpm8.3"]);
    host.minutes(5, &["init.service", "app-41.service", "app-42.service", "php-fpm8.3"]);
    host.minutes(60, &["init.service", "app-42.service", "php-fpm8.4"]);
    assert_eq!(host.gone(), [""; 0]);
    host.minutes(10, &["init.service", "php-fpm8.4"]);
    assert_eq!(host.gone(), ["app-42.service"], "it is expected as the old one was");
    for (a, b, is_same) in [
        ("php-fpm8.3", "php-fpm8.4", true),
        ("app-1f3c0de.service", "app-9012345.service", true),
        ("app-1f3c0de.service", "app-90.service", true),
        ("app-1f3c.service", "app-90.service", false),
        ("app-db1", "app-fe2", false),
        ("app-db1", "app-db12", true),
        ("cafe1", "face1", false),
        ("worker@1.service", "worker@12.service", true),
        ("cafe", "face", false),
        ("nginx", "nginx2", false),
        ("ä1ü", "ä2ü", true),
    ] {
        assert_eq!(shape(a) == shape(b), is_same, "{a} and {b}: {} and {}", shape(a), shape(b));
    }
}

#[test]
fn services_and_programs_of_containers_count_and_sessions_pods_and_the_kernel_do_not() {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let process = |pid, parent, unit: &str, container: &str, pod: &str| Process {
        pid,
        parent_pid: Some(parent),
        name: "name".to_owned(),
        unit: text(unit),
        container: text(container),
        pod: text(pod),
        ..Process::default()
    };
    for (process, of_units, of_programs) in [
        (process(9, 1, "db.service", "", ""), Some("db.service"), Some("name")),
        (process(9, 7, "db.service", "", ""), None, Some("name")),
        (process(9, 1, "session-3.scope", "", ""), None, Some("name")),
        (process(9, 1, "user@1000.service", "", ""), None, Some("name")),
        (process(9, 1, "getty@tty1.service", "", ""), None, Some("name")),
        (process(9, 1, "serial-getty@ttyS0.service", "", ""), None, Some("name")),
        (process(9, 1, "console-getty.service", "", ""), None, Some("name")),
        (process(9, 1, "sshd@7-10.0.0.4:22-10.0.0.9:50122.service", "", ""), None, Some("name")),
        (process(9, 1, "sshd.service", "", ""), Some("sshd.service"), Some("name")),
        (process(9, 7, "", "0123456789ab", ""), Some("name"), Some("name")),
        (process(9, 7, "", "0123456789ab", "pod"), None, Some("name")),
        (process(9, 1, "", "", ""), None, Some("name")),
        (process(2, 0, "", "", ""), None, None),
        (process(9, 2, "", "", ""), None, None),
    ] {
        let found = (name_of(Over::Unit, &process), name_of(Over::Program, &process));
        assert_eq!(found, (of_units, of_programs), "{process:?}");
    }
}

#[test]
fn what_is_remembered_is_bounded_whatever_comes() {
    let mut host = Host::new();
    for round in 0..50 {
        let names: Vec<String> =
            (0..400).map(|number| format!("{}-{round}", number % (round + 1) * 7)).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        names.push(&long);
        host.look(&names, round % 3 > 0);
        assert!(host.presences.names.len() <= MAX_NAMES);
        assert!(host.presences.names.keys().all(|name| name.len() <= MAX_NAME_BYTES));
    }
    host.minutes(LEARNED, &["init.service"]);
    assert_eq!(host.presences.names.len(), 1, "{:?}", host.presences.names.keys());
    assert!(rmp_serde::to_vec_named(&host.presences.names).unwrap().len() < 48);
}

/// The plainest way to say what is there always: looks back over all samples of a name, each an instant later than the one
/// before by `since_ms`, and says for how long it is missed at the end, if it is one of those.
fn plain(samples: &[(bool, bool, u64)]) -> Option<u64> {
    let (mut is_regular, mut there_ms, mut away_ms, mut absences) = (false, 0_u64, None::<u64>, 0);
    let mut is_known = false;
    for (is_there, is_whole, since_ms) in samples {
        if !is_there {
            if is_known {
                let missed = away_ms.unwrap_or_default() + if *is_whole { *since_ms } else { 0 };
                away_ms = Some(missed);
                let most = if is_regular { FORGOTTEN_AFTER_MS } else { RESTART_MS };
                if missed >= u64::from(most) {
                    (is_regular, there_ms, away_ms, absences, is_known) = (false, 0, None, 0, false);
                }
            }
            continue;
        }
        match away_ms.take() {
            _ if !is_known => is_known = true,
            None => {
                there_ms = (there_ms + since_ms).min(u64::from(FORGOTTEN_AFTER_MS));
                is_regular |= there_ms >= u64::from(ALWAYS_AFTER_MS);
                if there_ms == u64::from(FORGOTTEN_AFTER_MS) {
                    absences = 0;
                }
            }
            Some(missed) if missed < u64::from(RESTART_MS) && is_regular => {}
            Some(missed) if missed < u64::from(RESTART_MS) => there_ms = there_ms.saturating_sub(50 * missed),
            Some(_) => {
                (there_ms, absences) = (0, absences + 1);
                if absences == 3 {
                    (is_regular, absences) = (false, 0);
                }
            }
        }
    }
    away_ms.filter(|_| is_regular)
}

#[test]
fn random_lives_are_learned_as_the_plainest_way_does_also_over_restarts() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut missed = 0;
    for _ in 0..400 {
        let (mut presences, mut samples, mut at_us) =
            (Presences::default(), Vec::new(), 1_700_000_000_000_000);
        for step in 0..60 {
            let (count, is_there) = (rng.u32(1..20), rng.u8(..4) > 0);
            for _ in 0..count {
                let since_ms = [10_000, 60_000, 3_600_000][rng.usize(..3)] * u64::from(is_there)
                    + [10_000, 30_000, 600_000][rng.usize(..3)] * u64::from(!is_there);
                let is_whole = rng.u8(..10) > 0;
                at_us += since_ms as i64 * 1000;
                let names = if is_there { vec!["a.service", "z"] } else { vec!["z"] };
                presences.note(&Seen { names, at_us, since_ms: Some(since_ms), is_whole, view: "" });
                samples.push((is_there, is_whole, since_ms));
            }
            if step % 7 == 0 {
                presences = rmp_serde::from_slice(&rmp_serde::to_vec_named(&presences).unwrap()).unwrap();
            }
            let found = presences.names.get("a.service").filter(|it| it.is_regular);
            let found = found.and_then(|it| it.away).map(|(_, missed_ms)| u64::from(missed_ms));
            assert_eq!(found, plain(&samples), "seed {seed}: {presences:?}");
            missed += usize::from(found.is_some());
        }
    }
    assert!(missed > 200, "only {missed}");
}
