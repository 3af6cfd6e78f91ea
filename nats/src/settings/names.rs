//! Which settings there are, by section and key, under today's names and earlier ones.

use std::fmt;

use super::declare::{RoomInfo, Setting};

/// A declared setting and its room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declared {
    pub(super) room: RoomInfo,
    pub(super) setting: &'static Setting,
}

impl Declared {
    /// Section and key.
    pub(super) fn name(&self) -> Name {
        Name { section: self.room.section, key: self.setting.key }
    }
}

/// A setting's name: `section.key`, or `key` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&joined(self.section, self.key))
    }
}

/// `section.key`, or `key` where the section is empty.
pub(super) fn joined(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// All settings of `rooms`.
pub(super) fn all(rooms: &'static [RoomInfo]) -> impl Iterator<Item = Declared> {
    rooms.iter().flat_map(|room| room.settings.iter().map(|setting| Declared { room: *room, setting }))
}

/// The setting `key` in `section`; today's names go before earlier ones.
pub(super) fn find(rooms: &'static [RoomInfo], section: &str, key: &str) -> Option<Declared> {
    let is_section = |room: &RoomInfo| room.section == section || room.old_sections.contains(&section);
    let in_section = || all(rooms).filter(|declared| is_section(&declared.room));
    in_section()
        .find(|declared| declared.setting.key == key)
        .or_else(|| in_section().find(|declared| declared.setting.old_keys.contains(&key)))
}

/// Whether a room has this section, today or earlier.
pub(super) fn has_section(rooms: &'static [RoomInfo], section: &str) -> bool {
    !section.is_empty()
        && rooms.iter().any(|room| room.section == section || room.old_sections.contains(&section))
}

/// The setting or section that an unknown name probably means.
pub(super) fn meant(rooms: &'static [RoomInfo], section: &str, key: &str) -> Option<String> {
    let of_section = all(rooms)
        .filter(|declared| declared.room.section == section || declared.room.old_sections.contains(&section));
    let keys = of_section.map(|declared| declared.setting.key);
    let sections = rooms.iter().map(|room| room.section).filter(|_| section.is_empty());
    let near = nearest(key, keys.chain(sections)).map(str::to_owned);
    // In another section it has exactly this name.
    let elsewhere = || all(rooms).map(|declared| declared.name()).find(|name| name.key == key);
    near.or_else(|| elsewhere().map(|name| name.to_string()))
}

/// The name most like `unknown`; `None` where none is like it.
pub(super) fn nearest<'a>(unknown: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(unknown, name);
    // A third of the letters: more would be another word.
    names
        .filter(|name| !name.is_empty() && distance(name) <= unknown.len().div_ceil(3))
        .min_by_key(|name| distance(name))
}
