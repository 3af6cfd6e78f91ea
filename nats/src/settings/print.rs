//! Writes a settings file that says everything: each key with its comment, range and flag.

use std::fmt::Write;

use toml::{Table, Value};

use super::declare::{Room, RoomInfo, Setting};

/// How else settings are given.
const LAYERS: &str = "\
# A flag (--nats) wins over a variable (FLEETPS_NATS), a variable over this file. Any key has a variable,
# FLEETPS_SECTION__KEY (FLEETPS_KEY where it stands before all sections), and can be given as --set section.key=value.
";

/// A room with values to print.
pub struct Printed {
    room: RoomInfo,
    values: Table,
}

impl Printed {
    /// The values of `room`.
    ///
    /// # Errors
    /// When a value cannot be written as TOML, such as a path that is not Unicode.
    pub fn of<R: Room>(room: &R) -> Result<Self, toml::ser::Error> {
        Ok(Self { room: RoomInfo::of::<R>(), values: Table::try_from(room)? })
    }

    /// The settings file of `program` with these rooms.
    pub fn settings_file(program: &str, rooms: &[Self]) -> String {
        let mut text = format!(
            "# Settings of {program}. Every key may be left out; what is here is what is in force.\n{LAYERS}"
        );
        // Keys without a section must stand before all sections.
        let (first, then): (Vec<_>, Vec<_>) =
            rooms.iter().partition(|printed| printed.room.section.is_empty());
        for Self { room, values } in first.into_iter().chain(then) {
            if !room.section.is_empty() {
                let _ = write!(text, "\n[{}]\n", room.section);
            }
            for setting in room.settings {
                write_setting(&mut text, setting, values.get(setting.key));
            }
        }
        text
    }
}

fn write_setting(text: &mut String, setting: &Setting, value: Option<&Value>) {
    text.push('\n');
    for line in setting.help {
        let _ = writeln!(text, "#{}", line.trim_end());
    }
    let range = setting.range.map(|range| format!("Range: {}.", range()));
    let flag = setting.flag.map(|flag| format!("Flag: --{}.", flag.name));
    let facts: Vec<String> = range.into_iter().chain(flag).collect();
    if !facts.is_empty() {
        let _ = writeln!(text, "# {}", facts.join(" "));
    }
    let _ = match value {
        Some(value) => writeln!(text, "{} = {value}", setting.key),
        None => writeln!(text, "# {} = (not set)", setting.key),
    };
}
