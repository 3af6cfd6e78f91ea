//! Silences and maintenance windows: what is not sent for a while, by whom and why. What they keep back is counted and
//! listed by its reason; an alert is the same with or without them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    channel::{BadChannel, short},
    matcher::Matcher,
    notification::{Kind, Notification, Subject},
    schedule::Schedule,
};

/// The longest silence: one that was forgotten must not last for ever.
const MAX_SILENCE_US: i64 = 90 * 24 * 3600 * 1_000_000;

/// Something that is not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// What it is about.
    #[serde(default)]
    pub matcher: Matcher,
    /// When.
    pub when: When,
    /// Why.
    pub why: String,
    /// Who made it.
    pub who: String,
    /// The groups whose hosts it can hold for at most, those that its maker may silence; every host where it is absent.
    #[serde(default)]
    pub within: Option<BTreeSet<String>>,
    /// When it was made, in µs since 1970 UTC.
    #[serde(default)]
    pub made_at_us: i64,
}

/// When a silence holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Once, in µs since 1970 UTC, up to and without `until_us`.
    Once {
        /// The beginning.
        from_us: i64,
        /// The end.
        until_us: i64,
    },
    /// A maintenance window that comes again.
    Weekly(Schedule),
}

impl Silence {
    /// Whether it can be kept.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn check(&self) -> Result<(), BadChannel> {
        self.matcher.check()?;
        short("why", &self.why)?;
        short("who", &self.who)?;
        match &self.when {
            When::Once { from_us, until_us } if until_us <= from_us => {
                Err(BadChannel::new("until", "is not after its beginning"))
            }
            When::Once { from_us, until_us } if until_us.saturating_sub(*from_us) > MAX_SILENCE_US => {
                Err(BadChannel::new("until", "is more than 90 days after its beginning"))
            }
            When::Once { .. } => Ok(()),
            // All alerts, every week, for ever: nobody means that.
            When::Weekly(_) if self.matcher.is_everything() => Err(BadChannel::new(
                "matcher",
                "says nothing; a recurring window names hosts, groups, rules or a severity",
            )),
            When::Weekly(schedule) if schedule.is_always() => Err(BadChannel::new(
                "until",
                "is when it begins, so it would never end; give another time, or the days on which it begins",
            )),
            When::Weekly(schedule) => schedule.check(),
        }
    }

    /// Whether it holds at a moment.
    pub fn holds_at(&self, at_us: i64) -> bool {
        match &self.when {
            When::Once { from_us, until_us } => (*from_us..*until_us).contains(&at_us),
            When::Weekly(schedule) => schedule.end_of(at_us).is_some(),
        }
    }

    /// Whether it keeps a notification back. The moment is the alert's and not that of sending, so what is sent late, or
    /// worked out anew, is silenced alike.
    pub fn keeps_back(&self, notification: &Notification) -> bool {
        notification.kind != Kind::Test
            && self.within.as_ref().is_none_or(|within| is_within(within, notification))
            && self.matcher.holds_of(notification)
            // Last: the hours of a time zone take longest to work out.
            && self.holds_at(notification.at_us)
    }
}

/// Whether a notification is about a host in one of these groups. One about many hosts is not: others may be among them.
fn is_within(within: &BTreeSet<String>, notification: &Notification) -> bool {
    let is_of_host = matches!(notification.subject, Subject::Host(_));
    is_of_host && notification.groups.iter().any(|group| within.contains(group))
}

/// The id of the silence that keeps a notification back, the first by id.
pub fn silenced_by<'a>(
    silences: impl IntoIterator<Item = (&'a str, &'a Silence)>,
    notification: &Notification,
) -> Option<&'a str> {
    silences.into_iter().find(|(_, silence)| silence.keeps_back(notification)).map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::examples::{self, AT_US};

    fn once(from_us: i64, until_us: i64, hosts: &[&str]) -> Silence {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Silence {
            matcher: Matcher { hosts, ..Matcher::default() },
            when: When::Once { from_us, until_us },
            why: "disk is exchanged".to_owned(),
            who: "anna".to_owned(),
            within: None,
            made_at_us: 0,
        }
    }

    #[test]
    fn nobody_silences_hosts_beyond_the_groups_that_it_is_within() {
        let within = |groups: &[&str]| Silence {
            within: Some(groups.iter().map(|group| (*group).to_owned()).collect()),
            ..once(AT_US, AT_US + 1, &[])
        };
        let of_many =
            Notification { subject: Subject::Hosts { count: 12, first: Vec::new() }, ..examples::raised() };
        assert!(within(&["web", "db"]).keeps_back(&examples::raised()));
        for (silence, notification) in [
            (within(&["db"]), examples::raised()),
            (within(&[]), examples::raised()),
            (within(&["web"]), Notification { groups: Vec::new(), ..examples::raised() }),
            (within(&["web"]), of_many),
        ] {
            assert!(!silence.keeps_back(&notification), "{silence:?}");
        }
    }

    #[test]
    fn a_silence_holds_from_its_beginning_to_its_end_for_what_it_is_about() {
        let notification = examples::raised();
        for (silence, expected) in [
            (once(AT_US, AT_US + 1, &[]), true),
            (once(AT_US - 9, AT_US, &[]), false),
            (once(AT_US + 1, AT_US + 9, &[]), false),
            (once(AT_US, AT_US + 1, &["web-*"]), true),
            (once(AT_US, AT_US + 1, &["db-*"]), false),
        ] {
            assert_eq!(silence.keeps_back(&notification), expected, "{silence:?}");
        }
        let test = Notification { kind: Kind::Test, ..examples::raised() };
        assert!(!once(AT_US, AT_US + 1, &[]).keeps_back(&test), "somebody waits for it");
    }

    #[test]
    fn the_first_that_holds_is_named() {
        let (late, now) = (once(AT_US + 1, AT_US + 2, &[]), once(AT_US, AT_US + 2, &[]));
        assert_eq!(silenced_by([("a", &late), ("b", &now), ("c", &now)], &examples::raised()), Some("b"));
        assert_eq!(silenced_by([("a", &late)], &examples::raised()), None);
    }

    #[test]
    fn a_maintenance_window_comes_again_and_names_what_it_is_about() {
        let schedule = Schedule {
            zone: "UTC".to_owned(),
            days: vec![super::super::schedule::Day::Saturday],
            from: "13:00".to_owned(),
            until: "15:00".to_owned(),
        };
        let mut window = Silence { when: When::Weekly(schedule), ..once(0, 1, &["web-*"]) };
        assert_eq!(window.check(), Ok(()));
        let week_us = 7 * 24 * 3600 * 1_000_000;
        assert!(
            window.holds_at(AT_US)
                && window.holds_at(AT_US + week_us)
                && !window.holds_at(AT_US + week_us / 7)
        );
        window.matcher = Matcher::default();
        assert_eq!(window.check().map_err(|bad| bad.field), Err("matcher"));
    }

    #[test]
    fn a_silence_says_who_and_why_and_ends() {
        let check = |change: fn(&mut Silence)| {
            let mut silence = once(0, 1, &[]);
            change(&mut silence);
            silence.check().map_err(|bad| bad.field)
        };
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(check(|silence| silence.why.clear()), Err("why"));
        assert_eq!(check(|silence| silence.who.clear()), Err("who"));
        assert_eq!(check(|silence| silence.when = When::Once { from_us: 1, until_us: 1 }), Err("until"));
        assert_eq!(
            check(|silence| silence.when = When::Once { from_us: 0, until_us: i64::MAX }),
            Err("until")
        );
    }
}
