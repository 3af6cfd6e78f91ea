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
    /// The name an operating system gives its machine, made into one token: every other character becomes `_`, what
    /// is over 64 bytes is cut, and an empty name becomes `unnamed`.
    pub fn from_os_name(os_name: &str) -> Self {
        let token: String = os_name
            .chars()
            .take(MAX_HOST_BYTES)
            .map(|character| if is_token_character(character) { character } else { '_' })
            .collect();
        Self(if token.is_empty() { "unnamed".to_owned() } else { token })
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
        ] {
            assert_eq!(HostName::from_os_name(os_name).as_str(), token);
            assert!(HostName::from_os_name(os_name).as_str().parse::<HostName>().is_ok());
        }
        assert_eq!(HostName::from_os_name(&"ü".repeat(100)).as_str().len(), MAX_HOST_BYTES);
    }

    #[test]
    fn wildcards_dots_and_oversized_names_are_refused() {
        for text in ["", "*", ">", "a.b", "a b", "ü", &"x".repeat(65)] {
            assert!(text.parse::<HostName>().is_err(), "{text:?} was taken");
        }
    }
}
