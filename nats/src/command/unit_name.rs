//! The name of a systemd unit, as far as it is believed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest name that systemd allows, in bytes.
const MAX_BYTES: usize = 255;
/// Every kind of unit there is.
const SUFFIXES: [&str; 11] = [
    ".service",
    ".socket",
    ".timer",
    ".target",
    ".path",
    ".mount",
    ".automount",
    ".swap",
    ".slice",
    ".scope",
    ".device",
];

/// The name of a systemd unit: at most 255 of `A-Z a-z 0-9 : _ . \ @ -`, not beginning with `-` or `.`, with the suffix of its
/// kind, as in `nginx.service` or `app@1.service`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(String);

/// The text names no unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no unit's name: expected letters, digits and `:_.\\@-` with the kind at the end, as in nginx.service"
)]
pub struct NotAUnitName {
    given: String,
}

impl UnitName {
    /// The unit that a person means: without the suffix of a kind it is a service.
    ///
    /// # Errors
    /// When it is no unit's name either way.
    pub fn of_person(text: &str) -> Result<Self, NotAUnitName> {
        text.parse().or_else(|error| format!("{text}.service").parse().map_err(|_| error))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UnitName {
    type Err = NotAUnitName;

    fn from_str(text: &str) -> Result<Self, NotAUnitName> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":_.\\@-".contains(&byte);
        let stem = SUFFIXES.iter().find_map(|suffix| text.strip_suffix(suffix)).unwrap_or_default();
        let is_name = !stem.is_empty()
            && text.len() <= MAX_BYTES
            && !text.starts_with(['-', '.'])
            // A template is no unit; only its instances are.
            && !stem.ends_with('@')
            && text.bytes().all(is_plain);
        let given = || text.chars().take(MAX_BYTES).collect();
        is_name.then(|| Self(text.to_owned())).ok_or_else(|| NotAUnitName { given: given() })
    }
}

impl TryFrom<String> for UnitName {
    type Error = NotAUnitName;

    fn try_from(text: String) -> Result<Self, NotAUnitName> {
        text.parse()
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.0
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
