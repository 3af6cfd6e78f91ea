//! Writes a settings file that says everything: each key with its comment, range and flag.

use std::fmt::Write;

use toml::{Table, Value};

use super::declare::{Room, RoomInfo, Setting};

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

    /// The settings file with these rooms, under `header` (comment lines).
    pub fn settings_file(header: &str, rooms: &[Self]) -> String {
        let mut text = header.to_owned();
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
