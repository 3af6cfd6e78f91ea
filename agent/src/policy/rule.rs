//! The lines of `[control]`: which actions on which units, which signals to which processes.

use std::{collections::BTreeSet, fmt, str::FromStr};

use fleetps_nats::command::{Signal, UnitAction};
use serde::{Deserialize, Serialize};

use super::Pattern;

/// The longest line, in bytes: a unit's name has at most 255.
const MAX_RULE_BYTES: usize = 400;
/// Every action, or every signal.
const ALL: &str = "*";

/// A line of `[control] units`, as in `restart,reload nginx.service`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitRule {
    text: String,
    /// The actions that it allows.
    pub actions: BTreeSet<UnitAction>,
    /// The units that it allows them for.
    pub pattern: Pattern,
}

/// A line of `[control] signals`, as in `TERM,HUP user:www-data` or `* unit:app-*.service`. Where it names a user and a unit, a
/// process must be of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SignalRule {
    text: String,
    /// The signals that it allows.
    pub signals: BTreeSet<Signal>,
    /// The user whose processes it allows them for, by name or number; of any user where it is absent.
    pub user: Option<String>,
    /// The units whose processes it allows them for; of any unit or none where it is absent.
    pub unit: Option<Pattern>,
}

/// A line that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule:?}, column {column}: {found:?}; expected {expected}")]
pub struct BadRule {
    rule: String,
    column: usize,
    found: String,
    expected: String,
}

/// The words of a line, each with the column that it begins in, counted from 1.
struct Words<'a> {
    rule: &'a str,
    words: Vec<(usize, &'a str)>,
}

impl<'a> Words<'a> {
    fn of(rule: &'a str) -> Result<Self, BadRule> {
        let mut words = Vec::new();
        let mut column = 1;
        for word in rule.split(' ') {
            if !word.is_empty() {
                words.push((column, word));
            }
            column += word.chars().count() + 1;
        }
        let words = Self { rule, words };
        if rule.len() > MAX_RULE_BYTES || rule.chars().any(char::is_control) {
            let expected = format!("at most {MAX_RULE_BYTES} bytes without control characters");
            return Err(words.bad(1, rule, expected));
        }
        Ok(words)
    }

    fn bad(&self, column: usize, found: &str, expected: impl Into<String>) -> BadRule {
        let short = |text: &str| text.chars().take(80).collect();
        BadRule { rule: short(self.rule), column, found: short(found), expected: expected.into() }
    }

    /// The word at `place`.
    fn word(&self, place: usize, expected: &str) -> Result<(usize, &'a str), BadRule> {
        self.words.get(place).copied().ok_or_else(|| self.bad(self.rule.chars().count() + 1, "", expected))
    }

    /// The first word: a list of `all` or `*`.
    fn verbs<T: FromStr + Ord + Copy + fmt::Display>(&self, all: &[T]) -> Result<BTreeSet<T>, BadRule> {
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        let expected = format!("{} or {ALL}", names.join(", "));
        let (mut column, list) = self.word(0, &expected)?;
        if list == ALL {
            return Ok(all.iter().copied().collect());
        }
        let mut verbs = BTreeSet::new();
        for name in list.split(',') {
            verbs.insert(name.parse().map_err(|_| self.bad(column, name, expected.clone()))?);
            column += name.chars().count() + 1;
        }
        Ok(verbs)
    }

    /// A pattern of units that stands at `column`.
    fn pattern(&self, column: usize, text: &str) -> Result<Pattern, BadRule> {
        const EXPECTED: &str = "a unit's whole name, in which * stands for anything, as in app-*.service";
        Pattern::read(text).ok_or_else(|| self.bad(column, text, EXPECTED))
    }
}

impl FromStr for UnitRule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let words = Words::of(text)?;
        let actions = words.verbs(&UnitAction::ALL)?;
        let (column, pattern) = words.word(1, "a unit, as in nginx.service")?;
        let pattern = words.pattern(column, pattern)?;
        if let Some((column, more)) = words.words.get(2) {
            return Err(words.bad(*column, more, "one unit or pattern in each line"));
        }
        Ok(Self { text: text.to_owned(), actions, pattern })
    }
}

impl FromStr for SignalRule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        const EXPECTED: &str = "user:NAME, unit:PATTERN or both, each once";
        let words = Words::of(text)?;
        let mut rule =
            Self { text: text.to_owned(), signals: words.verbs(&Signal::ALL)?, user: None, unit: None };
        words.word(1, EXPECTED)?;
        for (column, word) in words.words.iter().copied().skip(1) {
            match word.split_once(':') {
                Some(("user", user)) if rule.user.is_none() && !user.is_empty() => {
                    rule.user = Some(user.to_owned());
                }
                Some(("unit", unit)) if rule.unit.is_none() => {
                    rule.unit = Some(words.pattern(column + "unit:".len(), unit)?);
                }
                _ => return Err(words.bad(column, word, EXPECTED)),
            }
        }
        Ok(rule)
    }
}

macro_rules! as_text {
    ($rule:ident) => {
        impl TryFrom<String> for $rule {
            type Error = BadRule;

            fn try_from(text: String) -> Result<Self, BadRule> {
                text.parse()
            }
        }

        impl From<$rule> for String {
            fn from(rule: $rule) -> Self {
                rule.text
            }
        }

        impl fmt::Display for $rule {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.text)
            }
        }
    };
}

as_text!(UnitRule);
as_text!(SignalRule);
