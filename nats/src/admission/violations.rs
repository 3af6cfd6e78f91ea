//! Subjects that the broker refused to hosts: it only writes them into its log, so that is read, and they are counted by
//! host.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::HostName;

/// One word about each host in this time; it says how many there were.
const SPEAK_EVERY: Duration = Duration::from_secs(60);
/// The longest part of a subject that is reported.
const MAX_SUBJECT_CHARACTERS: usize = 200;

/// A subject that the broker refused to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    /// The host, as the broker let it in.
    pub(super) host: HostName,
    /// What was refused: a publication or a subscription.
    pub(super) reason: &'static str,
    /// The subject, escaped as in the log.
    pub(super) subject: String,
}

/// The report about one host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// The latest.
    pub(super) latest: Violation,
    /// How many there were since this was said last.
    pub(super) times: u64,
}

/// Counts by host, and says when it is time to speak of them.
#[derive(Debug, Default)]
pub(super) struct Violations {
    unspoken: BTreeMap<HostName, Counted>,
    spoken_at: BTreeMap<HostName, Instant>,
}

impl Violation {
    /// Reads a line of the broker's log, such as
    /// `[7] 2026/11/21 21:26:43.893695 [ERR] 127.0.0.1:4520 - cid:5 - "v1:rust:x" - "AGENTS/user:web-01" - Publish Violation - Subject "x"`;
    /// `None` for any other. What clients say of themselves is quoted there, so none can write a line like it.
    pub(super) fn read(line: &str) -> Option<Self> {
        let mut words = line.splitn(5, ' ');
        let level = words.nth(3).filter(|level| *level == "[ERR]");
        let (_, rest) = level.and(words.next())?.split_once(" - cid:")?;
        let (_, mut rest) = rest.split_once(" - ")?;
        let mut who = "";
        while let Some((text, after)) = quoted(rest) {
            (who, rest) = (text, after.strip_prefix(" - ")?);
        }
        let (what, rest) = rest.split_once(" - Subject ")?;
        let reason = match what {
            "Publish Violation" => "foreign-publish",
            "Subscription Violation" => "foreign-subscription",
            _ => return None,
        };
        let host = who.strip_prefix("AGENTS/user:")?.parse().ok()?;
        let subject = quoted(rest)?.0.chars().take(MAX_SUBJECT_CHARACTERS).collect();
        Some(Self { host, reason, subject })
    }
}

/// The first quoted text, unescaped, and the rest of the line.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inside.find(|letter| {
        let ends = letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        ends
    })?;
    Some((inside.get(..end)?, inside.get(end + 1..)?))
}

impl Violations {
    /// Counts one.
    pub(super) fn count(&mut self, violation: Violation) {
        let before = self.unspoken.get(&violation.host).map_or(0, |counted| counted.times);
        self.unspoken.insert(violation.host.clone(), Counted { latest: violation, times: before + 1 });
    }

    /// The reports that are due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Counted> {
        self.spoken_at.retain(|_, at| now.duration_since(*at) < SPEAK_EVERY);
        let due = self.unspoken.extract_if(.., |host, _| !self.spoken_at.contains_key(host));
        let due: Vec<_> = due.map(|(_, counted)| counted).collect();
        self.spoken_at.extend(due.iter().map(|counted| (counted.latest.host.clone(), now)));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = r#"[7] 2026/11/21 21:26:43.893695 [ERR] 127.0.0.1:45206 - cid:5 - "v1\n2:ru\"st:x - \n" - "AGENTS/user:web-01" - "#;

    #[test]
    fn a_refused_subject_is_read_from_the_log_as_it_is_written() {
        let read = |rest: &str| Violation::read(&format!("{CLIENT}{rest}"));
        let violation = |reason, subject: &str| {
            Some(Violation { host: "web-01".parse().unwrap(), reason, subject: subject.to_owned() })
        };
        assert_eq!(read(r#"Publish Violation - Subject "a.b""#), violation("foreign-publish", "a.b"));
        let hostile = r#"ev\"i\x1b[31m\\"#;
        assert_eq!(
            read(&format!(r#"Publish Violation - Subject "{hostile}""#)),
            violation("foreign-publish", hostile)
        );
        let subscription = r#"Subscription Violation - Subject "a.>", Queue: "g", SID si"d"#;
        assert_eq!(read(subscription), violation("foreign-subscription", "a.>"));
        let long = format!(r#"Publish Violation - Subject "{}""#, "ü".repeat(5000));
        assert_eq!(read(&long).unwrap().subject.chars().count(), MAX_SUBJECT_CHARACTERS);
    }

    #[test]
    fn whatever_else_a_log_has_is_no_refused_subject() {
        let publish = r#"Publish Violation - Subject "a""#;
        for line in [
            "",
            "[7] 2026/11/21 21:26:43.893695 [INF] Server is ready",
            CLIENT,
            &format!("{CLIENT}Publish Violation - Subject \"a"),
            &format!("{CLIENT}{publish}").replace("[ERR]", "[INF]"),
            &format!("{CLIENT}{publish}").replace("AGENTS", "FLEET"),
            &format!("{CLIENT}{publish}").replace("web-01", "a host"),
            &format!("{CLIENT}{publish}").replace("Publish", "Other"),
            &format!(r#"[7] a b [INF] said [ERR] x - cid:5 - "AGENTS/user:web-02" - {publish}"#),
            &format!(r#"[7] a b [ERR] x - cid:5 - "v: - \"AGENTS/user:web-02\" - {publish}" - other"#),
        ] {
            assert_eq!(Violation::read(line), None, "{line}");
        }
    }

    #[test]
    fn each_host_is_spoken_of_once_a_minute_and_none_is_forgotten() {
        let mut violations = Violations::default();
        let count = |violations: &mut Violations, host: &str, times: u64| {
            let violation =
                Violation { host: host.parse().unwrap(), reason: "foreign-publish", subject: String::new() };
            (0..times).for_each(|_| violations.count(violation.clone()));
        };
        let start = Instant::now();
        let times = |violations: &mut Violations, second| -> Vec<(String, u64)> {
            let due = violations.due(start + Duration::from_secs(second)).into_iter();
            due.map(|counted| (counted.latest.host.to_string(), counted.times)).collect()
        };
        count(&mut violations, "a", 3);
        assert_eq!(times(&mut violations, 0), [("a".to_owned(), 3)]);
        count(&mut violations, "a", 2);
        count(&mut violations, "b", 1);
        assert_eq!(times(&mut violations, 30), [("b".to_owned(), 1)]);
        assert_eq!(times(&mut violations, 60), [("a".to_owned(), 2)]);
        assert_eq!(times(&mut violations, 200), []);
    }
}
