//! API tokens, for programs: what a token may do is within what its owner may, at any time. The program has the secret,
//! the broker its hash.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Grant, Secret};

/// The bucket of tokens; a key is the hash of a token's secret.
pub(crate) const BUCKET: &str = "api_tokens";
/// Tokens that one user can have.
pub(crate) const MAX_PER_USER: usize = 50;
/// The longest name of a token, in characters.
pub(crate) const MAX_NAME: usize = 60;
/// The prefix of a token, by which people and secret scanners recognise one.
const PREFIX: &str = "fleetps_";

/// An API token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// The owner's name for it.
    pub name: String,
    /// The owner.
    pub user: String,
    /// Within what it holds.
    pub scope: Grant,
    /// Whether it may command hosts. Tokens from before there were commands may not.
    #[serde(default)]
    pub may_command: bool,
    /// When it was made, in µs since 1970 UTC.
    pub made_at_us: i64,
    /// When it ends, in µs since 1970 UTC.
    pub expires_at_us: i64,
    /// When it was used last, to a minute, in µs since 1970 UTC.
    pub used_at_us: Option<i64>,
}

/// What a token may do, within what its owner may. As text: `operator:web command`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenScope {
    /// The role, and the hosts it is for.
    pub grant: Grant,
    /// Whether it may command hosts, for which the role must be enough too.
    pub may_command: bool,
}

impl From<Grant> for TokenScope {
    fn from(grant: Grant) -> Self {
        Self { grant, may_command: false }
    }
}

impl fmt::Display for TokenScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.grant.fmt(formatter)?;
        if self.may_command { formatter.write_str(" command") } else { Ok(()) }
    }
}

/// A token as a program has it.
pub fn text(secret: &Secret) -> String {
    format!("{PREFIX}{}", secret.text())
}

/// The secret in a token that [`text`] wrote.
pub(crate) fn read(text: &str) -> Option<Secret> {
    Secret::read(text.strip_prefix(PREFIX)?)
}

/// The same, for a command line.
///
/// # Errors
/// What was expected.
pub(crate) fn parse(text: &str) -> Result<Secret, &'static str> {
    read(text).ok_or("this is no API token: expected fleetps_ and 43 characters, as /account shows a new one")
}

impl ApiToken {
    /// What it may do.
    pub fn scope(&self) -> TokenScope {
        TokenScope { grant: self.scope.clone(), may_command: self.may_command }
    }

    /// Whether its time is over.
    pub fn has_ended(&self, now_us: i64) -> bool {
        now_us >= self.expires_at_us
    }
}
