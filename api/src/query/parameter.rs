//! The parameters of URLs: how each kind of value is read and written, and the refusal of a value that a parameter can't
//! have.
//!
//! A page's query is a struct that derives both directions. Its fields say `#[serde(with = "parameter")]`, or `optional` or
//! `list` of it, and are left out of URLs by `#[serde(skip_serializing_if = "parameter::is_default")]`.

use std::fmt;

use fleetps_nats::{
    HostName,
    command::{CommandId, UnitName},
    host::MAX_HOST_BYTES,
};
use serde::{
    Deserializer, Serializer,
    de::{Error, SeqAccess, Visitor},
};
use serde_json::{Value as Json, json};

/// A parameter has a value it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the parameter `{parameter}` cannot be {given:?}")]
pub struct BadParameter {
    /// The parameter.
    pub parameter: String,
    /// Its value.
    pub given: String,
    /// The accepted form.
    pub expected: String,
}

impl BadParameter {
    /// `parameter` cannot be `given`; `expected` completes "expected …".
    pub fn new(parameter: &str, given: &str, expected: impl Into<String>) -> Self {
        let given = crate::display::cut(given, 100).into_owned();
        Self { parameter: parameter.to_owned(), given, expected: expected.into() }
    }

    /// What to type instead, as a sentence for the field of the parameter.
    pub fn advice(&self) -> String {
        format!("Expected {}.", self.expected)
    }
}

/// A kind of value that parameters have.
pub trait Value: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// What it can be, which completes "expected …".
    fn read(given: &str) -> Result<Self, String>;

    /// Writes it so that [`Value::read`] reads it again.
    fn written(&self) -> String;

    /// The JSON schema of what [`Value::read`] reads; any text where nothing else is said.
    fn schema() -> Json {
        json!({"type": "string"})
    }
}

/// Whether a value is left out of URLs.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads a value; of a parameter that is repeated, the last one.
///
/// # Errors
/// What the value can be.
pub(crate) fn deserialize<'de, T: Value, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let texts = deserializer.deserialize_any(Texts)?;
    T::read(texts.last().map_or("", String::as_str)).map_err(D::Error::custom)
}

/// Writes a value.
///
/// # Errors
/// The serializer's.
pub(crate) fn serialize<T: Value, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.written())
}

/// A value that may be absent.
pub(crate) mod optional {
    use super::{Deserializer, Serializer, Value};

    /// Reads a value that is there.
    ///
    /// # Errors
    /// What the value can be.
    pub(crate) fn deserialize<'de, T: Value, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }

    /// Writes a value, or none.
    ///
    /// # Errors
    /// The serializer's.
    pub(crate) fn serialize<T: Value, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }
}

/// Values with commas between; a repeated parameter adds to them.
pub(crate) mod list {
    use super::{Deserializer, Error, Serializer, Texts, Value};

    /// Reads the values.
    ///
    /// # Errors
    /// What a value can be, and which one is not.
    pub(crate) fn deserialize<'de, T, C, D>(deserializer: D) -> Result<C, D::Error>
    where
        T: Value,
        C: IntoIterator<Item = T> + FromIterator<T>,
        D: Deserializer<'de>,
    {
        let texts = deserializer.deserialize_any(Texts)?;
        let elements = texts.iter().flat_map(|text| text.split(',').map(move |element| (text, element)));
        let read = |(text, element): (&String, &str)| {
            T::read(element).map_err(|expected| match text == element {
                true => D::Error::custom(expected),
                false => D::Error::custom(format!("{expected}; {element:?} is not one")),
            })
        };
        elements.filter(|(_, element)| !element.is_empty()).map(read).collect()
    }

    /// Writes the values.
    ///
    /// # Errors
    /// The serializer's.
    pub(crate) fn serialize<'a, T, C, S>(values: &'a C, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Value + 'a,
        &'a C: IntoIterator<Item = &'a T>,
        S: Serializer,
    {
        let written: Vec<String> = values.into_iter().map(Value::written).collect();
        serializer.serialize_str(&written.join(","))
    }
}

/// The text of a parameter, or the texts of one that is repeated.
struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Vec<String>, A::Error> {
        let mut all = Vec::new();
        while let Some(text) = texts.next_element()? {
            all.push(text);
        }
        Ok(all)
    }
}

/// The one of `all` that is called `given`.
///
/// # Errors
/// What they are called.
pub(crate) fn choice<T: Copy, const N: usize>(
    all: [T; N],
    name: impl Fn(T) -> &'static str,
    given: &str,
) -> Result<T, String> {
    let found = all.into_iter().find(|one| name(*one) == given);
    found.ok_or_else(|| format!("one of {}", all.map(name).join(", ")))
}

/// The schema of a value that is one of these words.
pub(crate) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Json {
    json!({"type": "string", "enum": words.into_iter().collect::<Vec<_>>()})
}

/// A whole number of at most `MOST`; what is below `LEAST` counts as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Count<const USUAL: usize, const MOST: usize, const LEAST: usize = 0>(usize);

impl<const USUAL: usize, const MOST: usize, const LEAST: usize> Count<USUAL, MOST, LEAST> {
    /// The greatest.
    pub const MOST: Self = Self(MOST);

    /// The nearest to `number` that is allowed.
    pub fn near(number: usize) -> Self {
        Self(number.min(MOST).max(LEAST))
    }

    /// The number.
    pub fn get(self) -> usize {
        self.0
    }
}

impl<const USUAL: usize, const MOST: usize, const LEAST: usize> Default for Count<USUAL, MOST, LEAST> {
    fn default() -> Self {
        Self(USUAL)
    }
}

impl<const USUAL: usize, const MOST: usize, const LEAST: usize> Value for Count<USUAL, MOST, LEAST> {
    fn read(given: &str) -> Result<Self, String> {
        let number = given.parse().ok().filter(|number| *number <= MOST);
        number.map(Self::near).ok_or_else(|| format!("a whole number from 0 to {MOST}"))
    }

    fn written(&self) -> String {
        self.0.to_string()
    }

    fn schema() -> Json {
        json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": MOST, "default": USUAL})
    }
}

/// A process id.
impl Value for u32 {
    fn read(given: &str) -> Result<Self, String> {
        given.parse().map_err(|_| "process ids with commas between".to_owned())
    }

    fn written(&self) -> String {
        self.to_string()
    }

    fn schema() -> Json {
        json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX})
    }
}

impl Value for HostName {
    fn read(given: &str) -> Result<Self, String> {
        given.parse().map_err(|_| "the name of a host, as the fleet page lists them".to_owned())
    }

    fn written(&self) -> String {
        self.to_string()
    }

    fn schema() -> Json {
        json!({"type": "string", "maxLength": MAX_HOST_BYTES, "pattern": r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"})
    }
}

impl Value for CommandId {
    fn read(given: &str) -> Result<Self, String> {
        given.parse().map_err(|_| "the id of a command, 26 letters and digits".to_owned())
    }

    fn written(&self) -> String {
        self.to_string()
    }

    fn schema() -> Json {
        json!({"type": "string", "pattern": "^[a-z2-7]{26}$"})
    }
}

impl Value for UnitName {
    fn read(given: &str) -> Result<Self, String> {
        Self::of_person(given).map_err(|_| "a unit of systemd, as in nginx.service".to_owned())
    }

    fn written(&self) -> String {
        self.to_string()
    }

    // Without the suffix of a kind it is a service.
    fn schema() -> Json {
        json!({"type": "string", "pattern": "^[A-Za-z0-9:_\\\\@][A-Za-z0-9:_.\\\\@-]*[A-Za-z0-9:_]$", "maxLength": 247})
    }
}

/// Any text.
impl Value for String {
    fn read(given: &str) -> Result<Self, String> {
        Ok(given.to_owned())
    }

    fn written(&self) -> String {
        self.clone()
    }
}
