//! The table of who did what.

use fleetps_nats::audit::{Chained, Outcome};

use super::{
    cells,
    table::{Cell, Head, Row, Table},
};
use crate::url::{HostTab, Url};

/// The table.
pub(crate) fn table(entries: &[Chained]) -> Table {
    let heads = [
        ("when", "When"),
        ("name", "Who"),
        ("address", "From"),
        ("action", "Action"),
        ("host", "Host"),
        ("status", "Outcome"),
        ("detail", "Detail"),
    ];
    let row = |chained: &Chained| Row {
        id: format!("a-{}", chained.sequence),
        cells: cells_of(chained).into(),
        ..Row::default()
    };
    Table {
        id: "audit",
        heads: heads.map(|(column, text)| Head { column, text, ..Head::default() }).into(),
        rows: entries.iter().map(row).collect(),
        ..Table::default()
    }
}

fn cells_of(chained: &Chained) -> [Cell; 7] {
    let entry = &chained.entry;
    let host = entry
        .host
        .as_ref()
        .map(|host| Cell::new("host", host.as_str()).linked(Url::host(host.as_str(), HostTab::Processes)));
    [
        Cell::moment("when", entry.at_us),
        cells::name("name", Some(&entry.who)),
        Cell::new("address", entry.from.map(|from| from.to_string()).unwrap_or_default()),
        cells::name("action", Some(&entry.action)),
        host.unwrap_or_else(|| Cell::new("host", "")),
        Cell::new("status", entry.outcome.as_str()).shaded(dot(entry.outcome)),
        cells::path("detail", Some(&entry.what)),
    ]
}

/// The dot before the word: the colours of states.
fn dot(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "up",
        Outcome::Refused => "down",
        Outcome::Failed => "silent",
    }
}
