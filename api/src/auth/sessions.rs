//! Sessions: kept by the broker, so that they outlive this process and can be ended at once. The browser has the secret,
//! the broker its hash.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{SignInSettings, User};

/// The bucket of sessions; a key is the hash of a session's secret.
pub(super) const BUCKET: &str = "sessions";
/// Sessions that one user can have; the one that was used the longest ago gives way.
pub(super) const MAX_PER_USER: usize = 20;
/// For this long after the password was given, dangerous actions do not ask for it again.
const CONFIRMED_FOR: Duration = Duration::from_secs(15 * 60);
/// The same for commands to hosts, which end processes: as long as it takes to look at what one of them did and to send the
/// next.
const CONFIRMED_FOR_COMMANDS: Duration = Duration::from_secs(5 * 60);
/// Using a session is noted at most this often, because each note is a message to the broker.
pub(super) const NOTED_EVERY: Duration = Duration::from_secs(60);
/// The most that is kept of what a browser says it is.
const MAX_BROWSER: usize = 200;

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The user.
    pub user: String,
    /// The sign-in, in µs since 1970 UTC.
    pub began_at_us: i64,
    /// When something was asked last, to a minute, in µs since 1970 UTC.
    pub used_at_us: i64,
    /// When the password was given last, in µs since 1970 UTC.
    pub confirmed_at_us: i64,
    /// The address of the sign-in.
    pub from: String,
    /// The browser, as it names itself.
    pub browser: String,
}

impl Session {
    /// One that begins now.
    pub fn new(user: &str, from: String, browser: &str, now_us: i64) -> Self {
        Self {
            user: user.to_owned(),
            began_at_us: now_us,
            used_at_us: now_us,
            confirmed_at_us: now_us,
            from,
            browser: crate::display::cut(browser, MAX_BROWSER).into_owned(),
        }
    }

    /// Whether it has not ended by itself. One that began ahead (`not_before`) of the clock ends when it is idle.
    pub fn is_within_limits(&self, settings: &SignInSettings, now_us: i64) -> bool {
        let is_young =
            self.began_at_us > now_us || is_within(self.began_at_us, settings.absolute_limit, now_us);
        is_young && is_within(self.used_at_us, settings.idle_limit, now_us)
    }

    /// Whether it is valid for `user` as the record is now.
    pub fn is_of(&self, user: &User) -> bool {
        !user.is_disabled && self.began_at_us >= user.sessions_since_us
    }

    /// Whether the password was given a short while ago.
    pub fn is_confirmed(&self, now_us: i64) -> bool {
        is_within(self.confirmed_at_us, CONFIRMED_FOR, now_us)
    }

    /// The same for commands to hosts.
    pub fn is_confirmed_for_commands(&self, now_us: i64) -> bool {
        is_within(self.confirmed_at_us, CONFIRMED_FOR_COMMANDS, now_us)
    }

    /// Adapts the session to a user whose sessions are valid from a time in the future, because the clock was set back:
    /// otherwise the user could not sign in until then.
    pub(super) fn not_before(self, since_us: i64) -> Self {
        Self { began_at_us: self.began_at_us.max(since_us), ..self }
    }
}

/// How far a moment may lie ahead of the clock, which may have been set back: what began while it was further ahead would
/// last for as long as that was.
const MAX_AHEAD: Duration = Duration::from_secs(24 * 3600);

/// Whether less than `limit` has passed since a moment, which is not far ahead.
pub(super) fn is_within(since_us: i64, limit: Duration, now_us: i64) -> bool {
    let passed_us = u128::from(now_us.abs_diff(since_us));
    let bound = if since_us > now_us { MAX_AHEAD } else { limit };
    passed_us < bound.as_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    #[test]
    fn a_session_ends_when_it_is_idle_and_when_it_is_old() {
        let settings = SignInSettings::default();
        let mut session = Session::new("anna", "::1".to_owned(), "", 0);
        assert!(session.is_within_limits(&settings, 29 * MINUTE_US));
        assert!(!session.is_within_limits(&settings, 30 * MINUTE_US));
        session.used_at_us = 719 * MINUTE_US;
        assert!(session.is_within_limits(&settings, 719 * MINUTE_US));
        assert!(!session.is_within_limits(&settings, 720 * MINUTE_US));
        assert!(session.is_confirmed(14 * MINUTE_US) && !session.is_confirmed(15 * MINUTE_US));
    }

    #[test]
    fn a_clock_that_is_set_makes_no_session_last_and_keeps_nobody_out() {
        let (settings, day_us) = (SignInSettings::default(), 24 * 60 * MINUTE_US);
        let session = Session::new("anna", "::1".to_owned(), "", 3 * day_us);
        assert!(!session.is_within_limits(&settings, 0), "it began while the clock was days ahead");
        let minute_back = 3 * day_us - MINUTE_US;
        assert!(session.is_within_limits(&settings, minute_back));
        let mut user = User::new(Vec::new(), 0);
        user.sessions_since_us = 9 * day_us;
        assert!(!session.is_of(&user));
        let session = Session::new("anna", "::1".to_owned(), "", 0).not_before(user.sessions_since_us);
        assert!(session.is_of(&user) && session.is_within_limits(&settings, MINUTE_US));
        assert!(!session.is_within_limits(&settings, 30 * MINUTE_US), "it ends when it is idle");
    }

    #[test]
    fn a_session_is_over_for_a_user_who_is_disabled_or_has_a_new_password() {
        let mut user = User::new(Vec::new(), 0);
        let session = Session::new("anna", "::1".to_owned(), "", 5);
        assert!(session.is_of(&user));
        user.sessions_since_us = 6;
        assert!(!session.is_of(&user));
        user.sessions_since_us = 0;
        user.is_disabled = true;
        assert!(!session.is_of(&user));
    }
}
