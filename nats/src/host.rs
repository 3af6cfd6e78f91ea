//! A host's name as one NATS subject token.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest host name, in bytes: what one DNS label and a little more need, and short enough for a message id.
pub const MAX_HOST_BYTES: usize = 64;

/// A host's name: 1 to 64 of `A-Z a-z 0-9 _ -`, so it is one subject token, one file name part and safe in a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// The text is not a host name.
#[derive(Debug, thiserror::Error)]
#[error("{given:?} is not a host name: expected 1 to 64 letters, digits, `_` or `-`")]
pub struct NotAHostName {
    given: String,
}

impl HostName {
    /// Makes one token of the name that an operating system gives its machine: every other character becomes `_`, the
    /// name is cut at 64 bytes, and an empty name becomes `unnamed`.
    pub fn from_os_name(os_name: &str) -> Self {
        let mut token: String = os_name
            .chars()
            .take(MAX_HOST_BYTES)
            .map(|character| if is_token_character(character) { character } else { '_' })
            .collect();
        if token.starts_with('-') {
            token.replace_range(..1, "_");
        }
        Self(if token.is_empty() { "unnamed".to_owned() } else { token })
    }

    /// Whether a new host may take it. A name of earlier versions may begin with `-`, which a command takes for an option,
    /// or have neither letter nor digit; such hosts go on.
    pub fn is_plain(&self) -> bool {
        !self.0.starts_with('-') && self.0.chars().any(|character| character.is_ascii_alphanumeric())
    }

    /// The name's look: the same for names that people would mistake for each other, such as `web-01` and `WEB-O1`.
    pub fn look(&self) -> String {
        let look = |character: char| match character {
            '1' | 'I' => 'l',
            '0' => 'o',
            other => other.to_ascii_lowercase(),
        };
        self.0.chars().map(look).collect()
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_token_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '-'
}

impl FromStr for HostName {
    type Err = NotAHostName;

    fn from_str(text: &str) -> Result<Self, NotAHostName> {
        let fits = (1..=MAX_HOST_BYTES).contains(&text.len()) && text.chars().all(is_token_character);
        if fits { Ok(Self(text.to_owned())) } else { Err(NotAHostName { given: text.to_owned() }) }
    }
}

impl TryFrom<String> for HostName {
    type Error = NotAHostName;

    fn try_from(text: String) -> Result<Self, NotAHostName> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(host: HostName) -> Self {
        host.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_os_name_becomes_one_token() {
        for (os_name, token) in [
            ("web-01", "web-01"),
            ("db.example.com", "db_example_com"),
            ("a*b>c d", "a_b_c_d"),
            ("", "unnamed"),
            ("--help", "_-help"),
        ] {
            assert_eq!(HostName::from_os_name(os_name).as_str(), token);
            assert!(HostName::from_os_name(os_name).as_str().parse::<HostName>().is_ok());
        }
        assert_eq!(HostName::from_os_name(&"ü".repeat(100)).as_str().len(), MAX_HOST_BYTES);
    }

    #[test]
    fn names_that_are_taken_for_options_are_not_for_new_hosts() {
        for (name, is_plain) in
            [("web-01", true), ("_x", true), ("7", true), ("-", false), ("--help", false), ("_-_", false)]
        {
            assert_eq!(name.parse::<HostName>().unwrap().is_plain(), is_plain, "{name}");
        }
    }

    #[test]
    fn names_that_people_take_for_each_other_look_alike() {
        let look = |name: &str| name.parse::<HostName>().unwrap().look();
        for (name, other, are_alike) in [
            ("web-01", "WEB-O1", true),
            ("il", "iI", true),
            ("web-01", "web-02", false),
            ("web_01", "web-01", false),
        ] {
            assert_eq!(look(name) == look(other), are_alike, "{name} and {other}");
        }
    }

    #[test]
    fn wildcards_dots_and_oversized_names_are_refused() {
        for text in ["", "*", ">", ".", "a.b", "a b", "ü", "w\u{435}b-01", "a\u{200b}", &"x".repeat(65)] {
            assert!(text.parse::<HostName>().is_err(), "{text:?} was taken");
        }
    }
}
