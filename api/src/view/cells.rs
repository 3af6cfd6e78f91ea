//! The cells of tables of processes.

use fleetps_nats::model::{FieldRole, Kind, Unit, Value};

use super::{Column, ProcessFacts, table::Cell};
use crate::display::{self, MISSING};

/// Characters of a command line or path in a cell; the cell's title has the whole text.
const MAX_CELL_CHARACTERS: usize = 240;
/// Characters of a name in a cell.
pub(super) const MAX_NAME_CHARACTERS: usize = 80;

/// The cell of `column`; memory is shaded beside `memory_scale_bytes`.
pub(super) fn cell(column: Column, facts: &ProcessFacts<'_>, memory_scale_bytes: f64) -> Cell {
    let process = facts.process;
    let id = column.id();
    let field = column.of();
    match (field.kind, process.value(column.declared().place)) {
        (Kind::Text, value) if [Column::Executable, Column::Command].contains(&column) => {
            path(id, value.text())
        }
        (Kind::Text, value) => name(id, value.text()),
        (Kind::Letter, Value::Letter(letter)) => Cell::hostile(id, letter.encode_utf8(&mut [0; 4]), 1),
        (Kind::Flag, value) => Cell::new(id, flag(value.integer()).to_owned()),
        (Kind::Time, _) => Cell::new(id, display::duration(facts.age_s)),
        // Numbers that identify a process have no separators.
        (_, value) if field.role != FieldRole::Figure => {
            let text = value.integer().map(|number| number.to_string());
            Cell::new(id, text.unwrap_or_else(|| MISSING.to_owned()))
        }
        _ => number(column, facts.number(column), memory_scale_bytes),
    }
}

/// Yes or no, or unknown.
fn flag(value: Option<i64>) -> &'static str {
    match value {
        Some(0) => "no",
        Some(_) => "yes",
        None => MISSING,
    }
}

/// A short text that may be unknown.
pub(super) fn name(column: &'static str, text: Option<&str>) -> Cell {
    Cell::hostile(column, text.unwrap_or(MISSING), MAX_NAME_CHARACTERS)
}

/// A long text that may be unknown.
pub(super) fn path(column: &'static str, text: Option<&str>) -> Cell {
    Cell::hostile(column, text.unwrap_or(MISSING), MAX_CELL_CHARACTERS)
}

/// A number, shaded where its column has a hue: CPU by its share of one core, memory beside `memory_scale_bytes`.
pub(super) fn number(column: Column, value: Option<f64>, memory_scale_bytes: f64) -> Cell {
    let id = column.id();
    let text = match column.of().unit {
        Unit::Percent => display::percent(value),
        Unit::Bytes => display::size(value),
        Unit::Milliseconds => display::cpu_time(value.map(|time_ms| time_ms as u64)),
        _ => count(value),
    };
    let shade = match column {
        Column::Cpu => display::shade_small(value.unwrap_or_default() / 100.0),
        Column::Memory => display::shade_small(value.unwrap_or_default() / memory_scale_bytes),
        _ if column.declared().is_rate && value.is_some_and(|rate| rate < 0.5) => "z",
        _ => "",
    };
    Cell::new(id, text).shaded(shade)
}

/// A number of things, which may be negative.
fn count(value: Option<f64>) -> String {
    match value {
        Some(value) if value < 0.0 => format!("−{}", display::count(-value.round() as u64)),
        _ => display::count_or_missing(value.map(|value| value.round() as u64)),
    }
}

/// The memory that is shaded strongest: a power of two, so that shades do not change with every sample.
pub(super) fn memory_scale(greatest_bytes: f64) -> f64 {
    greatest_bytes.max(1.0).log2().ceil().exp2()
}
