//! Which notifications a route, a silence or a maintenance window is about.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    channel::BadChannel,
    notification::{Notification, Severity, Subject},
};

/// Names in one list of a matcher.
const MAX_LISTED: usize = 100;
/// The longest name: a host's has 253 characters.
const MAX_NAME: usize = 260;

/// What must hold of a notification; an empty list holds of all. In names, `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Matcher {
    /// At least this severity.
    pub severity: Option<Severity>,
    /// Groups that the host is in one of.
    pub groups: Vec<String>,
    /// Ids of rules.
    pub rules: Vec<String>,
    /// Names of hosts.
    pub hosts: Vec<String>,
}

impl Matcher {
    /// Whether it can be kept.
    ///
    /// # Errors
    /// Names the list that is too long, or has a name that is.
    pub fn check(&self) -> Result<(), BadChannel> {
        for (field, names) in [("groups", &self.groups), ("rules", &self.rules), ("hosts", &self.hosts)] {
            if names.len() > MAX_LISTED {
                return Err(BadChannel::new(field, format!("expected at most {MAX_LISTED} names")));
            }
            if names.iter().any(|name| name.is_empty() || name.len() > MAX_NAME) {
                return Err(BadChannel::new(field, format!("expected names of 1 to {MAX_NAME} bytes")));
            }
        }
        Ok(())
    }

    /// Whether it holds of everything.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it holds of a notification.
    pub fn holds_of(&self, notification: &Notification) -> bool {
        let any = |names: &[String], of: &str| names.is_empty() || names.iter().any(|name| is_like(of, name));
        let of_host = |names: &[String]| match &notification.subject {
            Subject::Host(host) => any(names, host),
            Subject::Hosts { .. } | Subject::Fleet => names.is_empty(),
        };
        let in_group = || notification.groups.iter().any(|group| any(&self.groups, group));
        self.severity.is_none_or(|least| notification.severity >= least)
            && any(&self.rules, &notification.rule)
            && of_host(&self.hosts)
            && (self.groups.is_empty() || in_group())
    }
}

/// Whether `text` is like `pattern`, where `*` stands for any characters. The time is that of their lengths' product.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (mut at, mut next) = (0, 0);
    // Where the last star is, and how much of the text it stands for.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(next) {
            Some(b'*') => {
                star = Some((next, at));
                next += 1;
            }
            Some(letter) if *letter == text[at] => (at, next) = (at + 1, next + 1),
            _ => match star {
                Some((place, covered)) => {
                    star = Some((place, covered + 1));
                    (at, next) = (covered + 1, place + 1);
                }
                None => return false,
            },
        }
    }
    pattern[next..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::examples;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (text, pattern, expected) in [
            ("web-01", "web-01", true),
            ("web-01", "web-*", true),
            ("web-01", "*-01", true),
            ("web-01", "*", true),
            ("", "*", true),
            ("", "", true),
            ("web-01", "", false),
            ("web-01", "web", false),
            ("web-01", "*b*0*", true),
            ("web-01", "db-*", false),
            ("a*b", "a*b", true),
            ("aXbXc", "a*b*c", true),
            ("aaaaab", "*ab", true),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
        }
        let (text, pattern) = ("a".repeat(260), "*a".repeat(130) + "b");
        assert!(!is_like(&text, &pattern));
    }

    #[test]
    fn everything_that_is_said_must_hold() {
        let notification = examples::raised();
        let of = |text: &str| serde_json::from_str::<Matcher>(text).unwrap().holds_of(&notification);
        for (text, expected) in [
            ("{}", true),
            (r#"{"severity":"critical"}"#, true),
            (r#"{"severity":"warning","groups":["web"],"rules":["memory-*"],"hosts":["web-*"]}"#, true),
            (r#"{"groups":["db","web"]}"#, true),
            (r#"{"groups":["db"]}"#, false),
            (r#"{"rules":["disk"]}"#, false),
            (r#"{"hosts":["db-*"]}"#, false),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        assert!(
            serde_json::from_str::<Matcher>(r#"{"host":["x"]}"#).is_err(),
            "a slip must not silence everything"
        );
    }
}
