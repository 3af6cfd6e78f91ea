//! Browsers that a user has signed in with before ("device cookies", as OWASP calls them). Attempts from such a browser
//! are counted apart, so failed sign-ins elsewhere never lock out its owner. It replaces no password: that is asked for
//! as always.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sessions::is_within;

/// The bucket of browsers; a key is the hash of the secret in a browser's cookie.
pub(super) const BUCKET: &str = "known_browsers";
/// Browsers that are known of one user; the one that signed in the longest ago gives way.
pub(super) const MAX_PER_USER: usize = 20;
/// A browser is known for so long after the last sign-in: half a year, after which its owner can wait a minute.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(180 * 24 * 3600);

/// A browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Browser {
    /// Who signed in with it.
    pub user: String,
    /// When last, in µs since 1970 UTC.
    pub used_at_us: i64,
}

impl Browser {
    pub(super) fn is_known(&self, now_us: i64) -> bool {
        is_within(self.used_at_us, KNOWN_FOR, now_us)
    }
}
