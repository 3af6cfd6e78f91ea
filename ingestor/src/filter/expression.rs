//! The expression of a filter, and its evaluation for a process or a host.

use std::collections::BTreeSet;

use fleetps_nats::model::{self, process::PROCESS};

use super::{
    Fields,
    field::{Field, Kind, Value, lower},
    pattern::Pattern,
};

/// What a filter is evaluated for: a process, or a host.
pub(super) trait Subject {
    /// Whether a plain word, in small letters, occurs in it.
    fn has_word(&self, word: &str) -> bool;

    /// Whether `test` holds for a text of a field; not where it is absent.
    fn has_text(&self, field: Field, test: impl Fn(&str) -> bool) -> bool;

    /// The number of a field, where it is known.
    fn number(&self, field: Field) -> Option<f64>;
}

impl Subject for Fields<'_> {
    fn has_word(&self, word: &str) -> bool {
        let occurs = |text: &str| occurs(text, word);
        occurs(&self.process.name) || self.process.command_line.as_deref().is_some_and(occurs)
    }

    fn has_text(&self, field: Field, test: impl Fn(&str) -> bool) -> bool {
        match field.of(self) {
            Value::Text(Some(text)) => test(text),
            Value::Letter(Some(letter)) => test(letter.encode_utf8(&mut [0; 4])),
            _ => false,
        }
    }

    fn number(&self, field: Field) -> Option<f64> {
        match field.of(self) {
            Value::Number(number) => number,
            Value::Text(_) | Value::Letter(_) => None,
        }
    }
}

/// Whether `word`, in small letters, occurs in a text in any. Nearly every text is ASCII, and is searched as it lies.
fn occurs(text: &str, word: &str) -> bool {
    let Some(first) = word.bytes().next() else { return true };
    if !text.is_ascii() {
        return lower(text).contains(word);
    }
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let Some(last) = text.len().checked_sub(word.len()) else { return false };
    // Small letters are equal to none but themselves and their large ones.
    let is_it = |from: usize| text.get(from..from + word.len()).is_some_and(|part| is_lower(part, word));
    (0..=last)
        .any(|from| text.get(from).is_some_and(|byte| byte.to_ascii_lowercase() == first) && is_it(from))
}

/// Whether a text in small letters is `word`.
fn is_lower(text: &[u8], word: &[u8]) -> bool {
    text.iter().zip(word).all(|(byte, wanted)| byte.to_ascii_lowercase() == *wanted)
}

/// The expression of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// In the name or the command line, in small letters.
    Word(String),
    Same(Field, String),
    Like(Field, Pattern),
    Number(Field, Order, f64),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// How two numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Order {
    /// As in SQL.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
        }
    }
}

impl Expression {
    /// Whether some comparison in it is of such a field.
    pub(super) fn asks_for(&self, is_such: fn(Field) -> bool) -> bool {
        match self {
            Self::Word(_) => false,
            Self::Same(field, _) | Self::Like(field, _) | Self::Number(field, ..) => is_such(*field),
            Self::Not(inner) => inner.asks_for(is_such),
            Self::All(inner) | Self::Any(inner) => inner.iter().any(|inner| inner.asks_for(is_such)),
        }
    }

    /// Adds the places of the process's own fields that it asks for; whether it needs no more than them and the host's name.
    pub(super) fn own_places(&self, places: &mut BTreeSet<usize>) -> bool {
        match self {
            Self::Word(_) => {
                let searched = |field: &model::Field| matches!(field.name, "name" | "command_line");
                places.extend((0..PROCESS.len()).filter(|place| searched(&PROCESS[*place])));
                true
            }
            Self::Same(field, _) | Self::Like(field, _) | Self::Number(field, ..) => {
                places.extend(field.own_place());
                field.is_own() || field.is_host()
            }
            Self::Not(inner) => inner.own_places(places),
            Self::All(inner) | Self::Any(inner) => inner.iter().all(|inner| inner.own_places(places)),
        }
    }

    /// Adds the places of the process's fields that it looks at.
    pub(super) fn places(&self, places: &mut BTreeSet<usize>) {
        match self {
            Self::Word(_) => drop(self.own_places(places)),
            Self::Same(field, _) | Self::Like(field, _) | Self::Number(field, ..) => {
                places.extend(field.place());
            }
            Self::Not(inner) => inner.places(places),
            Self::All(inner) | Self::Any(inner) => inner.iter().for_each(|inner| inner.places(places)),
        }
    }

    /// Whether it searches by a regular expression, which may take milliseconds.
    pub(super) fn has_patterns(&self) -> bool {
        match self {
            Self::Word(_) | Self::Same(..) | Self::Number(..) => false,
            Self::Like(_, pattern) => !pattern.is_plain(),
            Self::Not(inner) => inner.has_patterns(),
            Self::All(inner) | Self::Any(inner) => inner.iter().any(Self::has_patterns),
        }
    }

    /// Whether what it lets through depends on command lines: words occur in them, too.
    pub(super) fn asks_for_command_lines(&self) -> bool {
        match self {
            Self::Word(_) => true,
            Self::Same(field, _) | Self::Like(field, _) | Self::Number(field, ..) => field.is_command_line(),
            Self::Not(inner) => inner.asks_for_command_lines(),
            Self::All(inner) | Self::Any(inner) => inner.iter().any(Self::asks_for_command_lines),
        }
    }

    pub(super) fn matches(&self, subject: &impl Subject) -> bool {
        match self {
            Self::Word(word) => subject.has_word(word),
            Self::Same(field, text) if field.kind == Kind::Group => {
                subject.has_text(*field, |value| value.eq_ignore_ascii_case(text))
            }
            Self::Same(field, text) => subject.has_text(*field, |value| value == text),
            Self::Like(field, pattern) => subject.has_text(*field, |value| pattern.matches(value)),
            Self::Number(field, order, number) => {
                subject.number(*field).is_some_and(|value| order.holds(value, *number))
            }
            Self::Not(inner) => !inner.matches(subject),
            Self::All(inner) => inner.iter().all(|expression| expression.matches(subject)),
            Self::Any(inner) => inner.iter().any(|expression| expression.matches(subject)),
        }
    }
}
