//! Programs that are started again and again.

use std::collections::BTreeMap;

use fleetps_nats::HostName;
use jiff::SignedDuration;

use super::processes::Turn;
use crate::events::{Event, EventKind, EventProgram};

/// This many starts within [`WITHIN_US`] are a loop: two happen when a person updates a service and notices a mistake.
const STARTS: usize = 3;
/// Ten minutes: systemd waits at most some minutes between attempts, Kubernetes five.
const WITHIN_US: i64 = 600_000_000;

/// One event for each time that a program was started in a loop, at its first start. A program is identified by its
/// name and unit, or by its name and executable where it has no unit.
pub(super) fn loops(starts: &[Turn]) -> Vec<Event> {
    type Program<'a> = (&'a HostName, &'a str, Option<&'a str>);
    let mut programs: BTreeMap<Program<'_>, Vec<i64>> = BTreeMap::new();
    for start in starts {
        let belongs_to = start.unit.as_deref().or(start.executable.as_deref());
        programs.entry((&start.identity.host, &start.name, belongs_to)).or_default().push(start.at_us);
    }
    let mut events = Vec::new();
    for ((host, name, belongs_to), mut starts_us) in programs {
        starts_us.sort_unstable();
        for turns_us in runs(&starts_us) {
            let [first_us, .., last_us] = turns_us else { continue };
            let length = SignedDuration::from_secs((last_us - first_us) / 1_000_000);
            let of = belongs_to.map(|unit| format!(" ({unit})")).unwrap_or_default();
            let detail = format!("started {} times within {length:#}{of}", turns_us.len());
            let program = EventProgram { name: name.to_owned(), ..EventProgram::default() };
            events.push(Event {
                program: Some(program),
                change: Some(detail),
                ..Event::of_host(EventKind::RestartLoop, host, *first_us)
            });
        }
    }
    events
}

/// The longest runs of starts in which each start has two others within ten minutes.
fn runs(starts_us: &[i64]) -> Vec<&[i64]> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (place, window) in starts_us.windows(STARTS).enumerate() {
        let [first_us, .., last_us] = window else { continue };
        if last_us - first_us > WITHIN_US {
            continue;
        }
        match ranges.last_mut() {
            Some((_, end)) if place < *end => *end = place + STARTS,
            _ => ranges.push((place, place + STARTS)),
        }
    }
    ranges.into_iter().filter_map(|(first, end)| starts_us.get(first..end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Identity;

    const MINUTE_US: i64 = 60_000_000;

    fn start(minute: i64, name: &str, unit: Option<&str>) -> Turn {
        let host = "web-01".parse().unwrap();
        Turn {
            at_us: minute * MINUTE_US,
            identity: Identity {
                host,
                boot_id: "b".to_owned(),
                pid: 7,
                start: minute,
                started_at_us: minute * MINUTE_US,
            },
            name: name.to_owned(),
            executable: Some("/usr/bin/x".to_owned()),
            command_line: None,
            unit: unit.map(str::to_owned),
        }
    }

    #[test]
    fn three_starts_within_ten_minutes_are_a_loop() {
        let starts_at = |minutes: &[i64]| -> Vec<Turn> {
            minutes.iter().map(|minute| start(*minute, "x", Some("x.service"))).collect()
        };
        assert_eq!(loops(&starts_at(&[0, 5])), []);
        assert_eq!(loops(&starts_at(&[0, 5, 11, 16])), []);
        let events = loops(&starts_at(&[100, 10, 0, 5, 14, 24]));
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].at_us, events[0].kind), (0, EventKind::RestartLoop));
        assert_eq!(events[0].detail(), "started 4 times within 14m (x.service)");
        let twice = loops(&starts_at(&[0, 1, 2, 60, 61, 62]));
        assert_eq!(twice.iter().map(|event| event.at_us).collect::<Vec<_>>(), [0, 60 * MINUTE_US]);
    }

    #[test]
    fn programs_of_the_same_name_in_different_units_are_different() {
        let starts = [start(0, "x", Some("a")), start(1, "x", Some("b")), start(2, "x", None)];
        assert_eq!(loops(&starts), []);
        let starts = [start(0, "x", None), start(1, "x", None), start(2, "x", None)];
        assert_eq!(loops(&starts)[0].detail(), "started 3 times within 2m (/usr/bin/x)");
    }
}
