//! The expression of a filter, and its evaluation for a process.

use super::{
    Fields,
    field::{Field, Value, lower},
    pattern::Pattern,
};

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

    /// Whether what it lets through depends on command lines: words occur in them, too.
    pub(super) fn asks_for_command_lines(&self) -> bool {
        match self {
            Self::Word(_) => true,
            Self::Same(field, _) | Self::Like(field, _) | Self::Number(field, ..) => field.is_command_line(),
            Self::Not(inner) => inner.asks_for_command_lines(),
            Self::All(inner) | Self::Any(inner) => inner.iter().any(Self::asks_for_command_lines),
        }
    }

    pub(super) fn matches(&self, fields: &Fields<'_>) -> bool {
        match self {
            Self::Word(word) => {
                let occurs = |text: &str| lower(text).contains(word);
                occurs(&fields.process.name) || fields.process.command_line.as_deref().is_some_and(occurs)
            }
            Self::Same(field, text) => with_text(*field, fields, |value| value == text),
            Self::Like(field, pattern) => with_text(*field, fields, |value| pattern.matches(value)),
            Self::Number(field, order, number) => match field.of(fields) {
                Value::Number(Some(value)) => order.holds(value, *number),
                _ => false,
            },
            Self::Not(inner) => !inner.matches(fields),
            Self::All(inner) => inner.iter().all(|expression| expression.matches(fields)),
            Self::Any(inner) => inner.iter().any(|expression| expression.matches(fields)),
        }
    }
}

/// Whether `test` holds for the text of a field; not where it is absent.
fn with_text(field: Field, fields: &Fields<'_>, test: impl Fn(&str) -> bool) -> bool {
    match field.of(fields) {
        Value::Text(Some(text)) => test(text),
        Value::Letter(Some(letter)) => test(letter.encode_utf8(&mut [0; 4])),
        _ => false,
    }
}
