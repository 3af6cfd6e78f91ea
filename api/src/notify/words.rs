//! The words that several channels share.

use super::notification::{Culprit, Notification, Subject};
use crate::display;

/// The alert's facts, each with its name; those that are unknown are left out.
pub(super) fn facts(notification: &Notification) -> Vec<(&'static str, String)> {
    let facts = &notification.facts;
    let mut named = Vec::new();
    let mut tell = |name, text: String| {
        if !text.is_empty() {
            named.push((name, text));
        }
    };
    if let Subject::Host(host) = &notification.subject {
        tell("Host", host.clone());
    }
    let measured = match (facts.measure.as_str(), facts.value.text.as_str()) {
        ("", value) => value.to_owned(),
        (measure, "") => measure.to_owned(),
        (measure, value) => format!("{measure} {value}"),
    };
    tell("Measured", measured);
    tell("Threshold", facts.threshold.text.clone());
    tell("Since", facts.since_us.map(display::time).unwrap_or_default());
    tell("Rule", notification.rule.clone());
    named
}

/// A process in one line, as in "java (4711, app) 11.2 GiB, +3.1 GiB since 14:00".
pub(super) fn culprit_line(culprit: &Culprit) -> String {
    let change = match culprit.change.as_str() {
        "" => String::new(),
        change => format!(", {change}"),
    };
    let user = if culprit.user.is_empty() { String::new() } else { format!(", {}", culprit.user) };
    format!("{} ({}{user}) {}{change}", culprit.name, culprit.pid, culprit.value)
}

/// A moment as people read it.
pub(super) fn moment(at_us: i64) -> String {
    display::time(at_us)
}
