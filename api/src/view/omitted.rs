//! What hosts left out of their snapshots, or shortened in them, in words: what is not shown must be told.

use fleetps_ingestor::history::Omitted;
use fleetps_nats::Snapshot;

use crate::display::count;

/// How much is missing; empty where nothing is.
pub(crate) fn words(processes_left_out: u64, texts_shortened: u64) -> String {
    let left_out = match processes_left_out {
        0 => None,
        1 => Some("1 process is left out".to_owned()),
        many => Some(format!("{} processes are left out", count(many))),
    };
    let shortened = match texts_shortened {
        0 => None,
        1 => Some("1 text is shortened".to_owned()),
        many => Some(format!("{} texts are shortened", count(many))),
    };
    left_out.into_iter().chain(shortened).collect::<Vec<_>>().join(", ")
}

/// Of one snapshot, above its processes. With a filter, it says what that does not see.
pub(crate) fn of_snapshot(snapshot: &Snapshot, is_filtered: bool) -> String {
    let words = words(snapshot.processes_left_out.into(), snapshot.texts_shortened.into());
    match snapshot.texts_shortened {
        0 => words,
        _ if !is_filtered => words,
        1 => words + ": what was cut is not searched",
        _ => words + ": what was cut of them is not searched",
    }
}

/// Of all the hosts that were searched; empty where nothing is missing.
pub(crate) fn of_search(omitted: &Omitted) -> String {
    let said: Vec<String> = [
        (omitted.processes_left_out, "process left out", "processes left out"),
        (omitted.texts_shortened, "text shortened", "texts shortened"),
    ]
    .into_iter()
    .filter(|(number, ..)| *number > 0)
    .map(|(number, one, many)| format!("{} {}", count(number), if number == 1 { one } else { many }))
    .collect();
    match (omitted.hosts, said.is_empty()) {
        (_, true) => String::new(),
        (1, _) => format!("1 host could not be searched whole: {}.", said.join(", ")),
        (hosts, _) => format!("{} hosts could not be searched whole: {}.", count(hosts), said.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_and_nothing_where_nothing_is() {
        let of = |processes_left_out, texts_shortened, is_filtered| {
            let snapshot = Snapshot { processes_left_out, texts_shortened, ..Snapshot::default() };
            of_snapshot(&snapshot, is_filtered)
        };
        assert_eq!(of(0, 0, true), "");
        assert_eq!(of(1, 1500, false), "1 process is left out, 1,500 texts are shortened");
        assert_eq!(of(0, 1, true), "1 text is shortened: what was cut is not searched");
        let mut omitted = Omitted::default();
        assert_eq!(of_search(&omitted), "");
        omitted.add(Omitted::of(0, 0));
        omitted.add(Omitted::of(0, 3));
        assert_eq!(of_search(&omitted), "1 host could not be searched whole: 3 texts shortened.");
        omitted.add(Omitted::of(1, 2000));
        assert_eq!(
            of_search(&omitted),
            "2 hosts could not be searched whole: 1 process left out, 2,003 texts shortened."
        );
    }
}
