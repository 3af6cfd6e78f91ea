//! Patterns of units: a unit's name in which `*` stands for any characters.

use std::fmt;

use fleetps_nats::command::UnitName;

/// What stands in for `*` to see whether the rest is a unit's name.
const ANYTHING: &str = "x";

/// A pattern, as in `app-*.service`. Without `*` it is one unit's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern; `None` where no unit could have such a name.
    pub fn read(text: &str) -> Option<Self> {
        text.replace('*', ANYTHING).parse::<UnitName>().ok()?;
        Some(Self(text.to_owned()))
    }

    /// Whether a unit has a name of this form.
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }

    /// The same as a regular expression of JavaScript, anchored at both ends, for the rules of polkit.
    pub fn to_regex(&self) -> String {
        let mut regex = String::from("^");
        for character in self.0.chars() {
            match character {
                '*' => regex.push_str(".*"),
                '.' | '\\' | '-' => regex.extend(['\\', character]),
                plain => regex.push(plain),
            }
        }
        regex.push('$');
        regex
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether `name` has the form of `pattern`, in which `*` stands for any characters. Takes a time of the product of their
/// lengths at most.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            // The first place leaves most for what follows.
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
