//! Browsers that somebody has signed in with before ("device cookies", as OWASP calls them). Tries from such a browser are
//! counted apart, so that whoever tries an account all the time does not keep its owner out. It opens nothing: the password
//! is asked for as always.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use fleetps_nats::now_us;

use super::{Accounts, Secret, UserName, Visit, error::PeopleError, sessions::is_within};

/// The bucket of browsers; a key is the hash of the secret in a browser's cookie.
pub(super) const BUCKET: &str = "known_browsers";
/// Browsers that are known of one user; the one that signed in the longest ago gives way.
const MAX_PER_USER: usize = 20;
/// A browser is known for so long after the last sign-in: half a year, after which its owner can wait a minute.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(180 * 24 * 3600);

/// A browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Browser {
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

impl Accounts {
    /// The key of the browser of a visit, where the user of this name has signed in with it.
    pub(super) fn known_browser(&self, name: &str, visit: &Visit) -> Option<String> {
        let key = visit.known_as.as_ref()?.key();
        let browser = self.browsers.get(&key)?;
        (browser.user == name && browser.is_known(now_us())).then_some(key)
    }

    /// Knows the browser of a visit from now on; returns the secret for its cookie.
    pub(super) async fn know_browser(&self, name: &UserName, visit: &Visit) -> Result<Secret, PeopleError> {
        let now_us = now_us();
        if let (Some(key), Some(secret)) = (self.known_browser(name.as_str(), visit), &visit.known_as) {
            let note = |browser: &mut Browser| {
                browser.used_at_us = now_us;
                true
            };
            self.browsers.change(&key, note).await?;
            return Ok(secret.clone());
        }
        let mut own = self.browsers.all();
        own.retain(|(_, browser)| browser.user == name.as_str());
        own.sort_by_key(|(_, browser)| std::cmp::Reverse(browser.used_at_us));
        for (key, _) in own.iter().skip(MAX_PER_USER - 1) {
            self.browsers.remove(key).await?;
        }
        let secret = Secret::new()?;
        let browser = Browser { user: name.as_str().to_owned(), used_at_us: now_us };
        self.browsers.add(&secret.key(), &browser).await?;
        Ok(secret)
    }

    /// Knows no browser of a user any more.
    pub(super) async fn forget_browsers(&self, name: &UserName) -> Result<(), PeopleError> {
        for (key, browser) in self.browsers.all() {
            if browser.user == name.as_str() {
                self.browsers.remove(&key).await?;
            }
        }
        Ok(())
    }
}
