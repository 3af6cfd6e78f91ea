//! The tables of commands to hosts: of all, of a plan, and the states of one.

use std::sync::Arc;

use fleetps_nats::command::What;

use super::{
    View, cells,
    table::{Cell, Head, Row, Table},
};
use crate::{
    command::{CommandRecord, State, Was},
    display,
    url::{HostTab, Url},
};

/// The colour of a state.
pub(crate) fn shade(state: State) -> &'static str {
    match state {
        State::Done => "up",
        State::Failed | State::Refused | State::Expired | State::NotThere => "down",
        State::Unknown | State::Cancelled => "silent",
        _ => "",
    }
}

fn heads(columns: &[(&'static str, &'static str)]) -> Vec<Head> {
    columns.iter().map(|(column, text)| Head { column, text, ..Head::default() }).collect()
}

fn state_cell(state: State) -> Cell {
    Cell::new("status", state.word()).shaded(shade(state))
}

/// What a command tells its host, with the name of its process.
pub(crate) fn what(record: &CommandRecord) -> String {
    let name = record.was.as_ref().map(|was| format!(" ({})", display::visible(&was.name)));
    match &record.what {
        What::Unit { .. } => record.what.to_string(),
        What::Signal { .. } => format!("{}{}", record.what, name.unwrap_or_default()),
    }
}

/// What a process was, with labels; its command line where it may be seen.
pub(crate) fn facts(was: &Was, sees_command_line: bool) -> Vec<(&'static str, Cell)> {
    let text = |text: Option<&str>| Cell::hostile("", text.unwrap_or(display::MISSING), 240);
    let command_line = was.command_line.as_deref().filter(|_| sees_command_line);
    vec![
        ("Process", text(Some(&was.name))),
        ("User", text(was.user_name.as_deref())),
        ("Unit", text(was.unit.as_deref())),
        ("CPU", Cell::field(display::percent(was.cpu_percent.map(f64::from)))),
        ("Memory", Cell::field(display::size(was.resident_bytes.map(|bytes| bytes as f64)))),
        ("Started", Cell::moment("", was.started_at_us)),
        ("Command line", Cell { column: "mono", ..text(command_line) }),
    ]
}

/// A table of commands called `commands`, with their hosts where these differ.
pub(crate) fn table(records: &[Arc<CommandRecord>], with_host: bool) -> Table {
    let columns = [
        ("when", "Asked"),
        ("host", "Host"),
        ("verb", "Command"),
        ("status", "State"),
        ("name", "Who"),
        ("detail", "Why"),
    ];
    let is_shown = |column: &str| with_host || column != "host";
    let row = |record: &Arc<CommandRecord>| {
        let host = record.host.as_str();
        let url = Url::command(record.id.as_str());
        let cells = [
            Cell::moment("when", record.asked_at_us).linked(url.clone()),
            Cell::new("host", host).linked(Url::host(host, HostTab::Processes)),
            cells::name("verb", Some(&what(record))).linked(url),
            state_cell(record.state()),
            cells::name("name", Some(&record.who)),
            cells::path("detail", Some(&record.why)),
        ];
        let cells = cells.into_iter().filter(|cell| is_shown(cell.column)).collect();
        Row { id: format!("c-{}", record.id), cells, ..Row::default() }
    };
    let shown: Vec<_> = columns.into_iter().filter(|(column, _)| is_shown(column)).collect();
    Table {
        id: "commands",
        heads: heads(&shown),
        rows: records.iter().map(row).collect(),
        ..Table::default()
    }
}

/// The list of commands, while it changes.
pub(crate) fn list(records: &[Arc<CommandRecord>], version: u64) -> View {
    View { version: version.to_string(), fields: Vec::new(), tables: vec![table(records, true)] }
}

/// What becomes of a command, or of a plan.
pub(crate) fn progress(records: &[Arc<CommandRecord>]) -> View {
    let versions: u64 = records.iter().map(|record| record.version + 1).sum();
    let table = match records {
        [one] => steps(one),
        several => hosts(several),
    };
    let fields = vec![("state", summary(records))];
    View { version: versions.to_string(), fields, tables: vec![table] }
}

/// The state of one; of several, how many are in each.
fn summary(records: &[Arc<CommandRecord>]) -> Cell {
    if let [one] = records {
        return Cell::field(one.state().word()).shaded(shade(one.state()));
    }
    let counted = State::ALL.into_iter().filter_map(|state| {
        let count = records.iter().filter(|record| record.state() == state).count();
        (count > 0).then(|| format!("{} {}", display::count(count as u64), state.word()))
    });
    let worst = records.iter().map(|record| record.state()).find(|state| shade(*state) == "down");
    let is_done = records.iter().all(|record| record.state() == State::Done);
    let shade = if is_done { "up" } else { worst.map_or("", |_| "down") };
    Cell::field(counted.collect::<Vec<_>>().join(", ")).shaded(shade)
}

/// The states of one command, the first first, each with what its unit wrote.
fn steps(record: &CommandRecord) -> Table {
    let rows = |number: usize, step: &crate::command::Step| {
        let words = step.words();
        let cells = vec![
            Cell::moment("when", step.at_us),
            state_cell(step.state),
            Cell::hostile("said", &words, usize::MAX),
        ];
        let first = Row { id: format!("s-{number}"), cells, ..Row::default() };
        [vec![first], output(number, &step.output)].concat()
    };
    let columns = [("when", "When"), ("status", "State"), ("said", "Detail")];
    Table {
        id: "steps",
        heads: heads(&columns),
        rows: record.steps.iter().enumerate().flat_map(|(number, step)| rows(number, step)).collect(),
        ..Table::default()
    }
}

/// What a unit wrote, a row for each line.
fn output(number: usize, lines: &[String]) -> Vec<Row> {
    let row = |(line, text): (usize, &String)| {
        let cells =
            vec![Cell::new("when", ""), Cell::new("status", ""), Cell::hostile("output", text, usize::MAX)];
        Row { id: format!("o-{number}-{line}"), cells, ..Row::default() }
    };
    lines.iter().enumerate().map(row).collect()
}

/// The commands of a plan.
fn hosts(records: &[Arc<CommandRecord>]) -> Table {
    let row = |record: &Arc<CommandRecord>| {
        let last = record.last();
        let cells = vec![
            Cell::new("host", record.host.as_str()).linked(Url::command(record.id.as_str())),
            cells::name("verb", Some(&what(record))),
            state_cell(record.state()),
            Cell::moment("when", last.at_us),
            Cell::hostile("said", &last.words(), 240),
        ];
        Row { id: format!("c-{}", record.id), cells, ..Row::default() }
    };
    let columns =
        [("host", "Host"), ("verb", "Command"), ("status", "State"), ("when", "Since"), ("said", "Detail")];
    Table { id: "plan", heads: heads(&columns), rows: records.iter().map(row).collect(), ..Table::default() }
}
