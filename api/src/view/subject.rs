//! What a page says of one process: who it is, and what it does.

use super::{ProcessFacts, cells, links, table::Cell};
use crate::{
    display::{self, MISSING},
    past::process::Subject,
};

/// Characters of a command line or path in full: the longest that a snapshot holds.
const MAX_TEXT_CHARACTERS: usize = fleetps_nats::snapshot::MAX_STRING_BYTES;

/// Who it is: what each fact is called, and the fact.
pub fn facts(subject: &Subject) -> Vec<(&'static str, Cell)> {
    let process = &subject.process;
    let text = |text: Option<&str>| Cell::hostile("", text.unwrap_or(MISSING), MAX_TEXT_CHARACTERS);
    let life = subject.life.as_ref();
    let seen_us = subject.moment.as_ref().map(|moment| moment.snapshot().captured_at_us);
    let last_us = seen_us.or(life.map(|life| life.last_seen_us));
    let host = subject.identity.host.as_str();
    let moment = |time_us: Option<i64>| match time_us {
        Some(time_us) => Cell::moment("", time_us).linked(links::host_at(host, time_us)),
        None => Cell::field(MISSING),
    };
    vec![
        ("Command line", Cell { column: "mono", ..text(process.command_line.as_deref()) }),
        ("Executable", Cell { column: "mono", ..text(process.executable.as_deref()) }),
        ("User", text(process.user_name.as_deref())),
        ("Unit", text(process.unit.as_deref())),
        ("Container", text(process.container.as_deref())),
        ("Started", Cell::moment("", process.started_at_us)),
        ("First seen", moment(life.map(|life| life.first_seen_us))),
        ("Last seen", moment(last_us)),
    ]
}

/// What it does, as it was last seen: what each figure is called, and the figure.
pub fn figures(subject: &Subject) -> Vec<(&'static str, Cell)> {
    let process = &subject.process;
    let Some(facts) = in_its_snapshot(subject) else { return Vec::new() };
    let long = |bytes: Option<u64>| Cell::field(display::size_long(bytes));
    let rate = |rate: Option<f64>| match rate {
        Some(rate) => Cell::field(format!("{}/s", display::size_long(Some(rate as u64)))),
        None => Cell::field(MISSING),
    };
    vec![
        ("CPU, % of one core", Cell::field(display::percent(process.cpu_percent.map(f64::from)))),
        ("CPU time", Cell::field(display::cpu_time(process.cpu_time_ms))),
        ("Memory (resident)", long(process.resident_bytes)),
        ("Virtual size", long(process.virtual_bytes)),
        ("Read", rate(facts.rates.read_per_s)),
        ("Written", rate(facts.rates.written_per_s)),
        ("Threads", Cell::field(display::count_or_missing(process.threads.map(u64::from)))),
        ("State", cells::name("", Some(state(process.state)))),
        ("Age", Cell::field(display::duration(facts.age_s))),
    ]
}

/// The process with its rates, where its snapshot is known.
pub fn in_its_snapshot(subject: &Subject) -> Option<ProcessFacts<'_>> {
    let process = &subject.process;
    let is_it = |facts: &ProcessFacts<'_>| facts.process.key() == process.key();
    ProcessFacts::all(subject.moment.as_ref()?).into_iter().find(is_it)
}

/// The letter of a state in words.
fn state(letter: char) -> &'static str {
    match letter {
        'R' => "running",
        'S' => "sleeping",
        'D' => "waiting for disk",
        'I' => "idle",
        'T' => "stopped",
        'Z' => "zombie",
        'X' => "dead",
        _ => "unknown",
    }
}
