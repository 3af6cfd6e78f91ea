//! Transitions for tests.

use fleetps_ingestor::{
    alerts::{Alert, AlertChange, Change, Culprit, Key, Severity, Transition},
    events::EventPlace,
};

/// 2026-11-28 14:00:00 UTC.
pub(crate) const AT_US: i64 = 1_795_874_400_000_000;

/// A change of the alert of a rule on a host.
pub(crate) fn transition(host: &str, rule: &str, change: Change) -> Transition {
    let alert = Alert {
        id: format!("{host}-{rule}"),
        rule: rule.to_owned(),
        revision: 1,
        sentence: "memory > 95% clear 90% for 5m".to_owned(),
        severity: Severity::Critical,
        host: host.parse().unwrap(),
        key: Key::Host,
        raised_at_us: AT_US,
        raised_by: 7,
    };
    let culprit = Culprit { pid: 4_711, start: 5, name: "java".to_owned(), value: 12e9 };
    let value = Some(if change == Change::Cleared { 71.0 } else { 97.0 });
    let culprits = if change == Change::Raised { vec![culprit] } else { Vec::new() };
    let change = AlertChange { alert, change, at_us: AT_US, value, culprits };
    let place = EventPlace { partition: 0, epoch_s: 1, sequence: 7, number: 0 };
    Transition { place, decided_at_us: AT_US, change }
}
