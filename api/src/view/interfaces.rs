//! The network interfaces of one host: what each receives and sends, and which ones make up the host's traffic.

use std::collections::HashMap;

use fleetps_nats::{
    model::{SnapshotPair, rate},
    snapshot::InterfaceSample,
};

use super::table::{Cell, Head, Row, Table};
use crate::display::{self, MISSING};

/// Characters of a text in a cell.
const MAX_CELL_CHARACTERS: usize = 120;

/// The table of interfaces; those that make up the host's traffic come first.
pub(super) fn table(pair: &SnapshotPair) -> Table {
    let heads = [
        ("mount", "Interface", ""),
        ("kind", "Kind", ""),
        ("size", "Received", "/s"),
        ("size", "Sent", "/s"),
        ("size", "Received", ""),
        ("size", "Sent", ""),
        ("count", "Errors", ""),
        ("count", "Dropped", ""),
    ];
    let heads = heads.map(|(column, text, unit)| Head { column, text, unit, ..Head::default() });
    let before: HashMap<&str, &InterfaceSample> = pair
        .previous()
        .into_iter()
        .flat_map(|snapshot| &snapshot.interfaces)
        .map(|interface| (interface.name.as_str(), interface))
        .collect();
    let mut all: Vec<&InterfaceSample> = pair.latest().interfaces.iter().collect();
    all.sort_by_key(|interface| interface.counted_as.is_none());
    let rows = all.iter().enumerate().map(|(number, interface)| {
        let earlier = before.get(interface.name.as_str()).copied().zip(pair.elapsed_ms());
        row(number, interface, earlier)
    });
    Table { id: "interfaces", heads: heads.into(), rows: rows.collect(), ..Table::default() }
}

/// `earlier` is the interface in the previous snapshot, and the time since, in ms.
fn row(number: usize, interface: &InterfaceSample, earlier: Option<(&InterfaceSample, i64)>) -> Row {
    let rate = |counter: fn(&InterfaceSample) -> Option<u64>| {
        let per_second = earlier.and_then(|(earlier, elapsed_ms)| {
            rate::of_counter(counter(earlier), counter(interface), elapsed_ms)
        });
        Cell::new("size", display::size_long(per_second.map(|rate| rate as u64)))
    };
    let size = |bytes| Cell::new("size", display::size_long(bytes));
    let count = |one: Option<u64>, other: Option<u64>| {
        Cell::new("count", display::count_or_missing(one.zip(other).map(|(a, b)| a.saturating_add(b))))
    };
    let kind = interface.kind.as_deref().unwrap_or(MISSING);
    let cells = vec![
        Cell::hostile("mount", &interface.name, MAX_CELL_CHARACTERS).noted(note(interface)),
        Cell::hostile("kind", kind, MAX_CELL_CHARACTERS),
        rate(|interface| interface.received_bytes),
        rate(|interface| interface.sent_bytes),
        size(interface.received_bytes),
        size(interface.sent_bytes),
        count(interface.received_errors, interface.sent_errors),
        count(interface.received_drops, interface.sent_drops),
    ];
    Row { id: format!("i-{number}"), cells, ..Row::default() }
}

/// "part of br0; not in the host's total"
fn note(interface: &InterfaceSample) -> String {
    let master = interface.master.as_deref();
    let master =
        master.map(|name| format!("part of {}", display::cut(&display::visible(name), MAX_CELL_CHARACTERS)));
    let left_out = interface.counted_as.is_none().then(|| "not in the host's total".to_owned());
    [master, left_out].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleetps_nats::Snapshot;

    use super::*;

    #[test]
    fn interfaces_that_count_come_first_with_their_rates() {
        let snapshot = |monotonic_ms: u64, bytes: u64| {
            let interface = |name: &str, counted_as: Option<&str>| InterfaceSample {
                name: name.to_owned(),
                counted_as: counted_as.map(str::to_owned),
                received_bytes: Some(bytes),
                ..InterfaceSample::default()
            };
            let interfaces = vec![interface("br0", None), interface("eth0", Some("physical"))];
            Arc::new(Snapshot { monotonic_ms, interfaces, ..Snapshot::default() })
        };
        let pair =
            SnapshotPair::new("h".parse().unwrap(), snapshot(2_000, 3 << 20), Some(snapshot(1_000, 1 << 20)));
        let rows = table(&pair).rows;
        assert_eq!((rows[0].cells[0].text.as_str(), rows[0].cells[0].note.as_str()), ("eth0", ""));
        assert_eq!(rows[0].cells[2].text, "2.00 MiB");
        assert_eq!(rows[0].cells[3].text, MISSING);
        assert_eq!(rows[1].cells[0].note, "not in the host's total");
    }
}
