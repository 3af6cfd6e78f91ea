//! The table of restart loops: those that go on now first, each with how often it was started and how long its lives are.

use std::collections::{HashMap, HashSet};

use fleetps_ingestor::history::{Event, EventKind};

use super::{
    arrangement::Arrangement,
    cells,
    query::{FilterText, ProcessQuery, quoted},
    table::{Cell, Head, Row, Table},
    travel::host_at,
};
use crate::{
    display,
    url::{HostTab, Url},
};

/// A loop, from its events.
struct RestartLoop<'a> {
    /// The event that says most of it: its end, where that is known.
    said: &'a Event,
    /// Whether it goes on, as far as these events say.
    goes_on: bool,
    since_us: i64,
}

/// What names a loop: its host, its program, and what starts that.
pub(crate) type LoopName = (String, Option<String>, Option<String>);

/// What a loop that goes on did until now: its event only says how it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UntilNow {
    /// How often it was started; more often where there are more events than were looked at.
    starts: u64,
    is_more: bool,
    /// When it was started last.
    last_us: Option<i64>,
    /// The median length of its lives that are over.
    median_life_ms: Option<i64>,
}

impl UntilNow {
    /// From the starts and exits of its program on its host since it began, the newest first; not `is_whole` where there are more.
    pub(crate) fn of(event: &Event, starts_and_exits: &[Event], is_whole: bool) -> Self {
        let of = |kind: EventKind| starts_and_exits.iter().filter(move |it| it.kind == kind);
        let starts: Vec<&Event> =
            of(EventKind::Started).filter(|it| it.supervisor == event.supervisor).collect();
        // An exit does not say what had started the process.
        let key = |it: &Event| {
            it.process.as_ref().map(|process| (process.boot_id.clone(), process.pid, process.start))
        };
        let started: HashSet<_> = starts.iter().filter_map(|it| key(it)).collect();
        let exits = of(EventKind::Exited).filter(|it| key(it).is_some_and(|key| started.contains(&key)));
        let mut lives_ms: Vec<i64> = exits.filter_map(|exit| exit.length_ms).collect();
        lives_ms.sort_unstable();
        let told = u64::from(event.lives.unwrap_or_default());
        Self {
            starts: (starts.len() as u64).max(told),
            is_more: !is_whole,
            last_us: starts.iter().map(|start| start.at_us).max(),
            median_life_ms: lives_ms.get(lives_ms.len() / 2).copied(),
        }
    }
}

impl UntilNow {
    /// How often it was started, at least.
    pub(crate) fn starts(&self) -> u32 {
        u32::try_from(self.starts).unwrap_or(u32::MAX)
    }
}

/// The name of the loop that an event is about.
pub(crate) fn name_of(event: &Event) -> LoopName {
    (event.host.to_string(), event.name().map(str::to_owned), event.supervisor.clone())
}

/// The beginnings of the loops that go on, as far as `events` say.
pub(crate) fn going_on(events: &[Event]) -> Vec<&Event> {
    loops(events, true).into_iter().filter(|found| found.goes_on).map(|found| found.said).collect()
}

/// The table of the loops that `events`, the newest first, tell of; with the host of each where there are several. A loop that
/// began before all of them and goes on is not among them. Unless the events go on until now (`ends_now`), a loop without an
/// end may have ended since.
pub(crate) fn table(
    events: &[Event],
    until_now: &HashMap<LoopName, UntilNow>,
    with_host: bool,
    ends_now: bool,
) -> Table {
    let heads = [
        ("status", "State"),
        ("name", "Process"),
        ("host", "Host"),
        ("unit", "Started by"),
        ("count", "Starts"),
        ("age", "Median life"),
        ("when", "Since"),
        ("until", "Last start"),
    ];
    let is_shown = |column: &str| with_host || column != "host";
    let row = |(number, found): (usize, &RestartLoop<'_>)| {
        let until_now = until_now.get(&name_of(found.said)).filter(|_| found.goes_on);
        let cells =
            cells_of(found, until_now, ends_now).into_iter().filter(|cell| is_shown(cell.column)).collect();
        Row { id: format!("l-{number}"), cells, ..Row::default() }
    };
    Table {
        id: "loops",
        heads: heads
            .into_iter()
            .filter(|(column, _)| is_shown(column))
            .map(|(column, text)| Head { column, text, ..Head::default() })
            .collect(),
        rows: loops(events, ends_now).iter().enumerate().map(row).collect(),
        ..Table::default()
    }
}

/// One for each loop: its end and its beginning are one. Those that go on now come first.
fn loops(events: &[Event], ends_now: bool) -> Vec<RestartLoop<'_>> {
    let mut found: Vec<RestartLoop<'_>> = Vec::new();
    // By the time since which it loops, where its end is known already.
    let mut ended: HashMap<(&str, Option<&str>, Option<&str>), i64> = HashMap::new();
    for event in events {
        let key = (event.host.as_str(), event.name(), event.supervisor.as_deref());
        let since_us = event.since_us.unwrap_or(event.at_us);
        match event.kind {
            EventKind::RestartLoopEnded => {
                ended.insert(key, since_us);
                found.push(RestartLoop { said: event, goes_on: false, since_us });
            }
            // The end of a loop comes after its beginning, which is not before what the end says.
            EventKind::RestartLoop if ended.get(&key).is_some_and(|ended_us| *ended_us <= event.at_us) => {
                ended.remove(&key);
            }
            EventKind::RestartLoop => found.push(RestartLoop { said: event, goes_on: true, since_us }),
            _ => {}
        }
    }
    found.sort_by_key(|found| std::cmp::Reverse((found.goes_on && ends_now, found.since_us)));
    found
}

fn cells_of(found: &RestartLoop<'_>, until_now: Option<&UntilNow>, ends_now: bool) -> [Cell; 8] {
    let (event, host) = (found.said, found.said.host.as_str());
    let status = match (found.goes_on, ends_now) {
        (true, true) => Cell::new("status", "looping").shaded("down"),
        // The column is too narrow for the whole.
        (true, false) => {
            Cell { title: Some("not over by then".to_owned()), ..Cell::new("status", "not over") }
        }
        (false, _) => Cell::new("status", "ended"),
    };
    let name = cells::name("name", event.name());
    let name = match (event.identity(), event.name()) {
        (Some(process), _) => name.linked(Url::of_process(&process)),
        (None, Some(program)) => name.linked(of_program(host, program)),
        (None, None) => name,
    };
    let count = until_now.map(|now| now.starts).or(event.lives.map(u64::from));
    let starts = count.map_or_else(|| display::MISSING.to_owned(), display::count);
    let is_more = found.goes_on && until_now.is_none_or(|now| now.is_more);
    let starts = if is_more { format!("{starts} +") } else { starts };
    let life_ms = until_now.and_then(|now| now.median_life_ms).or(event.length_ms);
    let life = life_ms.map_or_else(|| display::MISSING.to_owned(), |ms| display::duration(ms / 1_000));
    let last_us = match found.goes_on {
        true => until_now.and_then(|now| now.last_us),
        false => Some(event.at_us),
    };
    let until = last_us.map_or_else(
        || Cell::new("until", ""),
        |last_us| Cell::moment("until", last_us).linked(host_at(host, last_us)),
    );
    [
        status,
        name,
        Cell::new("host", host).linked(Url::host(host, HostTab::Processes)),
        cells::name("unit", event.supervisor.as_deref()),
        Cell::new("count", starts),
        Cell::new("age", life),
        Cell::moment("when", found.since_us).linked(host_at(host, found.since_us)),
        until,
    ]
}

/// What ran of a program on a host, now.
fn of_program(host: &str, program: &str) -> Url {
    let q = FilterText::of(&format!("name = {}", quoted(program)));
    Url::host(host, HostTab::Processes).with(&ProcessQuery {
        view: Arrangement::Flat,
        q,
        ..ProcessQuery::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, host: &str, at_us: i64, since_us: i64) -> Event {
        let text = format!(
            r#"{{"place":{{"epoch_s":7,"sequence":0,"number":0}},"at_us":{at_us},"decided_at_us":5,"kind":"{kind}",
            "host":"{host}","since_us":{since_us},"lives":53,"length_ms":7000,"supervisor":"app.service"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_loop_is_one_row_and_those_that_go_on_come_first() {
        let events = [
            event("restart_loop_ended", "web-1", 900, 400),
            event("restart_loop", "web-2", 700, 650),
            event("restart_loop", "web-1", 500, 400),
            event("restart_loop_ended", "web-1", 300, 100),
            event("restart_loop", "web-1", 200, 100),
        ];
        let table = table(&events, &HashMap::new(), true, true);
        let cells = |row: &Row| row.cells.iter().map(|cell| cell.text.clone()).collect::<Vec<_>>();
        let shown: Vec<Vec<String>> = table.rows.iter().map(cells).collect();
        let states: Vec<(&str, &str)> = shown.iter().map(|row| (row[0].as_str(), row[2].as_str())).collect();
        assert_eq!(states, [("looping", "web-2"), ("ended", "web-1"), ("ended", "web-1")]);
        assert_eq!(shown[0][3..6], ["app.service", "53 +", "7 s"]);
        assert_eq!(shown[1][4], "53");
    }

    #[test]
    fn a_loop_that_goes_on_says_what_it_did_until_now() {
        let loops = [event("restart_loop", "web-2", 700, 650)];
        // Each life is 4 s, as its exit says; exits name no supervisor, and another program of the name has one of its own.
        let process =
            |pid: u32| serde_json::json!({"boot_id": "b", "pid": pid, "start": 1, "started_at_us": 1});
        let of = |kind: &str, pid: u32, supervisor: Option<&str>| {
            let mut event = event(kind, "web-2", 9_000_000 - i64::from(pid), 0);
            event.process = serde_json::from_value(process(pid)).unwrap();
            (event.supervisor, event.length_ms) = (supervisor.map(str::to_owned), Some(4_000));
            event
        };
        let meanwhile: Vec<Event> = (0..60)
            .flat_map(|pid| [of("started", pid, Some("app.service")), of("exited", pid, None)])
            .chain((100..170).map(|pid| of("started", pid, Some("other.service"))))
            .collect();
        let until_now = UntilNow::of(&loops[0], &meanwhile, true);
        let by_name = HashMap::from([(name_of(going_on(&loops)[0]), until_now)]);
        let table = table(&loops, &by_name, true, true);
        let shown: Vec<&str> = table.rows[0].cells.iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!((shown[4], shown[5], shown[7]), ("60", "4 s", display::time(9_000_000).as_str()));
        let cut = UntilNow::of(&loops[0], &meanwhile[..20], false);
        assert_eq!((cut.starts, cut.is_more), (53, true), "never less than it began with");
    }

    #[test]
    fn what_went_on_at_a_past_end_is_not_said_to_go_on_now() {
        let events = [
            event("restart_loop", "web-3", 800, 750),
            event("restart_loop_ended", "web-1", 700, 690),
            event("restart_loop", "web-2", 500, 400),
        ];
        let states = |ends_now: bool| {
            let state = |row: Row| (row.cells[0].text.clone(), row.cells[0].shade, row.cells[2].text.clone());
            table(&events, &HashMap::new(), true, ends_now).rows.into_iter().map(state).collect::<Vec<_>>()
        };
        let said = |all: [(&str, &'static str, &str); 3]| {
            all.map(|(word, shade, host)| (word.to_owned(), shade, host.to_owned()))
        };
        let now = [("looping", "down", "web-3"), ("looping", "down", "web-2"), ("ended", "", "web-1")];
        assert_eq!(states(true), said(now));
        let then = [("not over", "", "web-3"), ("ended", "", "web-1"), ("not over", "", "web-2")];
        assert_eq!(states(false), said(then));
        let title = table(&events, &HashMap::new(), true, false).rows[0].cells[0].title.clone();
        assert_eq!(title.as_deref(), Some("not over by then"));
    }
}
