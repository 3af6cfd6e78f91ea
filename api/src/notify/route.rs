//! Which channels are told: by severity, group, rule, host and hour, one plan for a batch of transitions.
//!
//! Routes are asked for each transition before grouping, so a channel only hears of what is routed to it, also where many
//! hosts fail at once. What follows on an alert (that it goes on, flaps, is over) goes to the channels that were told of
//! its beginning and to no others: an alert that was silenced ends silently, and one that was told ends where it was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use fleetps_nats::units;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    channel::{BadChannel, Channel, check_id, short},
    group::{Grouping, Message, Threads, group},
    matcher::Matcher,
    notification::{Kind, Notification, Severity},
    schedule::Schedule,
    silence::{Silence, silenced_by},
};

/// Channels of one route at most, and of its escalation.
const MAX_CHANNELS_OF_ROUTE: usize = 20;
/// Routes at most: each is asked for every transition.
pub const MAX_ROUTES: usize = 200;

/// The shortest and the longest time until somebody else is told: less is no time to answer, and after a day it is the next
/// person's turn anyway.
const ESCALATED_AFTER: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(24 * 3600);

/// Where notifications go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What people call it; may be empty.
    #[serde(default)]
    pub name: String,
    /// What it is about.
    #[serde(default)]
    pub matcher: Matcher,
    /// The ids of channels.
    pub channels: Vec<String>,
    /// Hours in which it waits.
    #[serde(default)]
    pub quiet: Option<Quiet>,
    /// Whether later routes are not asked where this one matches.
    #[serde(default)]
    pub is_last: bool,
    /// Who else is told where nobody acknowledges the alert in time.
    #[serde(default)]
    pub escalate: Option<Escalation>,
}

/// Who else is told where nobody acknowledges an alert in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// How long to wait for an acknowledgement after the alert was told, from 1m to 24h.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub after: Duration,
    /// The ids of the channels that are told then.
    pub channels: Vec<String>,
}

/// Hours in which a route waits for their end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    /// The hours.
    pub hours: Schedule,
    /// From this severity on it does not wait.
    #[serde(default = "critical")]
    pub unless: Severity,
}

fn critical() -> Severity {
    Severity::Critical
}

impl Route {
    /// Whether it can be kept.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn check(&self) -> Result<(), BadChannel> {
        if !self.name.is_empty() {
            short("name", &self.name)?;
        }
        self.matcher.check()?;
        check_channels(&self.channels)?;
        if let Some(escalation) = &self.escalate {
            check_channels(&escalation.channels)?;
            if !ESCALATED_AFTER.contains(&escalation.after) {
                return Err(BadChannel::new("escalate", "expected a time from 1m to 24h"));
            }
        }
        self.quiet.as_ref().map_or(Ok(()), |quiet| quiet.hours.check())
    }

    /// Until when it waits with a notification, in µs since 1970 UTC.
    fn waits_until(&self, notification: &Notification) -> Option<i64> {
        let quiet = self.quiet.as_ref().filter(|quiet| notification.severity < quiet.unless)?;
        quiet.hours.end_of(notification.at_us)
    }
}

fn check_channels(ids: &[String]) -> Result<(), BadChannel> {
    if !(1..=MAX_CHANNELS_OF_ROUTE).contains(&ids.len()) {
        return Err(BadChannel::new("channels", format!("expected 1 to {MAX_CHANNELS_OF_ROUTE}")));
    }
    ids.iter().try_for_each(|id| check_id(id))
}

/// What a batch is planned by.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Asked in this order.
    pub routes: Vec<Route>,
    /// Silences and maintenance windows by id.
    pub silences: BTreeMap<String, Silence>,
    /// How messages are made of bursts.
    pub grouping: Grouping,
}

/// A message for a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The channel's id.
    pub channel: String,
    /// The message.
    pub message: Message,
    /// Not to be sent before, in µs since 1970 UTC: quiet hours.
    pub not_before_us: Option<i64>,
}

/// A transition that nobody is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBack {
    /// The transition's id.
    pub id: String,
    /// Why.
    pub why: Why,
}

/// Why nobody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It is long over: a host sent it late.
    Late,
    /// Its rule was changed: the new one speaks for itself.
    RuleChanged,
    /// A silence or maintenance window, by id.
    Silenced(String),
    /// No route is about it.
    NoRoute,
    /// Nobody was told of its beginning.
    BeganUntold,
}

impl Why {
    /// Its name in metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::RuleChanged => "rule_changed",
            Self::Silenced(_) => "silenced",
            Self::NoRoute => "no_route",
            Self::BeganUntold => "began_untold",
        }
    }
}

/// An alert that is escalated where nobody acknowledges it in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToEscalate {
    /// The alert's thread, as [`Notification::thread`] of its transitions.
    pub alert: String,
    /// By its route.
    pub escalation: Escalation,
    /// Quiet hours: the time begins at their end, in µs since 1970 UTC.
    pub waits_until_us: Option<i64>,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In the order of channels and of time.
    pub messages: Vec<Planned>,
    /// Alerts that begin here and wait to be acknowledged.
    pub to_escalate: Vec<ToEscalate>,
    /// What is not sent, and why.
    pub kept_back: Vec<KeptBack>,
    /// Alerts that are told here and whose end will not be, because no more of them can be remembered.
    pub forgotten: usize,
}

/// The channels of a notification and until when each waits; the earliest where several routes lead to one.
fn routed<'a>(routes: &'a [Route], notification: &Notification) -> BTreeMap<&'a str, Option<i64>> {
    let mut channels: BTreeMap<&str, Option<i64>> = BTreeMap::new();
    for route in matching(routes, notification) {
        let until = route.waits_until(notification);
        for channel in &route.channels {
            // `None` is the least of optional values: now is before any time.
            channels.entry(channel).and_modify(|waits| *waits = (*waits).min(until)).or_insert(until);
        }
    }
    channels
}

/// The routes that are about a notification, up to the last that is asked.
fn matching<'a>(routes: &'a [Route], notification: &Notification) -> Vec<&'a Route> {
    let mut matching: Vec<&Route> = Vec::new();
    for route in routes.iter().filter(|route| route.matcher.holds_of(notification)) {
        matching.push(route);
        if route.is_last {
            break;
        }
    }
    matching
}

/// The route that there is until a list of routes is saved: warnings and worse to every channel, but to those that are told
/// what another could not deliver. `None` where there is no channel.
pub(crate) fn built_in_route<'a>(
    channels: impl IntoIterator<Item = (&'a str, &'a Channel)>,
) -> Option<Route> {
    let channels: BTreeMap<&str, &Channel> =
        channels.into_iter().filter(|(_, channel)| channel.hears_of_alerts()).collect();
    let fallbacks: BTreeSet<&str> =
        channels.values().filter_map(|channel| channel.fallback.as_deref()).collect();
    let mut told: Vec<String> =
        channels.keys().filter(|id| !fallbacks.contains(*id)).map(|id| (*id).to_owned()).collect();
    if told.is_empty() {
        // Each is the other's fallback.
        told = channels.keys().map(|id| (*id).to_owned()).collect();
    }
    let matcher = Matcher { severity: Some(Severity::Warning), ..Matcher::default() };
    let route = Route {
        name: "built in".to_owned(),
        matcher,
        channels: told,
        quiet: None,
        is_last: false,
        escalate: None,
    };
    (!route.channels.is_empty()).then_some(route)
}

/// Plans what is escalated: each of the batch to its own channels, at once.
pub(crate) fn plan_escalated(
    batch: Vec<(Notification, Vec<String>)>,
    rules: &Rules,
    threads: &mut BTreeMap<String, Threads>,
) -> Plan {
    let mut plan = Plan::default();
    let routed = batch.into_iter().map(|(transition, channels)| {
        let channels = channels.into_iter().map(|channel| (channel, None)).collect();
        (transition, channels, Why::NoRoute)
    });
    plan.add(routed.collect(), rules, threads);
    plan
}

/// Plans a batch of transitions: a function of these, the rules and `threads`, which has the open alerts of each channel
/// and learns of what is planned here.
pub fn plan(batch: Vec<Notification>, rules: &Rules, threads: &mut BTreeMap<String, Threads>) -> Plan {
    let (begin, follow): (Vec<_>, Vec<_>) =
        batch.into_iter().partition(|transition| matches!(transition.kind, Kind::Raised | Kind::Test));
    let mut plan = Plan::default();
    for transition in begin.iter().filter(|transition| transition.kind == Kind::Raised) {
        plan.note_escalations(transition, rules);
    }
    let beginning = begin.into_iter().map(|transition| {
        let channels = routed(&rules.routes, &transition);
        let channels = channels.into_iter().map(|(channel, until)| (channel.to_owned(), until)).collect();
        (transition, channels, Why::NoRoute)
    });
    plan.add(beginning.collect(), rules, threads);
    let following = follow.into_iter().map(|transition| {
        let now = routed(&rules.routes, &transition);
        let told = threads.iter().filter(|(_, threads)| threads.of(&transition.thread).is_some());
        let channels = told.map(|(id, _)| (id.clone(), now.get(id.as_str()).copied().flatten())).collect();
        (transition, channels, Why::BeganUntold)
    });
    let following = following.collect();
    plan.add(following, rules, threads);
    plan
}

type Routed = (Notification, Vec<(String, Option<i64>)>, Why);

impl Plan {
    fn note_escalations(&mut self, transition: &Notification, rules: &Rules) {
        if rules.silences.values().any(|silence| silence.keeps_back(transition)) {
            return;
        }
        let of_route = |route: &Route| {
            let (alert, waits_until_us) = (transition.thread.clone(), route.waits_until(transition));
            Some(ToEscalate { alert, escalation: route.escalate.clone()?, waits_until_us })
        };
        self.to_escalate.extend(matching(&rules.routes, transition).into_iter().filter_map(of_route));
    }

    fn add(&mut self, transitions: Vec<Routed>, rules: &Rules, threads: &mut BTreeMap<String, Threads>) {
        let mut batches: BTreeMap<(String, Option<i64>), Vec<Notification>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (transition, channels, otherwise) in transitions {
            let silences = rules.silences.iter().map(|(id, silence)| (id.as_str(), silence));
            let silence = match transition.kind {
                Kind::Resolved => None,
                _ => silenced_by(silences, &transition),
            };
            let why = match silence {
                Some(id) => Some(Why::Silenced(id.to_owned())),
                None => channels.is_empty().then_some(otherwise),
            };
            match why {
                Some(why) if seen.insert(transition.id.clone()) => {
                    self.kept_back.push(KeptBack { id: transition.id, why });
                }
                Some(_) => {}
                None => channels
                    .into_iter()
                    .for_each(|to| batches.entry(to).or_default().push(transition.clone())),
            }
        }
        for ((channel, not_before_us), batch) in batches {
            let threads = threads.entry(channel.clone()).or_default();
            for message in group(batch, rules.grouping, threads) {
                self.forgotten += threads.sent(&message);
                self.messages.push(Planned { channel: channel.clone(), message, not_before_us });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{
        examples::{self, AT_US},
        notification::Subject,
        silence::When,
    };

    fn rules(routes: &str) -> Rules {
        Rules { routes: serde_json::from_str(routes).unwrap(), ..Rules::default() }
    }

    fn sent(plan: &Plan) -> Vec<(&str, &str)> {
        plan.messages
            .iter()
            .map(|planned| (planned.channel.as_str(), planned.message.notification.id.as_str()))
            .collect()
    }

    fn warning() -> Notification {
        Notification { severity: Severity::Warning, ..examples::raised() }
    }

    #[test]
    fn routes_are_asked_in_order_until_the_last() {
        let all = r#"[{"matcher":{"severity":"critical"},"channels":["phone"]},
            {"matcher":{"groups":["web"]},"channels":["web-team","ops"],"is_last":true},
            {"channels":["rest","phone"]}]"#;
        for (transition, expected) in [
            (examples::raised(), vec!["ops", "phone", "web-team"]),
            (warning(), vec!["ops", "web-team"]),
            (Notification { groups: Vec::new(), ..warning() }, vec!["phone", "rest"]),
        ] {
            let plan = plan(vec![transition], &rules(all), &mut BTreeMap::new());
            let channels: Vec<&str> = sent(&plan).into_iter().map(|(channel, _)| channel).collect();
            assert_eq!(channels, expected);
        }
        let nobody = plan(vec![warning()], &rules("[]"), &mut BTreeMap::new());
        assert_eq!(nobody.kept_back, [KeptBack { id: warning().id, why: Why::NoRoute }]);
    }

    #[test]
    fn what_follows_goes_where_the_beginning_was_told() {
        let (mut threads, before) = (BTreeMap::new(), rules(r#"[{"channels":["a"]}]"#));
        let after = rules(r#"[{"channels":["b"]}]"#);
        plan(vec![examples::raised()], &before, &mut threads);
        let resolved = plan(vec![examples::resolved()], &after, &mut threads);
        assert_eq!(sent(&resolved), [("a", "0f3a9c-resolved")]);
        let again = plan(vec![examples::resolved()], &after, &mut threads);
        assert_eq!(again.kept_back, [KeptBack { id: examples::resolved().id, why: Why::BeganUntold }]);
        // Both in one batch, in whatever order.
        let both = plan(vec![examples::resolved(), examples::raised()], &before, &mut BTreeMap::new());
        assert_eq!(sent(&both), [("a", "0f3a9c-raised"), ("a", "0f3a9c-resolved")]);
    }

    #[test]
    fn what_is_silenced_is_named_and_its_end_is_silent_too() {
        let mut rules = rules(r#"[{"channels":["a"]}]"#);
        let silence = Silence {
            matcher: Matcher::default(),
            when: When::Once { from_us: AT_US, until_us: AT_US + 1 },
            why: "test".to_owned(),
            who: "anna".to_owned(),
            within: None,
            made_at_us: 0,
        };
        rules.silences.insert("s1".to_owned(), silence);
        let mut threads = BTreeMap::new();
        let raised = plan(vec![examples::raised()], &rules, &mut threads);
        assert_eq!((raised.messages.len(), &raised.kept_back[0].why), (0, &Why::Silenced("s1".to_owned())));
        assert_eq!(plan(vec![examples::resolved()], &rules, &mut threads).messages, []);
        // One that was told before the silence ends for those who were told.
        let earlier = Notification { at_us: AT_US - 1, ..examples::raised() };
        let within = Notification { at_us: AT_US, ..examples::resolved() };
        plan(vec![earlier], &rules, &mut threads);
        assert_eq!(sent(&plan(vec![within], &rules, &mut threads)), [("a", "0f3a9c-resolved")]);
    }

    #[test]
    fn quiet_hours_wait_for_their_end_unless_it_is_grave() {
        let rules =
            rules(r#"[{"channels":["a"],"quiet":{"hours":{"zone":"UTC","from":"13:00","until":"15:00"}}}]"#);
        let waits =
            |transition| plan(vec![transition], &rules, &mut BTreeMap::new()).messages[0].not_before_us;
        assert_eq!(waits(examples::raised()), None);
        assert_eq!(waits(warning()), Some(AT_US + 3600 * 1_000_000));
        assert_eq!(waits(Notification { at_us: AT_US - 2 * 3600 * 1_000_000, ..warning() }), None);
    }

    #[test]
    fn a_channel_hears_only_of_what_is_routed_to_it() {
        let rules = rules(r#"[{"matcher":{"hosts":["db-*"]},"channels":["db"]},{"channels":["all"]}]"#);
        let silent = |host: String| Notification {
            id: host.clone(),
            thread: host.clone(),
            subject: Subject::Host(host),
            ..warning()
        };
        let batch = (0..20)
            .map(|number| silent(format!("{}-{number:02}", if number < 3 { "db" } else { "web" })))
            .collect();
        let plan = plan(batch, &rules, &mut BTreeMap::new());
        let subjects: Vec<(&str, String)> = plan
            .messages
            .iter()
            .map(|planned| (planned.channel.as_str(), planned.message.notification.subject.text()))
            .collect();
        let expected = [("all", "20 hosts"), ("db", "db-00"), ("db", "db-01"), ("db", "db-02")];
        assert_eq!(subjects, expected.map(|(channel, subject)| (channel, subject.to_owned())));
    }
}
