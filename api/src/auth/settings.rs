//! The settings of sign-in.

use std::time::Duration;

use fleetps_nats::{bounds, units};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Whether people have to sign in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Auth {
    /// They do.
    #[default]
    On,
    /// Everybody who reaches the server may do everything; only on a loopback address.
    Off,
}

/// Networks in a list, at most: each request is compared with all of them.
const MAX_NETWORKS: usize = 1000;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const LASTS: &str = "less signs people out while they read, and more is as good as no end";
const LENGTH: &str = "each request is compared with all of them";

fleetps_nats::settings! {
    /// How people sign in, and from where.
    #[derive(Eq)]
    pub struct SignInSettings in "sign_in" {
        /// Idle timeout of a session: it ends when nothing was asked in it for this long. A page that is merely kept up to date asks
        /// nothing.
        #[serde(with = "units::duration")]
        // The shortest that OWASP names for sensitive pages that are open all day.
        pub idle_limit: Duration = 30 * MINUTE, in bounds::duration(MINUTE..=30 * DAY, LASTS);
        /// Absolute timeout of a session: it ends this long after the sign-in, even while it is used.
        #[serde(with = "units::duration")]
        // The longest that OWASP names for that.
        pub absolute_limit: Duration = 720 * MINUTE, in bounds::duration(MINUTE..=365 * DAY, LASTS);
        /// Proxies before this server, as addresses with a prefix length. Only their `X-Forwarded-For` and
        /// `X-Forwarded-Proto` are believed.
        pub trusted_proxies: Vec<IpNet> = Vec::new(), in bounds::length(0..=MAX_NETWORKS, LENGTH);
        /// Networks from which requests are answered; all where it is empty.
        pub allowed_from: Vec<IpNet> = Vec::new(), in bounds::length(0..=MAX_NETWORKS, LENGTH);
    }
}
