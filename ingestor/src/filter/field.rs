//! The fields of the filter language, and how their values are written.

use std::fmt::Write;

use fleetps_nats::{
    model::{self, Unit, process::PROCESS},
    units,
};

use super::Fields;

/// A field of the filter language: a field or rate of the model that has a word for it, or a value that needs more than
/// the process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Field {
    /// The field's word.
    pub(super) word: &'static str,
    /// Its column in SQL.
    pub(super) column: &'static str,
    /// How its values are written.
    pub(super) kind: Kind,
    source: Source,
}

/// Where the value of a field comes from; places are those in [`PROCESS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Host,
    Process(usize),
    Rate(usize),
    MemoryPercent,
    Age,
    /// Of a host, at this place in `host_field::HOST`.
    OfHost(usize),
}

/// How a field's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Each group of a host, in any case.
    Group,
    /// A whole number from zero up.
    Count,
    /// A whole number that may be negative.
    Signed,
    /// Yes or no, as 1 or 0.
    Flag,
    Percent,
    Bytes,
    BytesPerSecond,
    PerSecond,
    Age,
}

/// A value of a process.
pub(super) enum Value<'a> {
    Text(Option<&'a str>),
    Letter(Option<char>),
    Number(Option<f64>),
}

/// The values that need more than the process.
const DERIVED: [Field; 3] = [
    Field { word: "host", column: "host", kind: Kind::Text, source: Source::Host },
    Field { word: "mem%", column: "memory_percent", kind: Kind::Percent, source: Source::MemoryPercent },
    Field { word: "age", column: "age_s", kind: Kind::Age, source: Source::Age },
];

impl Field {
    /// All fields.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let of_process = PROCESS.iter().enumerate().flat_map(|(place, field)| {
            let itself = field.filter_word.map(|word| Self {
                word,
                column: field.column,
                kind: kind_of(field),
                source: Source::Process(place),
            });
            let rate = field.rate.and_then(|rate| Some((rate, rate.filter_word?))).map(|(rate, word)| Self {
                word,
                column: rate.column,
                kind: if field.unit == Unit::Bytes { Kind::BytesPerSecond } else { Kind::PerSecond },
                source: Source::Rate(place),
            });
            itself.into_iter().chain(rate)
        });
        DERIVED.into_iter().chain(of_process)
    }

    /// The field that people call `word`.
    pub(super) fn find(word: &str) -> Option<Self> {
        Self::all().find(|field| field.word.eq_ignore_ascii_case(word))
    }

    /// The field of a host at this place, which people call `word`.
    pub(super) const fn of_host(word: &'static str, kind: Kind, place: usize) -> Self {
        Self { word, column: word, kind, source: Source::OfHost(place) }
    }

    /// Its place among the fields of a host, where it is one of them.
    pub(super) fn host_place(self) -> Option<usize> {
        match self.source {
            Source::OfHost(place) => Some(place),
            _ => None,
        }
    }

    /// All fields as people call them.
    pub(super) fn words() -> String {
        Self::all().map(|field| field.word).collect::<Vec<_>>().join(", ")
    }

    /// Whether it is the growth of a counter.
    pub(super) fn is_rate(self) -> bool {
        matches!(self.source, Source::Rate(_))
    }

    /// Whether it is the command line, which some people may not see.
    pub(super) fn is_command_line(self) -> bool {
        self.column == "command_line"
    }

    /// Whether it is of the process itself, and nothing else has to be known.
    pub(super) fn is_own(self) -> bool {
        self.own_place().is_some()
    }

    /// Its place among the fields of a process, where it is one of them.
    pub(super) fn own_place(self) -> Option<usize> {
        match self.source {
            Source::Process(place) => Some(place),
            _ => None,
        }
    }

    /// The place among the fields of a process that its value is made of. Identity and start need none: they are known of
    /// every process.
    pub(super) fn place(self) -> Option<usize> {
        match self.source {
            Source::Process(place) | Source::Rate(place) => Some(place),
            Source::MemoryPercent => PROCESS.iter().position(|field| field.name == "resident_bytes"),
            Source::Host | Source::Age | Source::OfHost(_) => None,
        }
    }

    /// Whether it is the name of the process's host.
    pub(super) fn is_host(self) -> bool {
        self.source == Source::Host
    }

    /// Its value in a process.
    pub(super) fn of<'a>(self, fields: &Fields<'a>) -> Value<'a> {
        match self.source {
            Source::Host => Value::Text(Some(fields.host)),
            Source::Rate(place) => Value::Number(fields.rates.at(place)),
            Source::MemoryPercent => Value::Number(fields.memory_percent),
            Source::Age => Value::Number(Some(fields.age_s)),
            Source::OfHost(_) => Value::Number(None),
            Source::Process(place) => match fields.process.value(place) {
                model::Value::Text(text) => Value::Text(Some(text)),
                model::Value::Letter(letter) => Value::Letter(Some(letter)),
                value => Value::Number(value.number()),
            },
        }
    }
}

/// How the values of a field of the model are written.
fn kind_of(field: &model::Field) -> Kind {
    match (field.kind, field.unit) {
        (model::Kind::Text | model::Kind::Letter, _) => Kind::Text,
        (model::Kind::Flag, _) => Kind::Flag,
        (_, Unit::Percent) => Kind::Percent,
        (_, Unit::Bytes) => Kind::Bytes,
        _ if field.sql_type == "TINYINT" => Kind::Signed,
        _ => Kind::Count,
    }
}

impl Kind {
    /// Whether its values are texts.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Group)
    }

    /// Parses a number with its unit; the error says what was expected.
    pub(super) fn read(self, text: &str) -> Result<f64, String> {
        let (number, expected) = match self {
            Self::Text | Self::Group => (None, "a text"),
            Self::Count => (text.parse::<u64>().ok().map(|number| number as f64), "a whole number, as in 42"),
            Self::Signed => (text.parse::<i32>().ok().map(f64::from), "a whole number, as in 5 or -5"),
            Self::Flag => (flag(text), "yes or no"),
            Self::PerSecond => {
                (decimal(text.strip_suffix("/s").unwrap_or(text)), "a number per second, as in 100")
            }
            Self::Percent => (decimal(text.strip_suffix('%').unwrap_or(text)), "a number, as in 50 or 2.5%"),
            Self::Bytes => (bytes(text), "a size, as in 500M, 2G or 4096"),
            Self::BytesPerSecond => {
                (bytes(text.strip_suffix("/s").unwrap_or(text)), "a size per second, as in 10M")
            }
            Self::Age => {
                let duration = units::parse_duration(text).ok().map(|duration| duration.as_secs_f64());
                (duration.or_else(|| decimal(text)), "a length of time, as in 90s, 5m, 2h or 3d")
            }
        };
        // A few hundred digits are more than a number holds.
        number.filter(|number: &f64| number.is_finite()).ok_or_else(|| format!("expected {expected}"))
    }
}

/// Yes or no, in the words that people and programs use.
fn flag(text: &str) -> Option<f64> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is(["yes", "true", "1"]) => Some(1.0),
        () if is(["no", "false", "0"]) => Some(0.0),
        () => None,
    }
}

/// A number from zero up, without an exponent.
fn decimal(text: &str) -> Option<f64> {
    let plain =
        !text.is_empty() && text.chars().all(|character| character.is_ascii_digit() || character == '.');
    plain.then(|| text.parse().ok()).flatten()
}

/// A size as pages show it: K, M, G and T are powers of 1024, with or without iB or B behind.
fn bytes(text: &str) -> Option<f64> {
    let upper = text.to_ascii_uppercase();
    let number = upper.strip_suffix("IB").or_else(|| upper.strip_suffix('B')).unwrap_or(&upper);
    let powers = [('K', 1), ('M', 2), ('G', 3), ('T', 4)];
    let unit = powers.into_iter().find_map(|(letter, power)| Some((number.strip_suffix(letter)?, power)));
    let (number, power) = unit.unwrap_or((number, 0));
    Some(decimal(number.trim_end())? * 1024_f64.powi(power))
}

/// The letters of `text`, each as its small one: what DuckDB's `lower` does, which knows no letters that become two.
pub(super) fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut small = String::with_capacity(text.len());
    for character in text.chars() {
        let _ = write!(small, "{}", character.to_lowercase().next().unwrap_or(character));
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_word() {
        for field in Field::all() {
            assert_eq!(Field::find(field.word), Some(field));
        }
        assert_eq!(Field::find("colour"), None);
    }

    #[test]
    fn values_have_units() {
        for (kind, text, expected) in [
            (Kind::Count, "42", Ok(42.0)),
            (Kind::Percent, "2.5%", Ok(2.5)),
            (Kind::Percent, "50", Ok(50.0)),
            (Kind::Bytes, "4096", Ok(4096.0)),
            (Kind::Bytes, "500M", Ok(500.0 * 1_048_576.0)),
            (Kind::Bytes, "1.5GiB", Ok(1.5 * 1_073_741_824.0)),
            (Kind::Bytes, "2kb", Ok(2048.0)),
            (Kind::BytesPerSecond, "10M/s", Ok(10.0 * 1_048_576.0)),
            (Kind::Age, "2h", Ok(7200.0)),
            (Kind::Age, "90", Ok(90.0)),
            (Kind::Flag, "Yes", Ok(1.0)),
            (Kind::Flag, "false", Ok(0.0)),
            (Kind::Age, "3d", Ok(259_200.0)),
        ] {
            assert_eq!(kind.read(text), expected, "{text}");
        }
        for (kind, text) in [
            (Kind::Count, "-1"),
            (Kind::Count, "1.5"),
            (Kind::Percent, "1e3"),
            (Kind::Percent, "nan"),
            (Kind::Bytes, "5X"),
            (Kind::Bytes, ""),
            (Kind::Age, "soon"),
            (Kind::Flag, "2"),
            (Kind::Flag, ""),
        ] {
            assert!(kind.read(text).is_err(), "{text}");
        }
        let long = "9".repeat(400);
        let nearly = "9".repeat(308);
        for kind in [Kind::Percent, Kind::Bytes, Kind::BytesPerSecond, Kind::PerSecond, Kind::Age] {
            assert!(kind.read(&long).is_err(), "{kind:?}");
        }
        assert!(Kind::Percent.read(&nearly).is_ok_and(f64::is_finite));
        assert!(Kind::Bytes.read(&format!("{nearly}T")).is_err());
    }
}
