//! The filter language's numbers, for whoever compares them by another rule.

use fleetps_nats::model::{FieldRole, Unit, process::PROCESS};

use super::{
    Fields,
    field::{Field, Kind, Value},
};

/// A number of a process that has a word in the filter language.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure(Field);

impl Figure {
    /// The number that people call `word`; `None` where there is none.
    pub fn find(word: &str) -> Option<Self> {
        Field::find(word).filter(|field| !field.kind.is_text() && field.kind != Kind::Flag).map(Self)
    }

    /// The words of all.
    pub fn words() -> impl Iterator<Item = &'static str> {
        Field::all().filter(|field| !field.kind.is_text() && field.kind != Kind::Flag).map(|field| field.word)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        self.0.word
    }

    /// Its column, where that is among the figures of a process, which its spans have.
    pub(crate) fn own_column(self) -> Option<&'static str> {
        self.own_place().map(|_| self.0.column)
    }

    /// Its place in the model's list of a process's fields, where that is a figure. Numbers that are facts, as `parent`, have none.
    pub(crate) fn own_place(self) -> Option<usize> {
        let is_figure =
            |place: &usize| PROCESS.get(*place).is_some_and(|field| field.role == FieldRole::Figure);
        self.0.own_place().filter(is_figure)
    }

    /// Whether it is the growth of a counter, which takes two snapshots to know.
    pub fn is_rate(self) -> bool {
        self.0.is_rate()
    }

    /// Its value in a process; `None` where it is unknown.
    pub fn of(self, fields: &Fields<'_>) -> Option<f64> {
        match self.0.of(fields) {
            Value::Number(number) => number,
            Value::Text(_) | Value::Letter(_) => None,
        }
    }

    /// The unit of its values: bytes and counts may be of a second, and ages are in s.
    pub fn unit(self) -> (Unit, bool) {
        match self.0.kind {
            Kind::Percent => (Unit::Percent, false),
            Kind::Bytes => (Unit::Bytes, false),
            Kind::BytesPerSecond => (Unit::Bytes, true),
            Kind::PerSecond => (Unit::Count, true),
            Kind::Age => (Unit::Seconds, false),
            Kind::Text | Kind::Group | Kind::Flag | Kind::Count | Kind::Signed => (Unit::Count, false),
        }
    }

    /// Reads a value of it as people type it, as in `80%`, `4G` or `2h`.
    ///
    /// # Errors
    /// What was expected.
    pub fn read(self, text: &str) -> Result<f64, String> {
        self.0.kind.read(text)
    }
}
