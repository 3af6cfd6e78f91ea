//! One message for a host and burst, and one for a failure of many hosts.
//!
//! [`group`] is a pure function of the transitions, so two servers that group the same ones say the same. A burst ends where
//! nothing happens for [`Grouping::quiet`], by the transitions' own times, or when it has lasted for
//! [`Grouping::longest`]. Within a burst, of each kind:
//!
//! 1. While there is a rule that holds on [`Grouping::fleet_wide`] hosts or more, the one with the most hosts becomes one
//!    message, which also stands for everything else that happened on those hosts.
//! 2. Of what is left, each host has one message: its gravest alert, with the titles of the others.
//!
//! A message's id is that of its first transition. [`Threads`] knows which message opened the thread of which alert.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::notification::{Figure, Kind, MAX_ALSO, MAX_FIRST_HOSTS, Notification, Subject};

/// Alerts whose threads are remembered for a channel: two for each of ten thousand hosts. What comes later is told, and its end
/// is not, which is counted.
pub(crate) const MAX_OPEN: usize = 20_000;

/// How transitions are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouping {
    /// A burst is over when nothing happens for this long: the time between two samples.
    pub quiet: Duration,
    /// A burst ends after this, whatever happens: nobody waits longer for its first message.
    pub longest: Duration,
    /// From this number of hosts with the same rule on, one message stands for all of them.
    pub fleet_wide: usize,
}

impl Default for Grouping {
    fn default() -> Self {
        Self { quiet: Duration::from_secs(10), longest: Duration::from_secs(60), fleet_wide: 10 }
    }
}

/// A message and the transitions that it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What is sent.
    pub notification: Notification,
    /// The threads of the alerts that it stands for: the ids of their opening transitions.
    pub alerts: Vec<String>,
}

/// Which message opened the thread of each alert that is open. Kept beside the position in the stream of transitions, or
/// worked out again from the transitions before it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Threads(HashMap<String, String>);

impl Threads {
    /// The message that said that an alert began; `None` where none did.
    pub fn of(&self, alert: &str) -> Option<&str> {
        self.0.get(alert).map(String::as_str)
    }

    /// Remembers that a message is sent; how many of its alerts are not remembered for want of room.
    pub fn sent(&mut self, message: &Message) -> usize {
        let mut forgotten = 0;
        for alert in &message.alerts {
            match message.notification.kind {
                Kind::Resolved => {
                    self.0.remove(alert);
                }
                // One that is escalated may be known here already.
                Kind::Raised | Kind::Escalated if self.0.contains_key(alert) => {}
                Kind::Raised | Kind::Escalated if self.0.len() < MAX_OPEN => {
                    self.0.insert(alert.clone(), message.notification.thread.clone());
                }
                Kind::Raised | Kind::Escalated => forgotten += 1,
                Kind::Still | Kind::Flapping | Kind::Test => {}
            }
        }
        forgotten
    }

    /// The alerts that are open.
    pub fn alerts(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Forgets an alert: nothing more is said of it.
    pub fn forget(&mut self, alert: &str) {
        self.0.remove(alert);
    }

    /// Forgets alerts until `most` are left; how many that were.
    pub fn shrink_to(&mut self, most: usize) -> usize {
        let surplus = self.0.len().saturating_sub(most);
        let alerts: Vec<String> = self.0.keys().take(surplus).cloned().collect();
        alerts.iter().for_each(|alert| self.forget(alert));
        surplus
    }

    /// How many alerts are open.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Groups transitions into messages, in the order of time.
pub fn group(mut transitions: Vec<Notification>, grouping: Grouping, threads: &Threads) -> Vec<Message> {
    transitions.sort_by(|one, other| (one.at_us, &one.id).cmp(&(other.at_us, &other.id)));
    transitions.dedup_by(|one, other| one.id == other.id);
    let mut messages = Vec::new();
    for burst in bursts(transitions, grouping) {
        let mut of_kind: BTreeMap<u8, Vec<Notification>> = BTreeMap::new();
        for transition in burst {
            of_kind.entry(transition.kind as u8).or_default().push(transition);
        }
        for transitions in of_kind.into_values() {
            messages.extend(group_burst(transitions, grouping.fleet_wide, threads));
        }
    }
    messages.sort_by(|one, other| {
        let key = |message: &Message| (message.notification.at_us, message.notification.id.clone());
        key(one).cmp(&key(other))
    });
    messages
}

/// Cuts transitions in the order of time into bursts.
fn bursts(transitions: Vec<Notification>, grouping: Grouping) -> Vec<Vec<Notification>> {
    let us = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    let (quiet, longest) = (us(grouping.quiet), us(grouping.longest));
    let mut bursts: Vec<Vec<Notification>> = Vec::new();
    for transition in transitions {
        let belongs = |burst: &Vec<Notification>| {
            let since = |of: Option<&Notification>| {
                of.map_or(i64::MAX, |of| transition.at_us.saturating_sub(of.at_us))
            };
            since(burst.last()) <= quiet && since(burst.first()) <= longest
        };
        match bursts.last_mut().filter(|burst| belongs(burst)) {
            Some(burst) => burst.push(transition),
            None => bursts.push(vec![transition]),
        }
    }
    bursts
}

/// Groups the transitions of one kind in one burst.
fn group_burst(mut left: Vec<Notification>, fleet_wide: usize, threads: &Threads) -> Vec<Message> {
    let mut messages = Vec::new();
    if left.first().is_some_and(|transition| transition.kind == Kind::Test) {
        return left.chunks(1).filter_map(|test| message(test, None, threads)).collect();
    }
    while let Some((rule, hosts)) = widest_rule(&left).filter(|(_, hosts)| hosts.len() >= fleet_wide.max(2)) {
        let of_them = |transition: &Notification| host(transition).is_some_and(|host| hosts.contains(host));
        let (of_them, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(of_them);
        left = rest;
        let first = hosts.iter().take(MAX_FIRST_HOSTS).cloned().collect();
        let subject = Subject::Hosts { count: hosts.len(), first };
        messages.extend(message(&of_them, Some((&rule, subject)), threads));
    }
    let mut of_hosts: BTreeMap<Option<String>, Vec<Notification>> = BTreeMap::new();
    for transition in left {
        of_hosts.entry(host(&transition).map(str::to_owned)).or_default().push(transition);
    }
    messages.extend(of_hosts.values().filter_map(|transitions| message(transitions, None, threads)));
    messages
}

fn host(transition: &Notification) -> Option<&str> {
    match &transition.subject {
        Subject::Host(host) => Some(host),
        Subject::Hosts { .. } | Subject::Fleet => None,
    }
}

/// The rule that holds on the most hosts, and these; the first by id among equals.
fn widest_rule(transitions: &[Notification]) -> Option<(String, BTreeSet<String>)> {
    let mut of_rules: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for transition in transitions {
        if let Some(host) = host(transition) {
            of_rules.entry(&transition.rule).or_default().insert(host);
        }
    }
    let widest = of_rules.into_iter().min_by_key(|(rule, hosts)| (Reverse(hosts.len()), *rule))?;
    Some((widest.0.to_owned(), widest.1.into_iter().map(str::to_owned).collect()))
}

/// One message for transitions in the order of time; none for none. `about` names the rule that speaks for many hosts.
fn message(
    transitions: &[Notification],
    about: Option<(&str, Subject)>,
    threads: &Threads,
) -> Option<Message> {
    let first = transitions.first()?;
    let speaks = |transition: &&Notification| about.as_ref().is_none_or(|(rule, _)| transition.rule == *rule);
    let gravest =
        |transition: &&Notification| (Reverse(transition.severity), transition.at_us, transition.id.clone());
    let lead = transitions.iter().filter(speaks).min_by_key(gravest)?;
    let mut others: Vec<&Notification> = transitions.iter().filter(|other| other.id != lead.id).collect();
    let groups: BTreeSet<&String> = transitions.iter().flat_map(|transition| &transition.groups).collect();
    let mut notification = Notification {
        id: first.id.clone(),
        thread: thread(transitions, first, threads),
        groups: groups.into_iter().cloned().collect(),
        ..lead.clone()
    };
    if let Some((rule, subject)) = about {
        notification.subject = subject;
        // What is one host's is not shown as that of all.
        let host = host(lead).unwrap_or_default();
        notification.title = format!("{}, for example on {host}", lead.title);
        notification.facts.value = Figure::default();
        (notification.culprits, notification.chart) = (Vec::new(), None);
        // The other hosts of the same rule are counted already.
        others.retain(|other| other.rule != rule);
    }
    notification.also_count = others.len();
    others.sort_by_key(|other| (Reverse(other.severity), other.at_us));
    let mut told = BTreeSet::from([&lead.title]);
    let titles = others.iter().map(|other| &other.title).filter(|title| told.insert(title));
    notification.also = titles.take(MAX_ALSO).cloned().collect();
    Some(Message { notification, alerts: transitions.iter().map(|of| of.thread.clone()).collect() })
}

/// The thread that most of the alerts were said to begin in, the first by id among equals; a new one for what begins, and
/// where none of them was said to begin.
fn thread(transitions: &[Notification], first: &Notification, threads: &Threads) -> String {
    if matches!(first.kind, Kind::Raised | Kind::Test) {
        return first.id.clone();
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for transition in transitions {
        if let Some(thread) = threads.of(&transition.thread) {
            *counts.entry(thread).or_default() += 1;
        }
    }
    let most = counts.into_iter().min_by_key(|(thread, count)| (Reverse(*count), *thread));
    most.map_or_else(|| first.id.clone(), |(thread, _)| thread.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{
        examples::{self, AT_US},
        notification::Severity,
    };

    const SECOND_US: i64 = 1_000_000;

    /// A transition of a rule on a host, some seconds after the first.
    fn transition(kind: Kind, host: &str, rule: &str, after_s: i64) -> Notification {
        let thread = format!("{host}/{rule}");
        Notification {
            id: if kind == Kind::Raised { thread.clone() } else { format!("{thread}/{kind:?}") },
            thread,
            kind,
            rule: rule.to_owned(),
            subject: Subject::Host(host.to_owned()),
            title: format!("{rule} on {host}"),
            at_us: AT_US + after_s * SECOND_US,
            also: Vec::new(),
            also_count: 0,
            ..examples::raised()
        }
    }

    /// The messages of a channel that was told of these.
    fn said(transitions: Vec<Notification>, threads: &mut Threads) -> Vec<Notification> {
        let messages = group(transitions, Grouping::default(), threads);
        assert_eq!(messages.iter().map(|message| threads.sent(message)).sum::<usize>(), 0);
        messages.into_iter().map(|message| message.notification).collect()
    }

    #[test]
    fn a_host_with_300_rules_that_dies_is_one_message_and_so_is_its_return() {
        let mut threads = Threads::default();
        let rules: Vec<String> = (0..300).map(|rule| format!("rule-{rule:03}")).collect();
        let all = |kind, after| -> Vec<Notification> {
            let at = |number: usize| after + i64::try_from(number).unwrap() / 30;
            rules
                .iter()
                .enumerate()
                .map(|(number, rule)| transition(kind, "web-1", rule, at(number)))
                .collect()
        };
        let raised = said(all(Kind::Raised, 0), &mut threads);
        assert_eq!(raised.len(), 1);
        assert_eq!((raised[0].also_count, raised[0].also.len(), threads.len()), (299, MAX_ALSO, 300));
        assert!(raised[0].opens());
        let resolved = said(all(Kind::Resolved, 600), &mut threads);
        assert_eq!(resolved.len(), 1);
        assert_eq!(resolved[0].thread, raised[0].id);
        assert!(threads.is_empty());
    }

    #[test]
    fn five_hundred_hosts_that_lose_their_switch_are_one_message_and_so_is_their_return() {
        let mut threads = Threads::default();
        let all = |kind, after| -> Vec<Notification> {
            let hosts = (0..500).map(|host| format!("host-{host:03}"));
            let each = hosts.enumerate().flat_map(|(number, host)| {
                let at = after + i64::try_from(number).unwrap() / 20;
                let silent = transition(kind, &host, "silent", at);
                // Two of three had something else at the same time.
                let other = (!number.is_multiple_of(3)).then(|| transition(kind, &host, "load", at + 1));
                [Some(silent), other].into_iter().flatten()
            });
            each.collect()
        };
        let raised = said(all(Kind::Raised, 0), &mut threads);
        assert_eq!(raised.len(), 1, "{:?}", raised.iter().map(Notification::headline).collect::<Vec<_>>());
        let first = (0..5).map(|host| format!("host-{host:03}")).collect();
        assert_eq!(raised[0].subject, Subject::Hosts { count: 500, first });
        assert_eq!((raised[0].rule.as_str(), raised[0].also_count), ("silent", 333));
        assert_eq!(raised[0].title, "silent on host-000, for example on host-000");
        assert_eq!(
            (raised[0].culprits.len(), &raised[0].chart),
            (0, &None),
            "one host's are not those of all"
        );
        let resolved = said(all(Kind::Resolved, 900), &mut threads);
        assert_eq!(resolved.len(), 1);
        assert_eq!((&resolved[0].thread, threads.len()), (&raised[0].id, 0));
    }

    #[test]
    fn what_is_not_remembered_for_want_of_room_is_counted() {
        let mut threads = Threads::default();
        let message = |alerts: Vec<String>| Message { notification: examples::raised(), alerts };
        let all: Vec<String> = (0..MAX_OPEN).map(|number| number.to_string()).collect();
        assert_eq!(threads.sent(&message(all)), 0);
        let known_and_new = ["0", "x", "y"].map(str::to_owned).to_vec();
        assert_eq!((threads.sent(&message(known_and_new)), threads.len()), (2, MAX_OPEN));
        let ended = Message { notification: examples::resolved(), alerts: vec!["0".to_owned()] };
        assert_eq!(threads.sent(&ended), 0);
        assert_eq!(threads.sent(&message(vec!["x".to_owned()])), 0, "there is room again");
    }

    #[test]
    fn bursts_and_hosts_are_kept_apart() {
        use Kind::{Raised, Resolved};
        for (what, transitions, expected) in [
            ("nothing", vec![], 0),
            ("one", vec![transition(Raised, "a", "x", 0)], 1),
            ("the same twice", vec![transition(Raised, "a", "x", 0), transition(Raised, "a", "x", 0)], 1),
            (
                "two rules of a host",
                vec![transition(Raised, "a", "x", 0), transition(Raised, "a", "y", 10)],
                1,
            ),
            ("later", vec![transition(Raised, "a", "x", 0), transition(Raised, "a", "y", 11)], 2),
            ("two hosts", vec![transition(Raised, "a", "x", 0), transition(Raised, "b", "x", 0)], 2),
            ("up and down", vec![transition(Raised, "a", "x", 0), transition(Resolved, "a", "x", 5)], 2),
            ("nine hosts", (0..9).map(|host| transition(Raised, &host.to_string(), "x", 0)).collect(), 9),
            ("ten hosts", (0..10).map(|host| transition(Raised, &host.to_string(), "x", 0)).collect(), 1),
            (
                "ten rules",
                (0..10).map(|host| transition(Raised, &host.to_string(), &host.to_string(), 0)).collect(),
                10,
            ),
            (
                "for long",
                (0..21).map(|rule| transition(Raised, "a", &rule.to_string(), rule * 6)).collect(),
                2,
            ),
        ] {
            let found = group(transitions, Grouping::default(), &Threads::default());
            assert_eq!(found.len(), expected, "{what}");
        }
    }

    #[test]
    fn the_gravest_speaks_and_the_first_names_the_message() {
        let mut info = transition(Kind::Raised, "a", "info", 0);
        info.severity = Severity::Info;
        let critical = transition(Kind::Raised, "a", "critical", 3);
        let messages = group(vec![critical, info], Grouping::default(), &Threads::default());
        let said = &messages[0].notification;
        assert_eq!(
            (said.title.as_str(), said.severity, said.id.as_str()),
            ("critical on a", Severity::Critical, "a/info")
        );
        assert_eq!(said.also, ["info on a"]);
    }

    #[test]
    fn the_order_in_which_transitions_come_changes_nothing() {
        let transitions: Vec<Notification> = (0..40)
            .map(|number: i64| {
                transition(
                    Kind::Raised,
                    &format!("h{}", number % 13),
                    &format!("r{}", number % 7),
                    number % 17,
                )
            })
            .collect();
        let expected = group(transitions.clone(), Grouping::default(), &Threads::default());
        let mut turned = transitions;
        for _ in 0..40 {
            turned.rotate_left(7);
            turned.swap(0, 20);
            assert_eq!(group(turned.clone(), Grouping::default(), &Threads::default()), expected);
        }
        let stood_for: usize = expected.iter().map(|message| message.alerts.len()).sum();
        assert_eq!(stood_for, 40, "every transition is in one message");
    }
}
