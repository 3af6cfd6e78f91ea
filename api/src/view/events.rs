//! The table of what happened.

use fleetps_ingestor::history::{Event, EventKind};
use serde_json::Value as Json;

use super::{
    cells,
    table::{Cell, Head, Row, Table},
    travel::host_at,
};
use crate::{
    query::parameter::{Value, choice, words},
    url::{HostTab, Url},
};

impl Value for EventKind {
    fn read(given: &str) -> Result<Self, String> {
        let known = choice(EventKind::ALL, EventKind::id, given);
        known.map_err(|one_of| format!("{one_of}, or several with commas between"))
    }

    fn written(&self) -> String {
        self.id().to_owned()
    }

    fn schema() -> Json {
        words(EventKind::ALL.map(EventKind::id))
    }
}

/// The word for a kind on pages.
pub(crate) fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Started => "started",
        EventKind::Exited => "exited",
        EventKind::RestartLoop => "restart loop",
        EventKind::RestartLoopEnded => "loop ended",
        EventKind::Silent => "silent",
        EventKind::Back => "back",
        EventKind::Paused => "paused",
        EventKind::Resumed => "resumed",
        EventKind::Booted => "booted",
        EventKind::ClockChanged => "clock changed",
        EventKind::ClockOffset => "clock off",
        EventKind::TwoAgents => "two agents",
        EventKind::AgentChanged => "agent updated",
        EventKind::HostChanged => "system changed",
    }
}

/// The dot before the word: the colours of states.
fn dot(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Started | EventKind::Back | EventKind::Resumed | EventKind::RestartLoopEnded => "up",
        EventKind::Paused => "paused",
        EventKind::RestartLoop => "down",
        EventKind::Silent
        | EventKind::Booted
        | EventKind::ClockChanged
        | EventKind::ClockOffset
        | EventKind::TwoAgents => "silent",
        EventKind::Exited | EventKind::AgentChanged | EventKind::HostChanged => "",
    }
}

/// The table; with the host of each event where there are several.
pub(crate) fn table(events: &[Event], with_host: bool) -> Table {
    let heads = [
        ("when", "When"),
        ("host", "Host"),
        ("what", "What"),
        ("name", "Process"),
        ("pid", "PID"),
        ("detail", "Detail"),
    ];
    let is_shown = |column: &str| with_host || column != "host";
    let head = |(column, text)| Head { column, text, ..Head::default() };
    let row = |(number, event): (usize, &Event)| {
        let cells = cells_of(event).into_iter().filter(|cell| is_shown(cell.column)).collect();
        Row { id: format!("e-{number}"), cells, ..Row::default() }
    };
    Table {
        id: "events",
        heads: heads.into_iter().filter(|(column, _)| is_shown(column)).map(head).collect(),
        rows: events.iter().enumerate().map(row).collect(),
        ..Table::default()
    }
}

fn cells_of(event: &Event) -> [Cell; 6] {
    let host = event.host.as_str();
    let mut name = cells::name("name", event.name());
    let mut pid = Cell::new("pid", "");
    if let Some(process) = event.identity() {
        name = name.linked(Url::of_process(&process));
        pid = Cell::new("pid", process.pid.to_string());
    }
    [
        Cell::moment("when", event.at_us).linked(host_at(host, event.at_us)),
        Cell::new("host", host).linked(Url::host(host, HostTab::Processes)),
        Cell::new("what", word(event.kind)).shaded(dot(event.kind)),
        name,
        pid,
        cells::path("detail", Some(&event.detail())),
    ]
}
