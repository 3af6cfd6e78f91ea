//! Notifications, to receivers that are real and unreliable: SMTP by Python's aiosmtpd, HTTP by axum, programs by the shell.

mod command;
mod mail;
mod outbox;
pub mod receiver;
mod webhook;

use std::time::Duration;

use fleetps::testing::notify::{
    Allowed, Channel, Culprit, Facts, Kind, Notification, Sender, Severity, Subject, check,
};

/// The time limit of an attempt: short, for receivers that hang.
const LIMIT: Duration = Duration::from_secs(3);

/// A sender that may reach this machine.
pub fn sender() -> Sender {
    let networks = vec!["127.0.0.0/8".parse().unwrap()];
    Sender::new(Allowed { networks, programs: Vec::new() }).with_limit(LIMIT, "http://127.0.0.1:9/")
}

fn channel(means: serde_json::Value) -> Channel {
    let channel = serde_json::json!({ "name": "test", "means": means });
    let channel: Channel = serde_json::from_value(channel).unwrap();
    check(&channel).unwrap();
    channel
}

/// A notification that opens a thread, with these words in its texts.
pub fn notification(id: &str, words: &str) -> Notification {
    let culprit = Culprit { name: words.to_owned(), user: words.to_owned(), pid: 7, ..Culprit::default() };
    Notification {
        id: id.to_owned(),
        kind: Kind::Raised,
        severity: Severity::Critical,
        thread: id.to_owned(),
        rule: "memory".to_owned(),
        subject: Subject::Host("web-1".to_owned()),
        groups: Vec::new(),
        at_us: 1_795_874_400_000_000,
        title: words.to_owned(),
        facts: Facts::default(),
        also: Vec::new(),
        also_count: 0,
        culprits: vec![culprit],
        link: "https://ps.example.com/hosts/web-1".to_owned(),
        acknowledge: String::new(),
        silence: String::new(),
        chart: None,
    }
}

/// What follows in the thread of `id`.
fn resolved(id: &str) -> Notification {
    let opening = notification(id, "it is over");
    Notification { id: format!("{id}-resolved"), kind: Kind::Resolved, ..opening }
}
