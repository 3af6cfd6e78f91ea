//! A host's name, and the same as one NATS subject token.
//!
//! A name is what people know a machine by: `web-01`, `db.example.com`. A token of a subject cannot have dots, so there each
//! dot is written as `=`, which no name has: `db=example=com`. Names without dots, the only ones that earlier versions had, are
//! their own tokens; no two names have the same token, and a token can hold no wildcard. Everywhere else (keys of buckets,
//! user names at the broker, addresses of pages, tables) the name stands as it is.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest host name, in bytes: the longest name in DNS.
pub const MAX_HOST_BYTES: usize = 253;
/// Longest host name of earlier versions.
const MAX_BYTES_BEFORE_DOTS: usize = 64;
/// What stands for a dot in a subject token.
const DOT_IN_TOKEN: &str = "=";

/// A host's name: 1 to 253 of `A-Z a-z 0-9 _ -`, in one part or several with a dot between two of them, so it is safe in a
/// URL, as a file name and as a key of a bucket. Case counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// The text is not a host name.
#[derive(Debug, thiserror::Error)]
#[error(
    "{given:?} is not a host name: expected at most {MAX_HOST_BYTES} letters, digits, `_` or `-`, with single dots between them"
)]
pub struct NotAHostName {
    given: String,
}

impl HostName {
    /// Makes a name of the one that an operating system gives its machine: the same where it can be, with its case and its
    /// dots. Every other character becomes `_`, dots too many are left out, the name is cut at 253 bytes, and an
    /// empty one becomes `unnamed`.
    pub fn from_os_name(os_name: &str) -> Self {
        let mut name = String::new();
        for character in os_name.chars().take(MAX_HOST_BYTES) {
            match character {
                '.' if name.is_empty() || name.ends_with('.') => {}
                character if is_name_character(character) || character == '.' => name.push(character),
                _ => name.push('_'),
            }
        }
        Self::from_system(name.trim_end_matches('.').to_owned())
    }

    /// The name that earlier versions made of it: dots became `_`, and it was cut at 64 bytes. A host that had no name
    /// of its own in its settings was admitted under this one.
    pub fn from_os_name_before_dots(os_name: &str) -> Self {
        let token = os_name.chars().take(MAX_BYTES_BEFORE_DOTS);
        Self::from_system(token.map(|letter| if is_name_character(letter) { letter } else { '_' }).collect())
    }

    /// A name that no command takes for an option, and that is not empty.
    fn from_system(mut name: String) -> Self {
        if name.starts_with('-') {
            name.replace_range(..1, "_");
        }
        Self(if name.is_empty() { "unnamed".to_owned() } else { name })
    }

    /// The name as one token of a subject.
    pub fn token(&self) -> Cow<'_, str> {
        match self.0.contains('.') {
            true => Cow::Owned(self.0.replace('.', DOT_IN_TOKEN)),
            false => Cow::Borrowed(&self.0),
        }
    }

    /// The host of one token of a subject; `None` where it is no host's.
    pub fn from_token(token: &str) -> Option<Self> {
        if token.contains('.') { None } else { token.replace(DOT_IN_TOKEN, ".").parse().ok() }
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

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '-'
}

impl FromStr for HostName {
    type Err = NotAHostName;

    fn from_str(text: &str) -> Result<Self, NotAHostName> {
        let is_part = |part: &str| !part.is_empty() && part.chars().all(is_name_character);
        let fits = text.len() <= MAX_HOST_BYTES && text.split('.').all(is_part);
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_os_name_keeps_its_case_and_its_dots() {
        for (os_name, name, before) in [
            ("web-01", "web-01", "web-01"),
            ("db.example.com", "db.example.com", "db_example_com"),
            ("DESKTOP-7F3K", "DESKTOP-7F3K", "DESKTOP-7F3K"),
            ("Mira.Local.", "Mira.Local", "Mira_Local_"),
            ("..a..b.", "a.b", "__a__b_"),
            ("a*b>c d", "a_b_c_d", "a_b_c_d"),
            ("a=b", "a_b", "a_b"),
            ("", "unnamed", "unnamed"),
            ("...", "unnamed", "___"),
            ("--help", "_-help", "_-help"),
            (".-x", "_x", "_-x"),
        ] {
            assert_eq!(HostName::from_os_name(os_name).as_str(), name);
            assert_eq!(HostName::from_os_name_before_dots(os_name).as_str(), before);
            assert!(name.parse::<HostName>().is_ok() && before.parse::<HostName>().is_ok());
        }
        assert_eq!(HostName::from_os_name(&"ü".repeat(300)).as_str().len(), MAX_HOST_BYTES);
        assert_eq!(HostName::from_os_name_before_dots(&"ü".repeat(300)).as_str().len(), 64);
    }

    #[test]
    fn a_token_is_one_token_and_names_of_earlier_versions_are_their_own() {
        for (name, token) in [("web_01-X", "web_01-X"), ("db.example.com", "db=example=com"), ("a.b", "a=b")]
        {
            let host: HostName = name.parse().unwrap();
            assert_eq!(host.token(), token);
            assert_eq!(HostName::from_token(token), Some(host));
        }
        for token in ["a.b", "", "=", "=a", "a=", "a==b", "*", ">", "a=*", "a b", "a=>", "ü"] {
            assert_eq!(HostName::from_token(token), None, "{token:?} was taken");
        }
    }

    #[test]
    fn names_that_are_taken_for_options_are_not_for_new_hosts() {
        for (name, is_plain) in [
            ("web-01", true),
            ("_x", true),
            ("7", true),
            ("a.b", true),
            ("-", false),
            ("--help", false),
            ("_._", false),
        ] {
            assert_eq!(name.parse::<HostName>().unwrap().is_plain(), is_plain, "{name}");
        }
    }

    #[test]
    fn names_that_people_take_for_each_other_look_alike() {
        let look = |name: &str| name.parse::<HostName>().unwrap().look();
        for (name, other, are_alike) in [
            ("web-01", "WEB-O1", true),
            ("il", "iI", true),
            ("web1.example.com", "webl.Example.com", true),
            ("web-01", "web-02", false),
            ("web_01", "web-01", false),
            ("a.b", "a_b", false),
            ("a.b", "a-b", false),
            ("a.b", "ab", false),
        ] {
            assert_eq!(look(name) == look(other), are_alike, "{name} and {other}");
        }
    }

    #[test]
    fn wildcards_misplaced_dots_and_oversized_names_are_refused() {
        let long = "x".repeat(MAX_HOST_BYTES + 1);
        for text in [
            "",
            "*",
            ">",
            ".",
            "..",
            ".a",
            "a.",
            "a..b",
            "a.*",
            "a.>",
            "a=b",
            "a b",
            "a/b",
            "ü",
            "w\u{435}b-01",
            "a\u{200b}",
            "a\n",
            &long,
        ] {
            assert!(text.parse::<HostName>().is_err(), "{text:?} was taken");
        }
        assert!(long[1..].parse::<HostName>().is_ok());
    }

    proptest! {
        #[test]
        fn no_two_names_have_one_token(one in "[Aa_.-]{1,6}", other in "[Aa_.-]{1,6}") {
            if let (Ok(one), Ok(other)) = (one.parse::<HostName>(), other.parse::<HostName>()) {
                prop_assert_eq!(one.token() == other.token(), one == other);
                prop_assert_eq!(HostName::from_token(&one.token()), Some(one));
            }
        }

        #[test]
        fn every_os_name_becomes_a_name(os_name in ".{0,80}|[a.-]{0,300}") {
            prop_assert!(HostName::from_os_name(&os_name).as_str().parse::<HostName>().is_ok());
            let before = HostName::from_os_name_before_dots(&os_name);
            prop_assert!(!before.as_str().contains('.') && before.token() == before.as_str());
        }
    }
}
