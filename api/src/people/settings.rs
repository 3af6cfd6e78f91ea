//! What can be set about who may look.

use std::time::Duration;

use fleetps_nats::{
    bounds::{self, OutOfRange},
    units,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Whether people have to sign in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// They do.
    #[default]
    On,
    /// Anybody who reaches the server may do everything; only on a loopback address.
    Off,
}

/// What can be set about signing in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignInSettings {
    /// A session ends when nothing was asked in it for this long; a page that is merely kept up to date asks nothing.
    #[serde(with = "units::duration")]
    pub idle_limit: Duration,
    /// A session ends this long after the sign-in, whatever is done in it.
    #[serde(with = "units::duration")]
    pub absolute_limit: Duration,
    /// The proxies before this server, as addresses with a prefix length; only what comes from them is believed where
    /// it says in `X-Forwarded-For` and `X-Forwarded-Proto` who asks, and how.
    pub trusted_proxies: Vec<IpNet>,
    /// Only from here may be asked at all; from everywhere where it is empty.
    pub allowed_from: Vec<IpNet>,
}

/// Networks in a list, at most: each request is compared with all of them.
const MAX_NETWORKS: usize = 1000;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl SignInSettings {
    /// Whether every value can be used.
    ///
    /// # Errors
    /// Names the first setting that is outside of its range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let Self { idle_limit, absolute_limit, trusted_proxies, allowed_from } = self;
        let lasts = "less signs people out while they read, and more is as good as no end";
        bounds::duration("idle_limit", *idle_limit, MINUTE..=30 * DAY, lasts)?;
        bounds::duration("absolute_limit", *absolute_limit, MINUTE..=365 * DAY, lasts)?;
        let list = "each request is compared with all of them; this is the number of networks in the list";
        bounds::number("trusted_proxies", trusted_proxies.len(), 0..=MAX_NETWORKS, list)?;
        bounds::number("allowed_from", allowed_from.len(), 0..=MAX_NETWORKS, list)
    }
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            // The shortest and longest that OWASP names for what is worth protecting and looked at all day.
            idle_limit: Duration::from_secs(30 * 60),
            absolute_limit: Duration::from_secs(12 * 3600),
            trusted_proxies: Vec::new(),
            allowed_from: Vec::new(),
        }
    }
}
