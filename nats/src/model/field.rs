//! The declaration of a field. The functions here are its vocabulary.

/// A field of a process or of a host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Its name on the wire and in Rust, with the unit last.
    pub name: &'static str,
    /// How it is kept: with the identity, once for every change, or in every sample.
    pub role: FieldRole,
    /// The meaning of its value.
    pub kind: Kind,
    /// The unit of a number.
    pub unit: Unit,
    /// Its column in the views of the history.
    pub column: &'static str,
    /// The SQL type of that column.
    pub sql_type: &'static str,
    /// How it is stored in a segment, which takes fewer bytes than how it is read.
    pub stored: Stored,
    /// The first schema version with it; older segments say NULL.
    pub since: u32,
    /// Its word in the filter language.
    pub filter_word: Option<&'static str>,
    /// Its column in the process table of pages.
    pub page: Option<PageColumn>,
    /// Its heading in terminals.
    pub heading: Option<&'static str>,
    /// Whether JSON lists have it only with `include`: it is long, or rarely wanted.
    pub is_on_request: bool,
    /// A counter's growth per second, where people are shown that.
    pub rate: Option<Rate>,
    /// Whether answers about a host over a span have it: a level as it is, a counter as its rate.
    pub is_over_time: bool,
}

/// How a field is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldRole {
    /// Part of what a record is found by.
    Identity,
    /// Changes rarely: stored once, and again when it changes.
    Fact,
    /// Changes often: stored for every span of samples in which it stays the same.
    Figure,
}

/// The meaning of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text from the host: hostile.
    Text,
    /// A single letter.
    Letter,
    /// Yes or no, as the whole number 1 or 0.
    Flag,
    /// A number that goes up and down.
    Level,
    /// A number that only grows while the process or the boot lasts.
    Counter,
    /// A moment in µs since 1970 UTC.
    Time,
}

/// The unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Percent: of one core for a process, of all cores for a host.
    Percent,
    /// Bytes.
    Bytes,
    /// Milliseconds of CPU time.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Seconds.
    Seconds,
}

/// How a figure is stored: in `column`, of type `sql_type`, as whole numbers. Where the column has another name than the
/// view's, the table has the view's as a generated column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stored {
    /// The column in the table; empty for a field that is stored as it is read.
    pub column: &'static str,
    /// Its SQL type.
    pub sql_type: &'static str,
    /// How a value becomes a stored one.
    pub scale: Scale,
}

/// How a value becomes a stored one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// As it is.
    Plain,
    /// Whole units of this size; the remainder is cut off.
    UnitsOf(u32),
    /// Tenths, rounded.
    Tenths,
    /// The letter's ASCII code.
    Ascii,
}

/// The column of a page's process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageColumn {
    /// Its place among the columns: they stand in the order of these numbers.
    pub place: u16,
    /// Its name in URLs, and its class.
    pub id: &'static str,
    /// The column's heading.
    pub head: &'static str,
    /// The full name.
    pub label: &'static str,
    /// Whether it is shown unless asked otherwise.
    pub is_default: bool,
    /// Whether a parent's value is the sum of its subtree.
    pub adds_up: bool,
}

/// The growth of a counter per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Its name in JSON and in terminals' column lists.
    pub name: &'static str,
    /// Its column in the relation that filters are asked of.
    pub column: &'static str,
    /// Its word in the filter language.
    pub filter_word: Option<&'static str>,
    /// Its column in the process table of pages.
    pub page: Option<PageColumn>,
    /// Its heading in terminals.
    pub heading: Option<&'static str>,
}

/// The schema version that first had the fields without another one.
const FIRST_SCHEMA: u32 = 1;

impl Field {
    const fn new(role: FieldRole, kind: Kind, unit: Unit, sql_type: &'static str) -> Self {
        Self {
            name: "",
            role,
            kind,
            unit,
            column: "",
            sql_type,
            stored: Stored { column: "", sql_type, scale: Scale::Plain },
            since: FIRST_SCHEMA,
            filter_word: None,
            page: None,
            heading: None,
            is_on_request: false,
            rate: None,
            is_over_time: false,
        }
    }

    /// A text that rarely changes.
    pub const fn text() -> Self {
        Self::new(FieldRole::Fact, Kind::Text, Unit::Count, "VARCHAR")
    }

    /// A number that rarely changes.
    pub const fn fact(unit: Unit, sql_type: &'static str) -> Self {
        Self::new(FieldRole::Fact, Kind::Level, unit, sql_type)
    }

    /// Yes or no; rarely changes.
    pub const fn flag() -> Self {
        Self::new(FieldRole::Fact, Kind::Flag, Unit::Count, "BOOLEAN")
    }

    /// A letter that changes often.
    pub const fn letter() -> Self {
        Self::new(FieldRole::Figure, Kind::Letter, Unit::Count, "VARCHAR")
    }

    /// A number that goes up and down.
    pub const fn level(unit: Unit, sql_type: &'static str) -> Self {
        Self::new(FieldRole::Figure, Kind::Level, unit, sql_type)
    }

    /// A number that only grows.
    pub const fn counter(unit: Unit) -> Self {
        Self::new(FieldRole::Figure, Kind::Counter, unit, "BIGINT")
    }

    /// A moment that rarely changes; `column` is its name in SQL and JSON, without the unit.
    pub const fn time(column: &'static str) -> Self {
        let field = Self::new(FieldRole::Fact, Kind::Time, Unit::Microseconds, "TIMESTAMP");
        Self { column, ..field }
    }

    /// Gives its column another name than its own.
    pub const fn column(self, column: &'static str) -> Self {
        Self { column, ..self }
    }

    /// Makes it part of the identity.
    pub const fn identity(self) -> Self {
        Self { role: FieldRole::Identity, ..self }
    }

    /// Stores it in a column of another name and type.
    pub const fn stored(self, column: &'static str, sql_type: &'static str, scale: Scale) -> Self {
        Self { stored: Stored { column, sql_type, scale }, ..self }
    }

    /// Gives the first schema version that has it.
    pub const fn since(self, schema_version: u32) -> Self {
        Self { since: schema_version, ..self }
    }

    /// Gives its word in the filter language.
    pub const fn filter(self, word: &'static str) -> Self {
        Self { filter_word: Some(word), ..self }
    }

    /// Gives its column in pages.
    pub const fn page(self, page: PageColumn) -> Self {
        Self { page: Some(page), ..self }
    }

    /// Gives its heading in terminals.
    pub const fn heading(self, heading: &'static str) -> Self {
        Self { heading: Some(heading), ..self }
    }

    /// Leaves it out of JSON lists unless `include` names it.
    pub const fn on_request(self) -> Self {
        Self { is_on_request: true, ..self }
    }

    /// Shows its growth per second.
    pub const fn rate(self, rate: Rate) -> Self {
        Self { rate: Some(rate), ..self }
    }

    /// Has it in answers about a host over a span. A counter needs a [`Field::rate`], which is what they show.
    pub const fn over_time(self) -> Self {
        Self { is_over_time: true, ..self }
    }

    /// The name of its value over a span: its own, or its rate's.
    pub fn name_over_time(&self) -> &'static str {
        self.rate.map_or(self.name, |rate| rate.name)
    }

    /// Gives its name, and a column of that name where none is given.
    pub(super) const fn named(self, name: &'static str) -> Self {
        let column = if self.column.is_empty() { name } else { self.column };
        let stored = if self.stored.column.is_empty() { column } else { self.stored.column };
        Self { name, column, stored: Stored { column: stored, ..self.stored }, ..self }
    }

    /// Whether its column in a table holds it as it is read.
    pub fn is_stored_as_read(&self) -> bool {
        self.column == self.stored.column
    }

    /// Whether its value is a number.
    pub fn is_number(&self) -> bool {
        matches!(self.kind, Kind::Level | Kind::Counter)
    }
}

/// The first schema version that has all of `fields`.
pub const fn complete_since(fields: &[Field]) -> u32 {
    let (mut since, mut place) = (FIRST_SCHEMA, 0);
    while place < fields.len() {
        if fields[place].since > since {
            since = fields[place].since;
        }
        place += 1;
    }
    since
}

impl PageColumn {
    /// A column that is shown when it is chosen.
    pub const fn new(place: u16, id: &'static str, head: &'static str, label: &'static str) -> Self {
        Self { place, id, head, label, is_default: false, adds_up: false }
    }

    /// Shows it unless asked otherwise.
    pub const fn by_default(self) -> Self {
        Self { is_default: true, ..self }
    }

    /// Shows a parent's value as the sum of its subtree.
    pub const fn adds_up(self) -> Self {
        Self { adds_up: true, ..self }
    }
}

impl Rate {
    /// `name` in JSON, `column` where filters are asked.
    pub const fn new(name: &'static str, column: &'static str) -> Self {
        Self { name, column, filter_word: None, page: None, heading: None }
    }

    /// Gives its word in the filter language.
    pub const fn filter(self, word: &'static str) -> Self {
        Self { filter_word: Some(word), ..self }
    }

    /// Gives its column in pages.
    pub const fn page(self, page: PageColumn) -> Self {
        Self { page: Some(page), ..self }
    }

    /// Gives its heading in terminals.
    pub const fn heading(self, heading: &'static str) -> Self {
        Self { heading: Some(heading), ..self }
    }
}
