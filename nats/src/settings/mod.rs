//! Settings: each is declared once, in the room (a struct) of the part that it belongs to, and can be given in every layer.
//!
//! A later layer wins over an earlier one:
//!
//! 1. **default**, in the declaration, or in [`Program::DEFAULTS`] where one program needs another;
//! 2. **file**, TOML: `[section]` and `key`;
//! 3. **environment**: `FLEETPS_SECTION__KEY`, `FLEETPS_KEY` for a key without a section, and a variable of its flag's name;
//! 4. **flags**: the flag of the declaration, and `--set section.key=value` for any setting.
//!
//! A layer **remote** (settings that an agent gets from the broker) belongs between file and environment: an [`Origin`] of
//! its own, set with [`Layers::set`] after [`Layers::read_file`]. It must set only the keys that the host's own file allows.
//!
//! `declare` is the macro and what it makes, `layers` merges, `file`, `variables` and `flags` are the sources, `text` reads
//! a value that has no TOML type, `print` writes a settings file, `error` names key, value, expectation and origin.
//! `program` says which rooms a program has.

mod declare;
mod error;
mod file;
mod flags;
mod layers;
mod names;
mod origin;
mod print;
mod program;
mod text;
mod variables;

#[cfg(test)]
mod tests;

pub use declare::{Flag, Room, RoomInfo, Setting, first};
pub use error::SettingsError;
pub use flags::Flags;
pub use layers::{Given, Layers};
pub use origin::Origin;
pub use print::Printed;
pub use program::Program;
