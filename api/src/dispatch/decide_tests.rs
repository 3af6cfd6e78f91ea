use std::time::Duration;

use fleetps_ingestor::alerts::{Change, Transition};

use super::*;
use crate::{
    dispatch::{
        examples::{AT_US, transition},
        translate::{Beside, told},
    },
    notify::{Escalation, Grouping, Matcher, Route, Silence, Subject, When},
};

const NOW_US: i64 = AT_US + 1_000_000;
const MINUTE: Duration = Duration::from_secs(60);

fn route(channels: &[&str]) -> Route {
    let channels: Vec<&str> = channels.to_vec();
    serde_json::from_value(serde_json::json!({ "channels": channels })).unwrap()
}

fn rules(routes: Vec<Route>) -> Rules {
    let grouping = Grouping { quiet: Duration::MAX, longest: Duration::MAX, fleet_wide: 10 };
    Rules { routes, grouping, ..Rules::default() }
}

/// Decides these, which are the next in the stream. Alerts of the rule `late` are late, and over.
fn decided(ledger: &Ledger, transitions: &[Transition], rules: &Rules) -> Decided {
    let first = ledger.position + 1;
    let groups = BTreeSet::from(["web".to_owned()]);
    let of = |(sequence, transition): (u64, &Transition)| {
        let is_over = transition.change.alert.rule == "late";
        told(sequence, transition, &Beside { groups: &groups, note: "", moment: None, is_over })
    };
    let all: Vec<Told> = (first..).zip(transitions).map(of).collect();
    let position = ledger.position + transitions.len() as u64;
    by(rules, NOW_US, |by| decide(ledger, all, position, by))
}

fn by(rules: &Rules, now_us: i64, decision: impl FnOnce(&By<'_>) -> Decided) -> Decided {
    let channels = ["mail", "chat", "pager"].map(str::to_owned).into();
    let links = Links::to("https://ps.example.com");
    decision(&By { rules, channels: &channels, links: &links, now_us })
}

fn said(decided: &Decided) -> Vec<(&str, Kind, String)> {
    let said = |outgoing: &'_ Outgoing| (outgoing.notification.kind, outgoing.notification.subject.text());
    let outgoing = &decided.ledger.outgoing;
    outgoing.iter().map(|it| (it.channel.as_str(), said(it).0, said(it).1)).collect()
}

fn handed_over(decided: Decided) -> Ledger {
    Ledger { outgoing: Vec::new(), ..decided.ledger }
}

#[test]
fn what_begins_and_ends_is_told_where_it_is_routed_and_the_position_moves_on() {
    let rules = rules(vec![route(&["mail"])]);
    let raised = decided(&Ledger::default(), &[transition("web-1", "memory", Change::Raised)], &rules);
    assert_eq!(said(&raised), [("mail", Kind::Raised, "web-1".to_owned())]);
    let opening = raised.ledger.outgoing[0].notification.clone();
    assert!(opening.opens() && opening.acknowledge.ends_with("?alert=web-1-memory"), "{opening:?}");
    let ledger = handed_over(raised);
    assert_eq!((ledger.position, ledger.alerts().len()), (1, 1));
    let end = decided(&ledger, &[transition("web-1", "memory", Change::Cleared)], &rules);
    assert_eq!(said(&end), [("mail", Kind::Resolved, "web-1".to_owned())]);
    let notification = &end.ledger.outgoing[0].notification;
    assert_eq!((&notification.thread, notification.acknowledge.as_str()), (&opening.id, ""));
    assert_eq!((end.ledger.position, end.ledger.alerts().len()), (2, 0));
}

#[test]
fn many_hosts_at_once_are_one_message_and_so_is_their_end() {
    let rules = rules(vec![route(&["mail"])]);
    let all = |change| -> Vec<Transition> {
        (0..500).map(|host| transition(&format!("h-{host}"), "host-silent", change)).collect()
    };
    let raised = decided(&Ledger::default(), &all(Change::Raised), &rules);
    assert_eq!(said(&raised), [("mail", Kind::Raised, "500 hosts".to_owned())]);
    let message = &raised.ledger.outgoing[0].notification;
    assert!(message.link.ends_with("/alerts?rule=host-silent"), "{}", message.link);
    let end = decided(&handed_over(raised), &all(Change::Cleared), &rules);
    assert_eq!(said(&end), [("mail", Kind::Resolved, "500 hosts".to_owned())]);
    assert!(end.ledger.threads.values().all(crate::notify::Threads::is_empty));
}

#[test]
fn what_is_late_of_a_changed_rule_or_without_a_channel_is_kept_back_and_said_why() {
    let late = transition("web-1", "late", Change::Raised);
    let usual = transition("web-1", "memory", Change::Raised);
    let told = rules(vec![route(&["mail"])]);
    let raised = decided(&Ledger::default(), &[late, usual], &told);
    let why = |decided: &Decided| -> Vec<&str> { decided.kept_back.iter().map(|it| it.why.word()).collect() };
    assert_eq!((why(&raised), said(&raised).len()), (vec!["late"], 1));
    let ledger = handed_over(raised);
    let late_end = decided(&ledger, &[transition("web-1", "late", Change::Cleared)], &told);
    assert_eq!(why(&late_end), ["began_untold"]);
    let changed = decided(&ledger, &[transition("web-1", "memory", Change::RuleChanged)], &told);
    assert_eq!(
        (why(&changed), said(&changed).len(), changed.ledger.alerts().len()),
        (vec!["rule_changed"], 0, 0)
    );
    let removed = Rules { routes: Vec::new(), ..told };
    let nobody = decided(&ledger, &[transition("web-2", "memory", Change::Raised)], &removed);
    assert_eq!((why(&nobody), nobody.ledger.position), (vec!["no_route"], 3));
}

#[test]
fn what_a_silence_kept_back_is_named_as_long_as_there_is_the_silence() {
    let mut rules = rules(vec![route(&["mail"])]);
    let silence = Silence {
        matcher: Matcher::default(),
        when: When::Once { from_us: AT_US, until_us: AT_US + 1 },
        why: "disk is exchanged".to_owned(),
        who: "anna".to_owned(),
        within: None,
        made_at_us: 0,
    };
    rules.silences.insert("s1".to_owned(), silence);
    let silenced = decided(&Ledger::default(), &[transition("web-1", "memory", Change::Raised)], &rules);
    assert!(said(&silenced).is_empty());
    assert_eq!(silenced.ledger.muted["s1"].count, 1);
    assert!(silenced.ledger.muted["s1"].latest[0].1.contains("web-1: memory is"));
    rules.silences.clear();
    let later = decided(&silenced.ledger, &[transition("web-1", "memory", Change::Cleared)], &rules);
    assert!(later.ledger.muted.is_empty() && said(&later).is_empty());
}

fn escalating() -> Rules {
    let escalation = Escalation { after: 15 * MINUTE, channels: vec!["pager".to_owned()] };
    rules(vec![Route { escalate: Some(escalation), ..route(&["mail"]) }])
}

/// What is said when the escalations of `ledger` are due.
fn escalated(ledger: &Ledger, rules: &Rules, is_acknowledged: bool) -> Decided {
    let due = ledger.escalations.clone();
    let groups = BTreeSet::new();
    let told: Vec<(Notification, Vec<String>)> = due
        .iter()
        .filter(|_| !is_acknowledged)
        .map(|waiting| {
            let beside = Beside { groups: &groups, note: "", moment: None, is_over: false };
            let raised = told(waiting.sequence, &transition("web-1", "memory", Change::Raised), &beside);
            let id = format!("{}-escalated", waiting.alert);
            (Notification { id, kind: Kind::Escalated, ..raised.notification }, waiting.channels.clone())
        })
        .collect();
    by(rules, NOW_US, |by| escalate(ledger, &due, told, by))
}

#[test]
fn an_alert_that_nobody_acknowledges_is_told_to_others_and_ends_for_them_too() {
    let rules = escalating();
    let raised = decided(&Ledger::default(), &[transition("web-1", "memory", Change::Raised)], &rules);
    let waiting = &raised.ledger.escalations[0];
    assert_eq!((waiting.due_us, waiting.sequence), (NOW_US + 900 * 1_000_000, 1));
    let ledger = handed_over(raised);
    let told = escalated(&ledger, &rules, false);
    assert_eq!(said(&told), [("pager", Kind::Escalated, "web-1".to_owned())]);
    assert!(told.ledger.outgoing[0].notification.opens() && told.ledger.escalations.is_empty());
    let end = decided(&handed_over(told), &[transition("web-1", "memory", Change::Cleared)], &rules);
    let channels: Vec<&str> = said(&end).into_iter().map(|(channel, ..)| channel).collect();
    assert_eq!(channels, ["mail", "pager"]);
}

#[test]
fn what_is_acknowledged_or_over_is_not_escalated() {
    let rules = escalating();
    let ledger =
        handed_over(decided(&Ledger::default(), &[transition("web-1", "memory", Change::Raised)], &rules));
    let acknowledged = escalated(&ledger, &rules, true);
    assert!(said(&acknowledged).is_empty() && acknowledged.ledger.escalations.is_empty());
    let over = decided(&ledger, &[transition("web-1", "memory", Change::Cleared)], &rules);
    assert!(over.ledger.escalations.is_empty());
    let at_once = [transition("web-1", "x", Change::Raised), transition("web-1", "x", Change::Cleared)];
    assert!(decided(&Ledger::default(), &at_once, &rules).ledger.escalations.is_empty());
}

#[test]
fn an_escalation_is_of_the_beginning_whatever_followed_in_the_same_burst() {
    let mut flapping = transition("web-1", "memory", Change::Flapping);
    flapping.place.sequence += 1;
    let burst = [transition("web-1", "memory", Change::Raised), flapping];
    let raised = decided(&Ledger::default(), &burst, &escalating());
    let waiting: Vec<u64> = raised.ledger.escalations.iter().map(|waiting| waiting.sequence).collect();
    assert_eq!((waiting, raised.ledger.position), (vec![1], 2));
}

#[test]
fn what_is_told_and_cannot_be_remembered_is_counted() {
    let rules = rules(vec![route(&["mail"])]);
    let raised =
        Notification { kind: Kind::Raised, ..Notification::test("n".to_owned(), "", String::new(), 1) };
    let alerts = (0..crate::notify::MAX_OPEN).map(|number| number.to_string()).collect();
    let mut ledger = Ledger::default();
    let threads = ledger.threads.entry("mail".to_owned()).or_default();
    assert_eq!(threads.sent(&crate::notify::Message { notification: raised, alerts }), 0);
    let told = decided(&ledger, &[transition("web-1", "memory", Change::Raised)], &rules);
    assert_eq!((said(&told).len(), told.forgotten), (1, 1));
}

#[test]
fn a_channel_that_was_told_already_hears_of_the_escalation_in_the_same_thread() {
    let escalation = Escalation { after: MINUTE, channels: vec!["mail".to_owned(), "gone".to_owned()] };
    let rules = rules(vec![Route { escalate: Some(escalation), ..route(&["mail"]) }]);
    let raised = decided(&Ledger::default(), &[transition("web-1", "memory", Change::Raised)], &rules);
    let opening = raised.ledger.outgoing[0].notification.id.clone();
    let told = escalated(&handed_over(raised), &rules, false);
    assert_eq!(told.ledger.outgoing.len(), 1, "a channel that is gone is told nothing");
    assert_eq!(told.ledger.outgoing[0].notification.thread, opening);
}

#[test]
fn more_than_can_be_kept_of_a_rule_is_told_once_and_forgotten() {
    let rules = rules(vec![route(&["mail"])]);
    let many = decided(&Ledger::default(), &[transition("web-1", "memory", Change::TooMany)], &rules);
    assert_eq!(said(&many)[0].1, Kind::Raised);
    assert_eq!(many.ledger.alerts().len(), 0);
    assert_eq!(many.ledger.outgoing[0].notification.subject, Subject::Host("web-1".to_owned()));
}
