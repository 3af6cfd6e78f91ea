//! The model: every figure and fact of a process and of a host, each declared once.
//!
//! [`process`] and [`host`] are the declarations. A line there gives a field its type, unit, column on disk, filter word,
//! table column and heading in terminals. The structs of a snapshot follow from it, and so do the lists on the wire, the
//! columns of the history, the filter's fields, the page's columns and the JSON. To add a figure, add a line there and
//! fill it in where it is read: the agent's Linux reader, its portable reader and the simulator.

mod columns;
mod field;
pub mod host;
pub mod process;
mod record;
mod value;

pub use field::{Field, Kind, PageColumn, Rate, Role, Scale, Stored, Unit, complete_since};
pub use value::{FieldValue, Value};
