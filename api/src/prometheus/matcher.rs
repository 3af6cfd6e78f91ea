//! Conditions on labels.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};

use super::problem::Problem;

/// The longest regular expression, in bytes: Grafana writes a list of chosen hosts as one.
const MAX_REGEX_BYTES: usize = 8 << 10;
/// The most memory for a compiled one, and again for what it remembers while it looks: with all conditions of a question
/// some tens of MiB.
const MAX_COMPILED_BYTES: usize = 256 << 10;
/// How deep one may be nested.
const MAX_NESTING: u32 = 32;

/// A condition on a label; a label that a series has not is empty.
#[derive(Debug, Clone)]
pub(crate) struct Matcher {
    /// The label.
    pub(super) label: String,
    /// The condition on its value.
    condition: Condition,
}

#[derive(Debug, Clone)]
enum Condition {
    Is(String),
    IsNot(String),
    /// A list of plain texts, which no regular expression is compiled for.
    IsAmong(BTreeSet<String>),
    IsNotAmong(BTreeSet<String>),
    Matches(Regex),
    MatchesNot(Regex),
}

impl Matcher {
    /// That `label` is `value`.
    pub(super) fn is(label: &str, value: String) -> Self {
        Self { label: label.to_owned(), condition: Condition::Is(value) }
    }

    /// The condition `operator` on `label`; a regular expression must match all of a value.
    ///
    /// # Errors
    /// When it is a regular expression that cannot be read, or is too large.
    pub(super) fn new(label: String, operator: &str, value: String, column: usize) -> Result<Self, Problem> {
        let condition = match operator {
            "=" => Condition::Is(value),
            "!=" => Condition::IsNot(value),
            operator => {
                check_length(&value, column)?;
                match (operator == "=~", alternatives(&value)) {
                    (true, Some(texts)) => Condition::IsAmong(texts),
                    (false, Some(texts)) => Condition::IsNotAmong(texts),
                    (true, None) => Condition::Matches(whole(&value, column)?),
                    (false, None) => Condition::MatchesNot(whole(&value, column)?),
                }
            }
        };
        Ok(Self { label, condition })
    }

    /// Whether a value meets it.
    pub(super) fn accepts(&self, value: &str) -> bool {
        match &self.condition {
            Condition::Is(wanted) => value == wanted,
            Condition::IsNot(unwanted) => value != unwanted,
            Condition::IsAmong(wanted) => wanted.contains(value),
            Condition::IsNotAmong(unwanted) => !unwanted.contains(value),
            Condition::Matches(regex) => regex.is_match(value),
            Condition::MatchesNot(regex) => !regex.is_match(value),
        }
    }

    /// Whether it says what a value must not be.
    pub(super) fn is_negative(&self) -> bool {
        use Condition::{IsNot, IsNotAmong, MatchesNot};
        matches!(self.condition, IsNot(_) | IsNotAmong(_) | MatchesNot(_))
    }

    /// All values that can meet it, where these are few and known: of `=`, and of `=~` that is a list of plain texts.
    pub(super) fn only_values(&self) -> Option<Vec<String>> {
        match &self.condition {
            Condition::Is(value) => Some(vec![value.clone()]),
            Condition::IsAmong(values) => Some(values.iter().cloned().collect()),
            _ => None,
        }
    }
}

fn check_length(pattern: &str, column: usize) -> Result<(), Problem> {
    match pattern.len() > MAX_REGEX_BYTES {
        true => {
            let error = format!("this regular expression is longer than {MAX_REGEX_BYTES} bytes");
            Err(Problem::at(column, error))
        }
        false => Ok(()),
    }
}

/// The regular expression over a whole value, as Prometheus anchors it.
fn whole(pattern: &str, column: usize) -> Result<Regex, Problem> {
    // By itself first: it must not close the brackets around it.
    build(pattern).and_then(|_| build(&format!("^(?s:{pattern})$"))).map_err(|error| {
        let why = error.to_string();
        let last = why.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
        Problem::at(column, format!("this regular expression cannot be used ({last})"))
    })
}

/// The pattern as Prometheus reads it: `\<` and `\>` are these letters there, and here the beginning and the end of a word.
fn as_prometheus(pattern: &str) -> String {
    let (mut read, mut letters) = (String::with_capacity(pattern.len()), pattern.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(plain @ ('<' | '>')) => read.push(plain),
                escaped => {
                    read.push(letter);
                    read.extend(escaped);
                }
            },
            plain => read.push(plain),
        }
    }
    read
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&as_prometheus(pattern))
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .nest_limit(MAX_NESTING)
        .build()
}

/// The texts of a regular expression that is nothing but texts with `|` between, in one pair of brackets or none.
fn alternatives(pattern: &str) -> Option<BTreeSet<String>> {
    let inner = pattern.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(pattern);
    let (mut all, mut text) = (BTreeSet::new(), String::new());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '|' => {
                all.insert(std::mem::take(&mut text));
            }
            '\\' => text.push(letters.next().filter(char::is_ascii_punctuation)?),
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            plain => text.push(plain),
        }
    }
    all.insert(text);
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(operator: &str, value: &str) -> Result<Matcher, Problem> {
        Matcher::new("host".to_owned(), operator, value.to_owned(), 7)
    }

    #[test]
    fn a_regular_expression_matches_whole_values() {
        let matcher = matcher("=~", "web-.*|db").unwrap();
        let accepted = ["web-1", "db", "db2", "a web-1", "web-\n"].map(|value| matcher.accepts(value));
        assert_eq!(accepted, [true, true, false, false, true]);
    }

    #[test]
    fn a_list_of_plain_texts_is_known_without_looking() {
        let only = |pattern| matcher("=~", pattern).unwrap().only_values();
        assert_eq!(only("a|b"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(only(r"(a\.b|c\-d)"), Some(vec!["a.b".to_owned(), "c-d".to_owned()]));
        assert_eq!(only(r"\d"), None);
        assert_eq!(only("a.b"), None);
        assert_eq!(only("(a)|(b)"), None);
    }

    #[test]
    fn a_regular_expression_that_would_take_much_is_refused() {
        for pattern in
            ["(", "(?:a{1000}){1000}", &"(".repeat(500), &"x".repeat(MAX_REGEX_BYTES + 1), "a)|(?:b"]
        {
            let problem = matcher("=~", pattern).unwrap_err();
            assert_eq!(problem.column, Some(7), "{problem}");
        }
    }
}
