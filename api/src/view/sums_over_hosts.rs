//! A row of a table that sums up processes on several hosts: the busiest programs, and a search by program.

use super::table::{Cell, Head};
use crate::display;

/// The sums of processes on several hosts: a row of a table.
pub(super) struct SumsOverHosts {
    pub(super) hosts: u64,
    pub(super) processes: u64,
    pub(super) cpu_percent: f64,
    pub(super) memory_bytes: f64,
}

impl SumsOverHosts {
    /// The heads of the table; `name` is what the processes of a row have in common.
    pub(super) fn heads(name: &'static str) -> Vec<Head> {
        let columns = [
            ("name", name, ""),
            ("count", "Hosts", ""),
            ("procs", "Processes", ""),
            ("cpu", "CPU", "% of a core"),
            ("memory", "Memory", "B"),
        ];
        columns.map(|(column, text, unit)| Head { column, text, unit, ..Head::default() }).into()
    }

    /// The cells of a row; CPU is shaded by its share of `most_percent`.
    pub(super) fn cells(&self, name: Cell, most_percent: f64) -> Vec<Cell> {
        vec![
            name,
            Cell::new("count", display::count(self.hosts)),
            Cell::new("procs", display::count(self.processes)),
            Cell::new("cpu", display::percent(Some(self.cpu_percent)))
                .shaded(display::shade(self.cpu_percent / most_percent)),
            Cell::new("memory", display::size(Some(self.memory_bytes))),
        ]
    }
}
