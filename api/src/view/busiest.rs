//! The busiest programs and processes of the fleet, above the table of hosts.

use std::sync::Arc;

use super::{
    processes::TITLES_OF_SUMS,
    search,
    sums_over_hosts::SumsOverHosts,
    table::{Cell, Head, Row, Table},
};
use crate::{
    display,
    live::{Busiest, HostState, MAX_BUSIEST, ProgramTotals, Summary},
    url::{HostTab, Url},
};

/// Programs that are shown: as many as busy processes beside them.
pub(crate) const BUSIEST_PROGRAMS: usize = MAX_BUSIEST;
/// Characters of a name in a cell.
pub(super) const MAX_NAME_CHARACTERS: usize = 80;

/// The table of the busiest programs.
pub(super) fn programs(programs: &[(Arc<str>, ProgramTotals)]) -> Table {
    let most = programs.first().map_or(1.0, |(_, totals)| totals.cpu_percent()).max(100.0);
    let row = |(name, totals): &(Arc<str>, ProgramTotals)| {
        let id = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let sums = SumsOverHosts {
            hosts: totals.hosts,
            processes: totals.processes,
            cpu_percent: totals.cpu_percent(),
            memory_bytes: totals.memory_bytes as f64,
        };
        let name =
            Cell::hostile("name", name, MAX_NAME_CHARACTERS).linked(search::of_field("name", name, None));
        Row { id: format!("f-{id}"), cells: sums.cells(name, most), ..Row::default() }
    };
    Table {
        id: "programs",
        heads: SumsOverHosts::heads("Program"),
        titles: TITLES_OF_SUMS,
        rows: programs.iter().map(row).collect(),
        ..Table::default()
    }
}

/// The busiest processes of all hosts that are up.
pub(super) fn processes(hosts: &[Arc<Summary>]) -> Table {
    let columns = [("name", "Process", ""), ("host", "Host", ""), ("cpu", "CPU", "% of a core")];
    let up = hosts.iter().filter(|host| host.state == HostState::Up);
    let mut busiest: Vec<(&Summary, &Busiest)> =
        up.flat_map(|host| host.busiest.iter().map(move |busy| (host.as_ref(), busy))).collect();
    let compare = |(a_host, a): &(&Summary, &Busiest), (b_host, b): &(&Summary, &Busiest)| {
        b.cpu_percent
            .total_cmp(&a.cpu_percent)
            .then_with(|| (&a_host.host, a.pid).cmp(&(&b_host.host, b.pid)))
    };
    if busiest.len() > MAX_BUSIEST {
        busiest.select_nth_unstable_by(MAX_BUSIEST - 1, compare);
        busiest.truncate(MAX_BUSIEST);
    }
    busiest.sort_unstable_by(compare);
    let most = busiest.first().map_or(1.0, |(_, busy)| f64::from(busy.cpu_percent)).max(100.0);
    let row = |(host, busy): &(&Summary, &Busiest)| {
        let (host, cpu_percent) = (host.host.as_str(), f64::from(busy.cpu_percent));
        let cells = vec![
            Cell::hostile("name", &busy.name, MAX_NAME_CHARACTERS).linked(Url::process(
                host,
                busy.pid,
                busy.started_at_us,
            )),
            Cell::new("host", host).linked(Url::host(host, HostTab::Processes)),
            Cell::new("cpu", display::percent(Some(cpu_percent))).shaded(display::shade(cpu_percent / most)),
        ];
        Row { id: format!("b-{host}-{}-{}", busy.pid, busy.started_at_us), cells, ..Row::default() }
    };
    Table {
        id: "busy",
        heads: columns.map(|(column, text, unit)| Head { column, text, unit, ..Head::default() }).into(),
        rows: busiest.iter().map(row).collect(),
        ..Table::default()
    }
}
