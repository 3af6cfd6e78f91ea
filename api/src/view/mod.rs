//! From the live state to what a page shows.
//!
//! A page is a few `fields` (texts outside tables) and `table`s of rows; `patch` is the difference between two views of
//! the same page. `processes` makes the table of one host's processes in an `arrangement`: by `tree`, flat or by
//! `fold`. `query` is the part of its URL that says how, `column` lists the columns. `when` is
//! times and ranges in queries, `wall_time` reads times as people type them, `time_field` has the fields for them, `travel` keeps them in links, `timeline` is the strip that moves them, `span` does the
//! same for pages without a time; `chart` draws. `fleet` makes the table of hosts, each with a `sparkline`, above it `trouble`, which needs a person, and the `busiest` programs and processes; `host_filter` says which hosts match; `system`
//! the facts of one host with its `mounts` and `interfaces`, `subject` the facts of one process and `process` the tables
//! of its relatives; `silences` are silences and routes in words and in forms, `channels` the fields of their form and
//! what became of notifications; `alert_on` are the rules that pages propose; `audit`, `alerts`, `commands`, `events`, `restart_loops`, `growth`, `diff`,
//! `top` and `search` make the tables of their pages. `cells` has
//! the cells that tables of processes share, `sums` the line above them, `sums_over_hosts` a row of several hosts'.

pub(crate) mod alert_on;
pub(crate) mod alerts;
mod arrangement;
pub(crate) mod audit;
pub(crate) mod busiest;
mod cells;
pub(crate) mod channels;
pub(crate) mod chart;
pub(crate) mod column;
pub(crate) mod commands;
pub(crate) mod diff;
pub(crate) mod events;
mod facts;
pub(crate) mod fleet;
mod fold;
pub(crate) mod growth;
pub(crate) mod host_filter;
mod interfaces;
mod mounts;
pub(crate) mod omitted;
pub(crate) mod patch;
pub(crate) mod process;
pub(crate) mod processes;
pub(crate) mod query;
pub(crate) mod restart_loops;
pub(crate) mod search;
mod severity;
pub(crate) mod silences;
pub(crate) mod span;
mod sparkline;
pub(crate) mod subject;
pub(crate) mod sums;
mod sums_over_hosts;
pub(crate) mod system;
pub(crate) mod table;
pub(crate) mod time_field;
pub(crate) mod timeline;
pub(crate) mod top;
pub(crate) mod travel;
mod tree;
mod trouble;
mod wall_time;
pub(crate) mod when;

pub(crate) use arrangement::Arrangement;
pub(crate) use column::Column;
pub(crate) use facts::ProcessFacts;

use table::{Cell, Table};

/// Everything on a page that can change while it is open.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Which moment this is: another text when anything may be another.
    pub version: String,
    /// Texts outside the tables, by the name the template gives their places.
    pub fields: Vec<(&'static str, Cell)>,
    /// The tables.
    pub tables: Vec<Table>,
}

impl View {
    /// The field of this name; an empty one when there is none.
    pub fn field(&self, name: &str) -> Cell {
        let found = self.fields.iter().find(|(known, _)| *known == name);
        found.map(|(_, cell)| cell.clone()).unwrap_or_default()
    }

    /// The table of this name; an empty one when there is none.
    pub fn table(&self, id: &str) -> Table {
        self.tables.iter().find(|table| table.id == id).cloned().unwrap_or_default()
    }

    /// Puts the rows of flat tables back to where they are in `before`; whether that was another order. A tree changes its
    /// rows only among siblings, and a mixed order would tear families apart.
    pub fn keep_order(&mut self, before: &Self) -> bool {
        let mut is_kept = false;
        for table in self.tables.iter_mut().filter(|table| !table.is_tree) {
            if let Some(before) = before.tables.iter().find(|before| before.id == table.id) {
                is_kept |= table.keep_order(before);
            }
        }
        is_kept
    }
}
