//! The merge of all layers.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{
    declare::{Room, RoomInfo},
    error::SettingsError,
    names::{self, Declared, Name},
    origin::Origin,
    program::Program,
    text,
};

/// The given settings, each with its origin. The others have the default of their room.
#[derive(Debug)]
pub struct Layers {
    pub(super) rooms: &'static [RoomInfo],
    given: BTreeMap<Name, (Value, Origin)>,
    /// Warnings for the operator: old names, unknown variables.
    warnings: Vec<String>,
}

impl Layers {
    /// The defaults of `P`.
    ///
    /// # Errors
    /// When a default of the program is no setting, or cannot be read as one.
    pub fn of<P: Program>() -> Result<Self, SettingsError> {
        let mut layers = Self { rooms: P::ROOMS, given: BTreeMap::new(), warnings: Vec::new() };
        for (section, key, value) in P::DEFAULTS {
            layers.set(section, key, Given::Text(value), Origin::Default)?;
        }
        Ok(layers)
    }

    /// Sets a value over those of earlier layers. An old name sets the renamed setting, with a warning.
    ///
    /// # Errors
    /// When there is no such setting, or it cannot have this value, its range aside.
    pub fn set(
        &mut self,
        section: &str,
        key: &str,
        value: Given<'_>,
        origin: Origin,
    ) -> Result<(), SettingsError> {
        let Some(declared) = names::find(self.rooms, section, key) else {
            let meant = names::meant(self.rooms, section, key);
            return Err(SettingsError::unknown(origin, names::joined(section, key), meant));
        };
        let name = declared.name();
        self.warn_of_old_names((section, key), name, &origin);
        let (shown, read) = match value {
            Given::Text(text) => (format!("{text:?}"), text::read(declared, text)),
            Given::Toml(value) => (value.to_string(), text::accepted(declared, value)),
        };
        let value = read.map_err(|problem| SettingsError::Value {
            origin: origin.clone(),
            name: name.to_string(),
            value: shown,
            problem,
        })?;
        self.put(declared, value, origin);
        Ok(())
    }

    /// Puts a value that the declared setting can have.
    pub(super) fn put(&mut self, declared: Declared, value: Value, origin: Origin) {
        self.given.insert(declared.name(), (value, origin));
    }

    fn warn_of_old_names(&mut self, (section, key): (&str, &str), name: Name, origin: &Origin) {
        const UNTIL: &str = "the old name works until the next release";
        if section != name.section {
            self.warn(format!(
                "{}: the section [{section}] is now [{}]; {UNTIL}",
                origin.source(),
                name.section
            ));
        }
        if key != name.key {
            self.warn(format!("{origin}: the key {key} is now {name}; {UNTIL}"));
        }
    }

    /// Keeps a warning, unless it is kept already.
    pub(super) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The warnings for the operator, each once.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Where the value in force of a setting was given.
    pub fn origin(&self, section: &str, key: &str) -> Origin {
        let given = self.given.iter().find(|(name, _)| (name.section, name.key) == (section, key));
        given.map_or(Origin::Default, |(_, (_, origin))| origin.clone())
    }

    /// The settings in force of one room.
    ///
    /// # Errors
    /// When a value is outside its range.
    pub fn room<R: Room>(&self) -> Result<R, SettingsError> {
        let of_room = |name: &Name| {
            name.section == R::SECTION && R::SETTINGS.iter().any(|setting| setting.key == name.key)
        };
        let given = self.given.iter().filter(|(name, _)| of_room(name));
        let table: Table = given.map(|(name, (value, _))| (name.key.to_owned(), value.clone())).collect();
        // Each value was read as this room's before; only together could they be refused.
        let room: R = table.try_into().map_err(|error: toml::de::Error| SettingsError::Value {
            origin: Origin::Default,
            name: R::SECTION.to_owned(),
            value: "this".to_owned(),
            problem: error.message().to_owned(),
        })?;
        room.check().map_err(|problem| SettingsError::Range {
            origin: self.origin(R::SECTION, problem.key()),
            section: if R::SECTION.is_empty() { String::new() } else { format!(", under [{}]", R::SECTION) },
            problem: Box::new(problem),
        })?;
        Ok(room)
    }
}

/// A value as it is given.
#[derive(Debug)]
pub enum Given<'a> {
    /// Text without a type, from a variable or a flag.
    Text(&'a str),
    /// A value with a type.
    Toml(Value),
}
