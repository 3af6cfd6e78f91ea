//! A transition of an alert as a notification: the words, the facts and the processes that explain it.

use std::collections::BTreeSet;

use fleetps_ingestor::alerts::{
    AlertChange, Change, Culprit as Part, HostMeasure, Measure, Rule, Severity as AlertSeverity, Transition,
};
use fleetps_nats::{model::Unit, own_figures::OwnFigure};

use crate::{
    display,
    live::Moment,
    notify::{Chart, Culprit, Facts, Figure, Kind, Notification, Severity, Subject},
    view::alerts::with_unit,
};

/// An alert that is this old when it would be told is late: its host sent it late, or nobody evaluated it or told of it until
/// then. It is told where it is still open; where it is over by now, it is only recorded.
const LATE_US: i64 = 600 * 1_000_000;

/// What is known beside the transition.
pub(super) struct Beside<'a> {
    /// The groups of its host.
    pub(super) groups: &'a BTreeSet<String>,
    /// What its rule says to do.
    pub(super) note: &'a str,
    /// Its host now, where that is looked at.
    pub(super) moment: Option<&'a Moment>,
    /// Whether the alert is late and known to be over by now.
    pub(super) is_over: bool,
}

/// A transition as it is told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    /// Its place in the stream of alerts.
    pub(super) sequence: u64,
    pub(super) notification: Notification,
    /// What is special about it.
    pub(super) case: Case,
}

/// How a transition is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// As any other.
    Usual,
    /// It has no end: once told, it is forgotten.
    Endless,
    /// It began long before it was known, and is over.
    Late,
    /// Its rule was changed; the new one speaks for itself.
    RuleChanged,
}

/// The notification of a transition. Its thread is the alert's id; grouping finds the message that opened it.
pub(super) fn told(sequence: u64, transition: &Transition, beside: &Beside<'_>) -> Told {
    let change = &transition.change;
    let alert = &change.alert;
    let rule = Rule::parse(&alert.rule, alert.revision, alert.severity, &alert.sentence).ok();
    let kind = kind_of(transition);
    let case = match change.change {
        Change::RuleChanged => Case::RuleChanged,
        _ if kind == Kind::Raised && beside.is_over => Case::Late,
        Change::TooMany => Case::Endless,
        _ => Case::Usual,
    };
    let culprits = change.culprits.iter().map(|part| culprit(part, rule.as_ref(), beside.moment));
    let notification = Notification {
        id: transition.id(),
        kind,
        severity: severity(alert.severity),
        thread: alert.id.clone(),
        rule: alert.rule.clone(),
        subject: Subject::Host(alert.host.to_string()),
        groups: beside.groups.iter().cloned().collect(),
        at_us: change.at_us,
        title: title(change, rule.as_ref()),
        facts: facts(change, rule.as_ref(), beside.note),
        also: Vec::new(),
        also_count: 0,
        culprits: culprits.collect(),
        link: String::new(),
        acknowledge: String::new(),
        silence: String::new(),
        chart: rule.as_ref().filter(|_| kind == Kind::Raised).and_then(chart),
    };
    Told { sequence, notification, case }
}

/// A chart to be drawn: of what a host measures itself.
fn chart(rule: &Rule) -> Option<Chart> {
    let is_of_host = matches!(rule.measure, Measure::Host(_));
    is_of_host.then(|| Chart { points: Vec::new(), threshold: Some(rule.threshold.raise) })
}

/// Whether a transition happened long before `now_us`, in µs since 1970 UTC.
pub(super) fn is_late(transition: &Transition, now_us: i64) -> bool {
    now_us.saturating_sub(transition.change.at_us) > LATE_US
}

/// What is told. An alert can begin with flapping, where its earlier ups and downs were others.
fn kind_of(transition: &Transition) -> Kind {
    let alert = &transition.change.alert;
    let begins =
        alert.raised_by == transition.place.sequence && alert.raised_at_us == transition.change.at_us;
    match transition.change.change {
        Change::Raised | Change::TooMany => Kind::Raised,
        Change::Flapping if begins => Kind::Raised,
        Change::Flapping => Kind::Flapping,
        Change::Steady => Kind::Still,
        Change::Cleared | Change::Exited | Change::Gone | Change::RuleChanged => Kind::Resolved,
    }
}

fn severity(severity: AlertSeverity) -> Severity {
    match severity {
        AlertSeverity::Info => Severity::Info,
        AlertSeverity::Warning => Severity::Warning,
        AlertSeverity::Critical => Severity::Critical,
    }
}

/// What is measured, in a word of the rule.
fn measure(rule: &Rule) -> String {
    match rule.measure {
        Measure::Host(figure) => figure.word(),
        Measure::Process(figure) => figure.word().to_owned(),
        Measure::Count => "processes".to_owned(),
        Measure::Disk => "used space".to_owned(),
        Measure::DiskFullIn => "time until it is full".to_owned(),
        Measure::MemoryFullIn => "time until memory is used up".to_owned(),
        Measure::Unusual => "distance from the last week's range".to_owned(),
        Measure::Gone => "absence".to_owned(),
        Measure::Silent => "silence".to_owned(),
        Measure::RestartLoop => "starts".to_owned(),
        Measure::Own(figure) => own(figure).to_owned(),
    }
}

/// A figure of fleetps's own, in words.
fn own(figure: OwnFigure) -> &'static str {
    match figure {
        OwnFigure::HistoryBehind => "the delay of the history",
        OwnFigure::HistoryDisk => "used space of the history's disk",
        OwnFigure::MergesBehind => "the delay of merging the history",
        OwnFigure::CertificateEndsIn => "time until the certificate expires",
    }
}

/// One sentence about what happened.
fn title(change: &AlertChange, rule: Option<&Rule>) -> String {
    let instance = change.alert.instance();
    let of =
        |words: &str| if instance.is_empty() { words.to_owned() } else { format!("{instance}: {words}") };
    let named = || if instance.is_empty() { "it".to_owned() } else { instance.clone() };
    match (change.change, rule) {
        (Change::TooMany, _) => {
            "more alerts of this rule than are kept; further ones are not raised".to_owned()
        }
        (Change::Exited, _) => format!("{} has exited", named()),
        (Change::Gone, _) if instance.is_empty() => "the host is no longer watched".to_owned(),
        (Change::Gone, Some(rule)) if rule.measure == Measure::Gone => {
            format!("{instance} is no longer expected")
        }
        (Change::Gone, _) => format!("{instance} is gone"),
        (Change::RuleChanged, _) => "the rule was changed".to_owned(),
        (_, None) => of(&change.alert.sentence),
        (Change::Flapping, Some(rule)) => {
            of(&format!("{} goes up and down; nothing more is said until it is steady", measure(rule)))
        }
        (Change::Steady, Some(rule)) => of(&format!("{}, and steady", beyond(change, rule))),
        (Change::Raised, Some(rule)) => match rule.measure {
            Measure::Silent => "sends nothing".to_owned(),
            Measure::RestartLoop => format!("{} is started again and again", named()),
            Measure::DiskFullIn => match change.value {
                Some(value) => {
                    format!("{} will be full in {}", named(), with_unit(value, rule.measure.unit()))
                }
                None => format!("{} will be full soon", named()),
            },
            Measure::MemoryFullIn => match change.value {
                Some(value) => format!(
                    "{} grows steadily; memory is used up in {}",
                    named(),
                    with_unit(value, rule.measure.unit())
                ),
                None => format!("{} grows steadily", named()),
            },
            Measure::Gone => match change.last_seen_us() {
                Some(seen_us) => format!("{} is gone; last seen {}", named(), display::time(seen_us)),
                None => format!("{} is gone", named()),
            },
            _ => of(&beyond(change, rule)),
        },
        (Change::Cleared, Some(rule)) => match (rule.measure, change.value) {
            (Measure::Silent, _) => "sends again".to_owned(),
            (Measure::RestartLoop, _) => format!("{} is no longer started again and again", named()),
            (Measure::DiskFullIn, _) => format!("{} will not be full soon", named()),
            (Measure::MemoryFullIn, _) => format!("{} no longer grows steadily", named()),
            (Measure::Gone, _) => format!("{} is back", named()),
            (_, Some(value)) => of(&format!("{} {} again", is(rule), with_unit(value, rule.measure.unit()))),
            (_, None) => of(&format!("{} well again", is(rule))),
        },
    }
}

/// "memory is", "processes are".
fn is(rule: &Rule) -> String {
    let verb = if rule.measure == Measure::Count { "are" } else { "is" };
    format!("{} {verb}", measure(rule))
}

/// "memory is 97 %, more than 95 %".
fn beyond(change: &AlertChange, rule: &Rule) -> String {
    let unit = rule.measure.unit();
    let than = match (rule.threshold.is_above, rule.measure) {
        (true, _) => "more than",
        (false, Measure::Count) => "fewer than",
        (false, _) => "less than",
    };
    let threshold = with_unit(rule.threshold.raise, unit);
    match change.value {
        Some(value) => format!("{} {}, {than} {threshold}", is(rule), with_unit(value, unit)),
        None => format!("{} {than} {threshold}", is(rule)),
    }
}

fn facts(change: &AlertChange, rule: Option<&Rule>, note: &str) -> Facts {
    let runbook = note.to_owned();
    let Some(rule) = rule.filter(|_| change.change != Change::TooMany) else {
        return Facts { runbook, ..Facts::default() };
    };
    let unit = rule.measure.unit();
    let figure = |number: f64| Figure { number: Some(number), text: with_unit(number, unit) };
    let threshold = match rule.measure {
        Measure::Silent | Measure::RestartLoop => Figure::default(),
        _ => figure(rule.threshold.raise),
    };
    Facts {
        measure: measure(rule),
        value: change.value.map(figure).unwrap_or_default(),
        threshold,
        since_us: Some(change.alert.raised_at_us),
        runbook,
    }
}

/// A process with its part. Its user is known where the host's latest snapshot still has it.
fn culprit(part: &Part, rule: Option<&Rule>, moment: Option<&Moment>) -> Culprit {
    let unit = match rule.map(|rule| rule.measure) {
        Some(Measure::Process(figure)) => figure.unit(),
        Some(
            Measure::Disk
            | Measure::DiskFullIn
            | Measure::MemoryFullIn
            | Measure::Host(HostMeasure::MemoryPercent | HostMeasure::SwapPercent),
        ) => (Unit::Bytes, false),
        _ => (Unit::Percent, false),
    };
    let process = moment.and_then(|moment| {
        moment.snapshot().processes.iter().find(|process| process.key() == (part.pid, part.start))
    });
    Culprit {
        name: part.name.clone(),
        pid: part.pid,
        user: process.and_then(|process| process.user_name.clone()).unwrap_or_default(),
        value: with_unit(part.value, unit),
        change: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::examples::{AT_US, transition};
    use fleetps_ingestor::alerts::Key;

    fn of(transition: &Transition) -> Told {
        let groups = BTreeSet::from(["web".to_owned()]);
        told(9, transition, &Beside { groups: &groups, note: "look", moment: None, is_over: false })
    }

    #[test]
    fn an_alert_is_told_in_words_with_its_facts_and_processes() {
        let Told { notification, case, .. } = of(&transition("web-1", "memory", Change::Raised));
        assert_eq!(notification.title, "memory is 97.0 %, more than 95.0 %");
        assert_eq!(
            (notification.kind, notification.severity, case),
            (Kind::Raised, Severity::Critical, Case::Usual)
        );
        assert_eq!((notification.groups[0].as_str(), notification.facts.runbook.as_str()), ("web", "look"));
        assert_eq!(notification.facts.since_us, Some(AT_US));
        let culprit = &notification.culprits[0];
        assert_eq!((culprit.name.as_str(), culprit.value.as_str()), ("java", "11.2 GB"));
        let end = of(&transition("web-1", "memory", Change::Cleared)).notification;
        assert_eq!((end.kind, end.title.as_str()), (Kind::Resolved, "memory is 71.0 % again"));
        assert_eq!(end.thread, notification.thread);
    }

    #[test]
    fn the_part_of_a_process_has_the_unit_of_what_is_measured() {
        for (sentence, expected) in
            [("memory > 95%", "11.2 GB"), ("disk > 90%", "11.2 GB"), ("disk_full_in < 24h", "11.2 GB")]
        {
            let mut transition = transition("web-1", "rule", Change::Raised);
            transition.change.alert.sentence = sentence.to_owned();
            assert_eq!(of(&transition).notification.culprits[0].value, expected, "{sentence}");
        }
    }

    #[test]
    fn every_measure_and_change_has_its_words() {
        let named = || Key::Named("/var".to_owned());
        for (sentence, key, change, expected) in [
            ("silent for 1m", Key::Host, Change::Raised, "sends nothing"),
            ("silent for 1m", Key::Host, Change::Cleared, "sends again"),
            ("disk > 90%", named(), Change::Raised, "/var: used space is 97.0 %, more than 90.0 %"),
            ("disk > 90%", named(), Change::Gone, "/var is gone"),
            ("count < 100 where cmd:x", Key::Host, Change::Raised, "processes are 97, fewer than 100"),
            ("cpu > 1 over process", named(), Change::Exited, "/var has exited"),
            ("restart_loop", named(), Change::Raised, "/var is started again and again"),
            (
                "gone for 5m",
                Key::Named("nginx.service".to_owned()),
                Change::Raised,
                "nginx.service is gone; last seen 2026-11-28 13:58:23 UTC",
            ),
            ("gone for 5m over program", named(), Change::Cleared, "/var is back"),
            ("gone for 5m", named(), Change::Gone, "/var is no longer expected"),
            ("memory_full_in < 3d", named(), Change::Raised, "/var grows steadily; memory is used up in 1 m"),
            (
                "unusual > 20%",
                Key::Named("load_1".to_owned()),
                Change::Raised,
                "load_1: distance from the last week's range is 97.0 %, more than 20.0 %",
            ),
            ("memory_full_in < 3d", named(), Change::Cleared, "/var no longer grows steadily"),
            ("load_1 > 8", Key::Host, Change::Steady, "load_1 is 97, more than 8, and steady"),
            (
                "load_1 > 8",
                Key::Host,
                Change::Flapping,
                "load_1 goes up and down; nothing more is said until it is steady",
            ),
            ("load_1 > 8", Key::Host, Change::Gone, "the host is no longer watched"),
            ("of a later version", Key::Host, Change::Raised, "of a later version"),
        ] {
            let mut transition = transition("web-1", "rule", change);
            transition.change.alert.sentence = sentence.to_owned();
            transition.change.alert.key = key;
            assert_eq!(of(&transition).notification.title, expected);
        }
    }

    #[test]
    fn what_is_late_or_of_a_changed_rule_or_begins_with_flapping_is_told_apart() {
        let mut late = transition("web-1", "memory", Change::Raised);
        assert!(!is_late(&late, AT_US + LATE_US) && is_late(&late, AT_US + LATE_US + 1));
        late.decided_at_us += LATE_US + 1;
        assert!(!is_late(&late, AT_US), "when it was decided says nothing");
        let groups = BTreeSet::new();
        let over = Beside { groups: &groups, note: "", moment: None, is_over: true };
        assert_eq!(told(9, &late, &over).case, Case::Late);
        assert_eq!(of(&late).case, Case::Usual, "it is open, however late that is known");
        late.change.change = Change::Cleared;
        let end = told(9, &late, &over).case;
        assert_eq!(end, Case::Usual, "who was told of the beginning waits for the end");
        assert_eq!(of(&transition("web-1", "memory", Change::RuleChanged)).case, Case::RuleChanged);
        assert_eq!(of(&transition("web-1", "memory", Change::TooMany)).case, Case::Endless);
        let mut flapping = transition("web-1", "memory", Change::Flapping);
        assert_eq!(of(&flapping).notification.kind, Kind::Raised);
        flapping.place.sequence += 1;
        assert_eq!(of(&flapping).notification.kind, Kind::Flapping);
    }
}
