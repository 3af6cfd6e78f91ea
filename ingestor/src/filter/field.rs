//! What a filter can ask about, and how the values of each are written.

use std::fmt::Write;

use fleetps_nats::units;

use super::Fields;

/// What a filter can ask about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Host,
    Name,
    CommandLine,
    User,
    State,
    Unit,
    Container,
    Pid,
    Parent,
    Cpu,
    Memory,
    MemoryPercent,
    Read,
    Written,
    Threads,
    Age,
}

/// How a field's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Count,
    Percent,
    Bytes,
    BytesPerSecond,
    Age,
}

/// A value of a process.
pub(super) enum Value<'a> {
    Text(Option<&'a str>),
    Letter(Option<char>),
    Number(Option<f64>),
}

const ALL: [(Field, &str, &str, Kind); 16] = [
    (Field::Host, "host", "host", Kind::Text),
    (Field::Name, "name", "name", Kind::Text),
    (Field::CommandLine, "cmd", "command_line", Kind::Text),
    (Field::User, "user", "user_name", Kind::Text),
    (Field::State, "state", "state", Kind::Text),
    (Field::Unit, "unit", "unit", Kind::Text),
    (Field::Container, "container", "container", Kind::Text),
    (Field::Pid, "pid", "pid", Kind::Count),
    (Field::Parent, "parent", "parent_pid", Kind::Count),
    (Field::Cpu, "cpu", "cpu_percent", Kind::Percent),
    (Field::Memory, "mem", "resident_bytes", Kind::Bytes),
    (Field::MemoryPercent, "mem%", "memory_percent", Kind::Percent),
    (Field::Read, "read", "read_per_s", Kind::BytesPerSecond),
    (Field::Written, "written", "written_per_s", Kind::BytesPerSecond),
    (Field::Threads, "threads", "threads", Kind::Count),
    (Field::Age, "age", "age_s", Kind::Age),
];

impl Field {
    /// The field that people call `word`.
    pub(super) fn find(word: &str) -> Option<Self> {
        ALL.iter().find(|(_, name, ..)| name.eq_ignore_ascii_case(word)).map(|(field, ..)| *field)
    }

    /// All fields as people call them.
    pub(super) fn names() -> String {
        ALL.iter().map(|(_, name, ..)| *name).collect::<Vec<_>>().join(", ")
    }

    /// What people call it.
    pub(super) fn name(self) -> &'static str {
        self.entry().1
    }

    /// Its column in SQL.
    pub(super) fn column(self) -> &'static str {
        self.entry().2
    }

    pub(super) fn kind(self) -> Kind {
        self.entry().3
    }

    fn entry(self) -> &'static (Self, &'static str, &'static str, Kind) {
        // Every field stands in the list; a test says so.
        ALL.iter().find(|(field, ..)| *field == self).unwrap_or(&ALL[0])
    }

    /// Its value in a process.
    pub(super) fn of<'a>(self, fields: &Fields<'a>) -> Value<'a> {
        match self {
            Self::Host => Value::Text(Some(fields.host)),
            Self::Name => Value::Text(Some(fields.name)),
            Self::CommandLine => Value::Text(fields.command_line),
            Self::User => Value::Text(fields.user_name),
            Self::State => Value::Letter(fields.state),
            Self::Unit => Value::Text(fields.unit),
            Self::Container => Value::Text(fields.container),
            Self::Pid => Value::Number(Some(f64::from(fields.pid))),
            Self::Parent => Value::Number(fields.parent_pid.map(f64::from)),
            Self::Cpu => Value::Number(fields.cpu_percent),
            Self::Memory => Value::Number(fields.resident_bytes),
            Self::MemoryPercent => Value::Number(fields.memory_percent),
            Self::Read => Value::Number(fields.read_per_s),
            Self::Written => Value::Number(fields.written_per_s),
            Self::Threads => Value::Number(fields.threads.map(f64::from)),
            Self::Age => Value::Number(Some(fields.age_s)),
        }
    }
}

impl Kind {
    /// Reads a number with its unit; the error says what was expected.
    pub(super) fn read(self, text: &str) -> Result<f64, String> {
        let (number, expected) = match self {
            Self::Text => (None, "a text"),
            Self::Count => (text.parse::<u32>().ok().map(f64::from), "a whole number, as in 42"),
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
        number.ok_or_else(|| format!("expected {expected}"))
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
    fn every_field_is_found_by_its_name() {
        for (field, name, column, kind) in ALL {
            assert_eq!(Field::find(name), Some(field));
            assert_eq!((field.name(), field.column(), field.kind()), (name, column, kind));
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
        ] {
            assert!(kind.read(text).is_err(), "{text}");
        }
    }
}
