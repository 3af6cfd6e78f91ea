//! Notifications for tests.

use super::{Chart, Culprit, Facts, Figure, Kind, Notification, Point, Severity, Subject};

/// 2026-11-28 14:00:00 UTC.
pub(crate) const AT_US: i64 = 1_795_874_400_000_000;
const MINUTE_US: i64 = 60_000_000;

/// An alert about memory, with everything that a message can hold.
pub(crate) fn raised() -> Notification {
    let culprit = |name: &str, pid, user: &str, value: &str, change: &str| Culprit {
        name: name.to_owned(),
        pid,
        user: user.to_owned(),
        value: value.to_owned(),
        change: change.to_owned(),
    };
    let figure = |number, text: &str| Figure { number: Some(number), text: text.to_owned() };
    let value = |minute: i64| match minute {
        20..24 => None,
        _ => Some(
            52.0 + f64::from(u32::try_from(minute).unwrap()) * 0.75
                + f64::from(u32::try_from(minute % 5).unwrap()),
        ),
    };
    Notification {
        id: "0f3a9c-raised".to_owned(),
        kind: Kind::Raised,
        severity: Severity::Critical,
        thread: "0f3a9c-raised".to_owned(),
        rule: "memory-nearly-gone".to_owned(),
        subject: Subject::Host("web-01.example.com".to_owned()),
        groups: vec!["web".to_owned()],
        at_us: AT_US,
        title: "97 % of memory is in use".to_owned(),
        facts: Facts {
            measure: "memory".to_owned(),
            value: figure(97.0, "97 %"),
            threshold: figure(95.0, "95 %"),
            since_us: Some(AT_US - 5 * MINUTE_US),
            runbook: "https://wiki.example.com/memory".to_owned(),
        },
        also: vec!["Load is above 12".to_owned()],
        also_count: 1,
        culprits: vec![
            culprit("java", 4_711, "app", "11.2 GiB", "+3.1 GiB since 14:00"),
            culprit("postgres", 812, "postgres", "2.4 GiB", "as yesterday"),
            culprit("node", 20_114, "app", "1.1 GiB", "new since 13:52"),
            culprit("chrome", 3_301, "anna", "812 MiB", "+40 MiB"),
            culprit("rsyslogd", 655, "root", "96 MiB", ""),
        ],
        link: "https://ps.example.com/hosts/web-01.example.com?at=2026-11-28T14:00:00Z".to_owned(),
        acknowledge: "https://ps.example.com/alerts/acknowledge?alert=0f3a9c".to_owned(),
        silence: "https://ps.example.com/alerts/silences/new?host=web-01.example.com".to_owned(),
        chart: Some(Chart {
            points: (0..60)
                .map(|minute| Point { at_us: AT_US + (minute - 60) * MINUTE_US, value: value(minute) })
                .collect(),
            threshold: Some(95.0),
        }),
    }
}

/// The same alert is over.
pub(crate) fn resolved() -> Notification {
    let mut notification = raised();
    notification.id = "0f3a9c-resolved".to_owned();
    notification.kind = Kind::Resolved;
    notification.title = "71 % of memory is in use again".to_owned();
    notification.at_us += 20 * MINUTE_US;
    notification.acknowledge.clear();
    notification.silence.clear();
    notification
}

/// The same with these words in every text that comes from a host or a rule.
pub(crate) fn saying(words: &str) -> Notification {
    let mut notification = raised();
    let facts = &mut notification.facts;
    for text in [
        &mut notification.title,
        &mut notification.rule,
        &mut notification.id,
        &mut notification.thread,
        &mut notification.link,
        &mut notification.acknowledge,
        &mut notification.silence,
        &mut facts.measure,
        &mut facts.value.text,
        &mut facts.threshold.text,
        &mut facts.runbook,
    ] {
        words.clone_into(text);
    }
    notification.subject = Subject::Host(words.to_owned());
    notification.also = vec![words.to_owned(); 3];
    for culprit in &mut notification.culprits {
        for text in [&mut culprit.name, &mut culprit.user, &mut culprit.value, &mut culprit.change] {
            words.clone_into(text);
        }
    }
    notification
}

/// Words that try to break out of mail headers, HTML, Slack's markup, JSON and lines of text.
pub(crate) const HOSTILE: [&str; 12] = [
    "x\r\nBcc: everybody@example.com\r\n\r\n<b>hi</b>",
    "x\nContent-Type: text/html",
    "\r\n.\r\nMAIL FROM:<a@b>",
    "</td></table><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "<!channel> <!here> <@U123> <https://evil.example|click>",
    "&lt;!channel&gt; &amp; *bold* _it_ `code`",
    "\",\"admin\":true,\"x\":\"",
    "=?utf-8?q?=0D=0ABcc:_x@example.com?=",
    "\u{202e}gnp.exe\u{200b}\u{2028}next\u{0}\u{1b}[31m",
    "--boundary--\r\n--x\r\n",
    "{{ 7*7 }} ${7*7} {% raw %}",
];
