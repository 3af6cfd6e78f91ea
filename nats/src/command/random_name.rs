//! Names that nobody chooses: 128 random bits, written as 26 lower-case letters and digits.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

/// As many that no two of them are ever the same.
const RANDOM_BYTES: usize = 16;
/// Their length in base 32, without padding.
const CHARACTERS: usize = 26;

/// The text is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {CHARACTERS} characters of a-z and 2-7, as fleetps makes them")]
pub struct NotARandomName;

macro_rules! random_name {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new one.
            ///
            /// # Errors
            /// When the system has no random numbers.
            pub fn new() -> Result<Self, getrandom::Error> {
                random_text().map(Self)
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotARandomName;

            fn from_str(text: &str) -> Result<Self, NotARandomName> {
                is_random_text(text).then(|| Self(text.to_owned())).ok_or(NotARandomName)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotARandomName;

            fn try_from(text: String) -> Result<Self, NotARandomName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

random_name! {
    /// The name of a command, which the server makes.
    CommandId
}

random_name! {
    /// What one run of a host's control helper gives out for one command. It is no secret: without the control key nobody can
    /// sign a command for it.
    Ticket
}

fn random_text() -> Result<String, getrandom::Error> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

fn is_random_text(text: &str) -> bool {
    text.len() == CHARACTERS && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
}
