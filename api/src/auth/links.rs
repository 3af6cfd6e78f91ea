//! One-time links: the first one, which makes an administrator, and links by which a user chooses a password.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The bucket of links; a key is the hash of a link's secret.
pub(super) const BUCKET: &str = "sign_in_links";
/// How long a first link holds: it stands on a terminal, or in a log.
pub(super) const FIRST_FOR: Duration = Duration::from_secs(3600);
/// How long a user's link is valid: it is sent to a person, who may be asleep.
pub(super) const USERS_FOR: Duration = Duration::from_secs(24 * 3600);

/// A link that works once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The user who chooses a password with it; `None` for a first administrator, who chooses a name as well.
    pub user: Option<String>,
    /// When it ends, in µs since 1970 UTC.
    pub expires_at_us: i64,
    /// Whether it was used.
    #[serde(default)]
    pub is_used: bool,
}

impl Link {
    /// Whether it works now.
    pub fn works(&self, now_us: i64) -> bool {
        !self.is_used && now_us < self.expires_at_us
    }
}
