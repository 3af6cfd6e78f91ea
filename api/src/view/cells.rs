//! The cells of tables of processes.

use super::{Column, ProcessFacts, table::Cell};
use crate::display::{self, MISSING};

/// Characters of a command line or path in a cell; what is longer is in the cell's title.
const MAX_CELL_CHARACTERS: usize = 240;
/// Characters of a name in a cell.
pub const MAX_NAME_CHARACTERS: usize = 80;

/// The cell of `column`; memory is shaded beside `memory_scale_bytes`.
pub fn cell(column: Column, facts: &ProcessFacts<'_>, memory_scale_bytes: f64) -> Cell {
    let process = facts.process;
    let id = column.id();
    match column {
        Column::Name => Cell::hostile(id, &process.name, MAX_NAME_CHARACTERS),
        Column::User => name(id, process.user_name.as_deref()),
        Column::Unit => name(id, process.unit.as_deref()),
        Column::Container => name(id, process.container.as_deref()),
        Column::Executable => path(id, process.executable.as_deref()),
        Column::Command => path(id, process.command_line.as_deref()),
        Column::State => Cell::hostile(id, process.state.encode_utf8(&mut [0; 4]), 1),
        Column::Pid => Cell::new(id, process.pid.to_string()),
        Column::Parent => {
            let parent = process.parent_pid.map(|pid| pid.to_string());
            Cell::new(id, parent.unwrap_or_else(|| MISSING.to_owned()))
        }
        Column::Age => Cell::new(id, display::duration(facts.age_s)),
        _ => number(column, facts.number(column), memory_scale_bytes),
    }
}

/// A short text that may be unknown.
pub fn name(column: &'static str, text: Option<&str>) -> Cell {
    Cell::hostile(column, text.unwrap_or(MISSING), MAX_NAME_CHARACTERS)
}

/// A long text that may be unknown.
pub fn path(column: &'static str, text: Option<&str>) -> Cell {
    Cell::hostile(column, text.unwrap_or(MISSING), MAX_CELL_CHARACTERS)
}

/// A number, shaded where its column has a hue: CPU by its share of one core, memory beside `memory_scale_bytes`.
pub fn number(column: Column, value: Option<f64>, memory_scale_bytes: f64) -> Cell {
    let id = column.id();
    match column {
        Column::Cpu => {
            let shade = display::shade_small(value.unwrap_or_default() / 100.0);
            Cell::new(id, display::percent(value)).shaded(shade)
        }
        Column::Memory => {
            let shade = display::shade_small(value.unwrap_or_default() / memory_scale_bytes);
            Cell::new(id, display::size(value)).shaded(shade)
        }
        Column::Virtual => Cell::new(id, display::size(value)),
        Column::Read | Column::Written => {
            let zero = if value.is_some_and(|rate| rate < 0.5) { "z" } else { "" };
            Cell::new(id, display::size(value)).shaded(zero)
        }
        Column::CpuTime => Cell::new(id, display::cpu_time(value.map(|time_ms| time_ms as u64))),
        _ => Cell::new(id, display::count_or_missing(value.map(|value| value as u64))),
    }
}

/// The memory that is shaded strongest: a power of two, so that shades do not change with every sample.
pub fn memory_scale(greatest_bytes: f64) -> f64 {
    greatest_bytes.max(1.0).log2().ceil().exp2()
}
