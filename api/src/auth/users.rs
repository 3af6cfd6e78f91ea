//! Users: their credentials and grants.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Grant;

/// The bucket of users; its keys are their names.
pub(crate) const BUCKET: &str = "users";
/// The longest name.
const MAX_NAME: usize = 64;

/// Reserved names: the audit uses them for commands and for the parts of fleetps.
const RESERVED: [&str; 8] = [
    UserName::LOCAL,
    "fleetps",
    "fleetps-agent",
    "fleetps-ingestor",
    "ingestor",
    "agent",
    "admission",
    "broker",
];

/// A user who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// How the user authenticates.
    pub signs_in: SignsIn,
    /// The grants.
    pub grants: Vec<Grant>,
    /// Whether the user is disabled.
    #[serde(default)]
    pub is_disabled: bool,
    /// When the user was added, in µs since 1970 UTC.
    pub added_at_us: i64,
    /// Sessions that began before this are over, in µs since 1970 UTC.
    pub sessions_since_us: i64,
}

/// How a user authenticates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignsIn {
    /// Not before a password was chosen, by a one-time link.
    NotYet,
    /// By a password; this is its hash.
    Password(String),
    /// By another server's word: the place of OpenID Connect, which is not there yet.
    OpenIdConnect {
        /// That server.
        issuer: String,
        /// The provider's name for the user.
        subject: String,
    },
}

impl User {
    /// A new user, who has to choose a password.
    pub fn new(grants: Vec<Grant>, now_us: i64) -> Self {
        Self {
            signs_in: SignsIn::NotYet,
            grants,
            is_disabled: false,
            added_at_us: now_us,
            sessions_since_us: now_us,
        }
    }

    /// The hash of the password, where there is one.
    pub fn password_hash(&self) -> Option<String> {
        match &self.signs_in {
            SignsIn::Password(hash) => Some(hash.clone()),
            SignsIn::NotYet | SignsIn::OpenIdConnect { .. } => None,
        }
    }

    /// Whether this user is an administrator of every host.
    pub fn is_administrator(&self) -> bool {
        !self.is_disabled && self.grants.iter().any(Grant::administers_all)
    }
}

/// The name of a user: lower-case letters, digits and `.-_`, so that two names that look alike to people or to the broker
/// are one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserName(String);

/// The text is no name of a user.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no name for a user: expected 1 to 64 lower-case letters, digits and .-_, beginning with a letter or digit"
)]
pub struct NotAName(String);

impl UserName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let name = text.trim().to_ascii_lowercase();
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let begins_well = name.bytes().next().is_some_and(is_letter);
        let is_name = name.bytes().all(|byte| is_letter(byte) || b".-_".contains(&byte));
        match begins_well && is_name && name.len() <= MAX_NAME && !RESERVED.contains(&name.as_str()) {
            true => Ok(Self(name)),
            false => Err(NotAName(crate::display::cut(text, MAX_NAME).into_owned())),
        }
    }
}

impl UserName {
    /// Reserved for commands on the server's own machine.
    pub const LOCAL: &str = "local";

    /// The name as people see it from afar: `rn` and `m`, `0` and `o`, `1`, `i` and `l`, `.`, `-` and `_` look alike.
    pub fn looks(&self) -> String {
        let look = |letter: char| match letter {
            '0' => 'o',
            '1' | 'i' => 'l',
            '.' | '_' => '-',
            other => other,
        };
        self.0.replace("rn", "m").replace("vv", "w").chars().map(look).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_mistake_for_each_other_look_the_same() {
        let looks = |name: &str| name.parse::<UserName>().unwrap().looks();
        for (one, other) in [
            ("anna1", "annal"),
            ("b0b", "bob"),
            ("j.doe", "j_doe"),
            ("bemd", "bernd"),
            ("vvim", "wim"),
            ("a1i", "ail"),
        ] {
            assert_eq!(looks(one), looks(other), "{one} {other}");
        }
        for (one, other) in [("anna", "hanna"), ("jdoe", "j.doe"), ("bert2", "bert3")] {
            assert_ne!(looks(one), looks(other), "{one} {other}");
        }
    }

    #[test]
    fn a_name_is_plain_and_does_not_depend_on_case() {
        for (text, expected) in [("anna", "anna"), (" Anna.B-2_x ", "anna.b-2_x"), ("7", "7")] {
            assert_eq!(text.parse::<UserName>().unwrap().as_str(), expected);
        }
        for bad in [
            "",
            ".a",
            "a b",
            "ä",
            "a/b",
            "a@b",
            "local",
            "ingestor",
            "-",
            "--help",
            "nobody in particular",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<UserName>().is_err(), "{bad}");
        }
    }
}
