//! The layer of the settings file.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use toml::{Table, Value, de::DeTable};

use super::{
    error::SettingsError,
    layers::{Given, Layers},
    names::{self, find},
    origin::Origin,
};

impl Layers {
    /// Puts the settings of the TOML file at `path` over the defaults.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or has a section, key or value that is not one of the settings.
    pub fn read_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = crate::file::read_text(path)
            .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
        let syntax = |error| SettingsError::Syntax { path: path.to_owned(), source: Box::new(error) };
        let table: Table = toml::from_str(&text).map_err(syntax)?;
        let lines = Lines { path: path.into(), of: lines(&text) };
        // Old names first: where a file has both, the new one wins.
        let (old, new): (Vec<_>, Vec<_>) =
            leaves(self, table, &lines)?.into_iter().partition(|leaf| self.is_old(leaf));
        for Leaf { section, key, value } in old.into_iter().chain(new) {
            let origin = lines.origin(&section, &key);
            self.set(&section, &key, Given::Toml(value), origin)?;
        }
        Ok(())
    }

    fn is_old(&self, leaf: &Leaf) -> bool {
        let declared = find(self.rooms, &leaf.section, &leaf.key);
        declared.is_some_and(|found| (found.room.section, found.setting.key) != (&leaf.section, &leaf.key))
    }
}

/// A key of the file with its value.
struct Leaf {
    section: String,
    key: String,
    value: Value,
}

/// The keys of the file, by section.
fn leaves(layers: &Layers, table: Table, lines: &Lines) -> Result<Vec<Leaf>, SettingsError> {
    let mut leaves = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(section) if names::has_section(layers.rooms, &key) => {
                leaves.extend(section.into_iter().map(|(inner, value)| Leaf {
                    section: key.clone(),
                    key: inner,
                    value,
                }))
            }
            value if find(layers.rooms, "", &key).is_some() => {
                leaves.push(Leaf { section: String::new(), key, value });
            }
            _ => {
                let meant = names::meant(layers.rooms, "", &key);
                return Err(SettingsError::unknown(lines.origin("", &key), key, meant));
            }
        }
    }
    Ok(leaves)
}

/// On which line of the file each key stands.
struct Lines {
    path: Arc<Path>,
    of: BTreeMap<(String, String), usize>,
}

impl Lines {
    fn origin(&self, section: &str, key: &str) -> Origin {
        let line = self.of.get(&(section.to_owned(), key.to_owned())).copied();
        Origin::File { path: Arc::clone(&self.path), line: line.unwrap_or(1) }
    }
}

/// The line of each key, from 1, by section and key. A section itself stands under its name as a key without a section.
fn lines(text: &str) -> BTreeMap<(String, String), usize> {
    let mut lines = BTreeMap::new();
    let line = |at: usize| text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
    let Ok(table) = DeTable::parse(text) else { return lines };
    for (key, value) in table.get_ref() {
        lines.insert((String::new(), key.get_ref().to_string()), line(key.span().start));
        for (inner, _) in value.get_ref().as_table().into_iter().flatten() {
            let name = (key.get_ref().to_string(), inner.get_ref().to_string());
            lines.insert(name, line(inner.span().start));
        }
    }
    lines
}
