//! The facts and figures on the page of one process.

use fleetps_ingestor::history::{Identity, ProcessLife};
use fleetps_nats::{
    model::{FieldRole, Kind, Unit},
    snapshot::Process,
};

use super::{Column, ProcessFacts, cells, table::Cell, travel::host_at};
use crate::{
    display::{self, MISSING},
    live::{HostState, Moment},
};

/// Characters of a command line or path in full: the longest that a snapshot holds.
const MAX_TEXT_CHARACTERS: usize = fleetps_nats::snapshot::MAX_STRING_BYTES;

/// A process.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its identity.
    pub identity: Identity,
    /// As it was last seen.
    pub process: Process,
    /// The snapshot that it was last seen in; absent where that is not kept.
    pub moment: Option<Moment>,
    /// Whether that is the present.
    pub is_live: bool,
    /// Its life as far as the history has it: the newest minute may be missing.
    pub life: Option<ProcessLife>,
}

impl Subject {
    /// Whether it runs and its host is heard of.
    pub(crate) fn is_running(&self) -> bool {
        self.is_live && self.moment.as_ref().is_some_and(|moment| moment.summary.state == HostState::Up)
    }

    /// Whether a later snapshot of its host is without it.
    pub(crate) fn has_exited(&self) -> bool {
        !self.is_live && self.life.as_ref().is_some_and(|life| life.has_exited)
    }
}

/// The facts with their labels.
pub(crate) fn facts(subject: &Subject) -> Vec<(&'static str, Cell)> {
    let process = &subject.process;
    let text = |text: Option<&str>| Cell::hostile("", text.unwrap_or(MISSING), MAX_TEXT_CHARACTERS);
    let life = subject.life.as_ref();
    let seen_us = subject.moment.as_ref().map(|moment| moment.snapshot().captured_at_us);
    let last_us = seen_us.or(life.map(|life| life.last_seen_us));
    let host = subject.identity.host.as_str();
    let moment = |time_us: Option<i64>| match time_us {
        Some(time_us) => Cell::moment("", time_us).linked(host_at(host, time_us)),
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

/// The figures with their labels, as the process was last seen.
pub(crate) fn figures(subject: &Subject) -> Vec<(&'static str, Cell)> {
    let Some(facts) = in_its_snapshot(subject) else { return Vec::new() };
    let is_figure = |column: &Column| column.of().role == FieldRole::Figure || *column == Column::Age;
    let shown = Column::ALL.into_iter().filter(is_figure);
    shown.map(|column| (label(column), figure(column, &facts))).collect()
}

fn label(column: Column) -> &'static str {
    if column == Column::Cpu { "CPU, % of one core" } else { column.label() }
}

/// A figure in full: sizes with their exact number of bytes, a state in words.
fn figure(column: Column, facts: &ProcessFacts<'_>) -> Cell {
    let (value, is_rate) = (facts.number(column), column.declared().is_rate);
    let per_second = if is_rate && value.is_some() { "/s" } else { "" };
    match (column.of().kind, column.of().unit) {
        (Kind::Letter, _) => cells::name("", Some(state(facts.process.state))),
        (_, Unit::Bytes) => {
            Cell::field(format!("{}{per_second}", display::size_long(value.map(|bytes| bytes as u64))))
        }
        _ => {
            let cell = cells::cell(column, facts, 1.0);
            Cell::field(format!("{}{per_second}", cell.text))
        }
    }
}

/// The process with its rates, where its snapshot is known.
pub(crate) fn in_its_snapshot(subject: &Subject) -> Option<ProcessFacts<'_>> {
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
