//! Evaluates every rule on every host, message by message.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use data_encoding::HEXLOWER;
use fleetps_nats::{
    HostName, Snapshot,
    model::{SnapshotPair, Spacing, staleness},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    instance::{Instance, Observation, Raise, Told},
    measure::{Culprit, Key, Measured},
    rule::{Measure, Over, Rule, Severity},
};
use crate::{
    events::{FORGET_AFTER_MS, MessagePlace, StreamClock},
    filter::Deadline,
};

/// Instances of one rule that are remembered, in the whole fleet; one more is told once, and then left alone. A rule that so
/// many are beyond at once is wrong, or the fleet is.
pub const MAX_INSTANCES: usize = 1_000;
/// How long all rules together may take for one snapshot: thousands of times what they do. What takes longer is a filter that
/// is not worth its price; its values count as unknown.
const WITHIN: Duration = Duration::from_secs(1);
/// Bytes of an alert's id: the chance that two of a million are the same is one in 10^7.
const ID_BYTES: usize = 8;
/// An instance is gone after it was absent for as many intervals, as a host is silent then.
const GONE_AFTER_INTERVALS: u64 = 3;

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The same whoever evaluates it, and of no other alert: of the rule and its revision, the instance, and the message that
    /// raised it.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// The rule's revision.
    pub revision: u64,
    /// How bad it is.
    pub severity: Severity,
    /// The host that it is of.
    pub host: HostName,
    /// What on that host: a process, a program, a file system; empty for the host itself. A text from the host.
    pub instance: String,
    /// When it was raised, by the time of the snapshot, in µs since 1970 UTC.
    pub raised_at_us: i64,
}

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is raised.
    Raised,
    /// It was raised and cleared three times within an hour; nothing more is told of it until it is steady.
    Flapping,
    /// It flaps no longer, and is raised.
    Steady,
    /// The value was within the threshold for as long as the rule says.
    Cleared,
    /// The process exited.
    Exited,
    /// There is no such program, unit, user or file system any longer.
    Gone,
    /// The rule was changed or removed.
    RuleChanged,
    /// The rule has more than [`MAX_INSTANCES`]; further ones are left alone.
    TooMany,
}

impl Change {
    /// Whether the alert needs nobody any longer.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Cleared | Self::Exited | Self::Gone | Self::RuleChanged)
    }
}

/// A change of an alert, with what explains it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertChange {
    /// The alert.
    pub alert: Alert,
    /// What happened.
    pub change: Change,
    /// When, by the time of the snapshot, in µs since 1970 UTC.
    pub at_us: i64,
    /// The value then, where there is one.
    pub value: Option<f64>,
    /// The processes that make the value what it is, those with the largest part first; only where it is raised.
    pub culprits: Vec<Culprit>,
}

/// Evaluates rules: a function of the rules and of the messages of the stream, in their order.
#[derive(Debug, Default)]
pub struct Evaluator {
    rules: Vec<Arc<Rule>>,
    needs_previous: bool,
    hosts: HashMap<HostName, Host>,
    /// Instances that are remembered of each rule, by its id.
    counts: HashMap<String, Count>,
    /// The second of the stream's time in which silent hosts were looked for last.
    looked_s: Option<i64>,
}

#[derive(Debug, Default)]
struct Count {
    instances: usize,
    is_told: bool,
}

/// What is known of a host.
#[derive(Debug)]
struct Host {
    boot_id: String,
    captured_at_us: i64,
    stored_ms: i64,
    monotonic_ms: u64,
    interval_ms: u32,
    /// The last snapshot, where some rule needs it.
    previous: Option<Arc<Snapshot>>,
    /// The instances of each rule that something is to be remembered of, by the rule's id.
    instances: HashMap<String, BTreeMap<Key, Instance>>,
}

impl Evaluator {
    /// Evaluates `rules` from now on; alerts of rules that are gone or changed end.
    pub fn set_rules(&mut self, rules: Vec<Rule>, at_us: i64) -> Vec<AlertChange> {
        let is_kept = |old: &Rule| rules.iter().any(|new| (&new.id, new.revision) == (&old.id, old.revision));
        let ended: Vec<Arc<Rule>> = self.rules.iter().filter(|old| !is_kept(old)).cloned().collect();
        let mut changes = Vec::new();
        for rule in &ended {
            self.counts.remove(&rule.id);
            let mut hosts: Vec<_> = self.hosts.iter_mut().collect();
            hosts.sort_by_key(|(host, _)| (*host).clone());
            for (host, known) in hosts {
                for (key, mut instance) in known.instances.remove(&rule.id).unwrap_or_default() {
                    let told = instance.end().map(|raise| told(rule, host, &key, raise));
                    changes.extend(told.map(|alert| end(alert, Change::RuleChanged, at_us)));
                }
            }
        }
        self.needs_previous = rules.iter().any(Rule::needs_previous);
        if !self.needs_previous {
            self.hosts.values_mut().for_each(|known| known.previous = None);
        }
        self.rules = rules.into_iter().map(Arc::new).collect();
        changes
    }

    /// The rules.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(Arc::as_ref)
    }

    /// Takes `snapshot` of `host`, the message at `place`, when `clock` was the time of the stream. One that was captured before
    /// the last one says nothing: it arrived late.
    pub fn snapshot(
        &mut self,
        place: MessagePlace,
        clock: StreamClock,
        host: &HostName,
        snapshot: &Arc<Snapshot>,
    ) -> Vec<AlertChange> {
        let mut before = self.hosts.remove(host);
        if let Some(mut later) = before.take_if(|before| before.is_later(snapshot)) {
            later.stored_ms = place.stored_at_us.div_euclid(1000);
            self.hosts.insert(host.clone(), later);
            return self.tick(place, clock);
        }
        let mut changes = Vec::new();
        let mut now = Host::of(snapshot, place, self.needs_previous);
        let previous = before.as_ref().and_then(|before| before.previous.clone());
        let since_ms = before.as_ref().and_then(|before| before.observed_ms(&now));
        let is_same_boot = before.as_ref().is_some_and(|before| before.boot_id == now.boot_id);
        now.instances = before.map(|before| before.instances).unwrap_or_default();
        let pair = SnapshotPair::new(host.clone(), Arc::clone(snapshot), previous);
        let measured = Measured::of(&pair, Deadline::after(WITHIN));
        let moment =
            Moment { host, measured: &measured, snapshot, sequence: place.sequence, since_ms, is_same_boot };
        for rule in self.rules.clone() {
            let known = now.instances.remove(&rule.id).unwrap_or_default();
            let count = self.counts.entry(rule.id.clone()).or_default();
            count.instances = count.instances.saturating_sub(known.len());
            let known = moment.evaluate(&rule, known, count, &mut changes);
            count.instances += known.len();
            if !known.is_empty() {
                now.instances.insert(rule.id.clone(), known);
            }
        }
        self.hosts.insert(host.clone(), now);
        changes.extend(self.tick(place, clock));
        changes
    }

    /// Takes note that time has passed, by the message at `place`: hosts fall silent, and are forgotten in the end.
    pub fn tick(&mut self, place: MessagePlace, clock: StreamClock) -> Vec<AlertChange> {
        let Some(now_ms) = clock.now_ms else { return Vec::new() };
        let now_s = Some(now_ms.div_euclid(1000));
        if std::mem::replace(&mut self.looked_s, now_s) == now_s {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let forgotten = |known: &Host| now_ms.saturating_sub(known.stored_ms) > FORGET_AFTER_MS;
        let mut gone: Vec<HostName> =
            self.hosts.iter().filter(|(_, known)| forgotten(known)).map(|(host, _)| host.clone()).collect();
        gone.sort();
        for host in gone {
            changes.extend(self.forget(&host, place.stored_at_us));
        }
        let silent: Vec<Arc<Rule>> =
            self.rules.iter().filter(|rule| rule.measure == Measure::Silent).cloned().collect();
        for rule in silent {
            let mut hosts: Vec<_> = self.hosts.iter_mut().collect();
            hosts.sort_by_key(|(host, _)| (*host).clone());
            let count = self.counts.entry(rule.id.clone()).or_default();
            for (host, known) in hosts {
                changes.extend(known.pass_time(&rule, host, place, clock, count));
            }
        }
        changes
    }

    /// Forgets a host that was revoked, or forgotten by a person; its alerts end.
    pub fn forget(&mut self, host: &HostName, at_us: i64) -> Vec<AlertChange> {
        let Some(known) = self.hosts.remove(host) else { return Vec::new() };
        let mut changes = Vec::new();
        for rule in &self.rules {
            let Some(instances) = known.instances.get(&rule.id) else { continue };
            if let Some(count) = self.counts.get_mut(&rule.id) {
                count.instances = count.instances.saturating_sub(instances.len());
            }
            for (key, instance) in instances {
                let alert = instance.known.map(|raise| told(rule, host, key, raise));
                changes.extend(alert.map(|alert| end(alert, Change::Gone, at_us)));
            }
        }
        changes
    }
}

impl Host {
    fn of(snapshot: &Arc<Snapshot>, place: MessagePlace, keeps: bool) -> Self {
        Self {
            boot_id: snapshot.boot_id.clone(),
            captured_at_us: snapshot.captured_at_us,
            stored_ms: place.stored_at_us.div_euclid(1000),
            monotonic_ms: snapshot.monotonic_ms,
            interval_ms: snapshot.interval_ms,
            previous: keeps.then(|| Arc::clone(snapshot)),
            instances: HashMap::new(),
        }
    }

    /// Whether it was captured after `snapshot`, which arrived late.
    fn is_later(&self, snapshot: &Snapshot) -> bool {
        self.boot_id == snapshot.boot_id && snapshot.captured_at_us <= self.captured_at_us
    }

    /// The time from this snapshot to the next one, in ms; absent where the host was silent meanwhile, or booted.
    fn observed_ms(&self, next: &Self) -> Option<u64> {
        let elapsed_ms =
            next.monotonic_ms.checked_sub(self.monotonic_ms).filter(|_| self.boot_id == next.boot_id)?;
        let longest_ms =
            staleness::silent_after_ms(self.interval_ms.max(next.interval_ms), Spacing::EverySample);
        Some(elapsed_ms)
            .filter(|elapsed_ms| i64::try_from(*elapsed_ms).is_ok_and(|elapsed_ms| elapsed_ms <= longest_ms))
    }

    /// What a rule about silence says of the host now.
    fn pass_time(
        &mut self,
        rule: &Rule,
        host: &HostName,
        place: MessagePlace,
        clock: StreamClock,
        count: &mut Count,
    ) -> Option<AlertChange> {
        let quiet_ms = staleness::silent_after_ms(self.interval_ms, Spacing::EverySample);
        let silent_at_ms = clock.silent_at_ms(self.stored_ms, quiet_ms);
        let silent_ms = clock.now_ms.unwrap_or_default().saturating_sub(silent_at_ms).max(0);
        let value = silent_ms as f64 / 1000.0;
        let known = self.instances.get(&rule.id).is_some_and(|instances| !instances.is_empty());
        if !known && !rule.threshold.is_hit(value) {
            return None;
        }
        let (at_us, sequence) = (place.stored_at_us, place.sequence);
        let instances = self.instances.entry(rule.id.clone()).or_default();
        let before = instances.len();
        let instance = instances.entry(Key::Host).or_default();
        let observed = Observation { value: Some(value), at_us, sequence, since_ms: Some(0) };
        let told_now = instance.step(rule, observed);
        if instance.is_idle(at_us) {
            instances.clear();
        }
        count.instances = count.instances.saturating_sub(before) + instances.len();
        let (what, raise) = told_now?;
        let alert = told(rule, host, &Key::Host, raise);
        Some(AlertChange { alert, change: change_of(what), at_us, value: Some(value), culprits: Vec::new() })
    }
}

/// A snapshot, as rules look at it.
struct Moment<'a> {
    host: &'a HostName,
    measured: &'a Measured<'a>,
    snapshot: &'a Snapshot,
    sequence: u64,
    since_ms: Option<u64>,
    is_same_boot: bool,
}

impl Moment<'_> {
    /// Takes the values of `rule`; returns the instances that something is to be remembered of.
    fn evaluate(
        &self,
        rule: &Rule,
        known: BTreeMap<Key, Instance>,
        count: &mut Count,
        changes: &mut Vec<AlertChange>,
    ) -> BTreeMap<Key, Instance> {
        if rule.measure == Measure::Silent {
            return known;
        }
        // A filter that took too long says nothing.
        let Ok(values) = self.measured.values(rule) else { return known };
        let mut kept = BTreeMap::new();
        for (key, mut instance) in known {
            if values.contains_key(&key) && (self.is_same_boot || rule.over != Over::Process) {
                kept.insert(key, instance);
                continue;
            }
            match self.missing(rule, &mut instance) {
                Some(why) => {
                    let alert = instance.end().map(|raise| told(rule, self.host, &key, raise));
                    changes.extend(alert.map(|alert| end(alert, why, self.snapshot.captured_at_us)));
                }
                None => {
                    changes.extend(self.step(rule, &key, &mut instance, self.value_of_missing(rule)));
                    kept.insert(key, instance);
                }
            }
        }
        for (key, value) in values {
            let before = kept.remove(&key);
            let is_new = before.is_none();
            let mut instance = before.unwrap_or_default();
            let change = self.step(rule, &key, &mut instance, value);
            if instance.is_idle(self.snapshot.captured_at_us) {
                changes.extend(change);
            } else if is_new && count.instances + kept.len() >= MAX_INSTANCES {
                changes.extend(self.too_many(rule, count));
            } else {
                changes.extend(change);
                kept.insert(key, instance);
            }
        }
        if count.instances + kept.len() < MAX_INSTANCES / 2 {
            count.is_told = false;
        }
        kept
    }

    fn too_many(&self, rule: &Rule, count: &mut Count) -> Option<AlertChange> {
        if std::mem::replace(&mut count.is_told, true) {
            return None;
        }
        let raise = (self.snapshot.captured_at_us, self.sequence);
        let alert = told(rule, self.host, &Key::Host, raise);
        let value = Some(count.instances as f64);
        Some(AlertChange { alert, change: Change::TooMany, at_us: raise.0, value, culprits: Vec::new() })
    }

    /// Why an instance that has no value is no more; `None` where that is not known.
    fn missing(&self, rule: &Rule, instance: &mut Instance) -> Option<Change> {
        if rule.over == Over::Process {
            let is_gone = !self.is_same_boot || self.snapshot.processes_left_out == 0;
            return is_gone.then_some(Change::Exited);
        }
        instance.gone_ms = instance.gone_ms.saturating_add(self.since_ms.unwrap_or_default());
        let gone_after_ms = u64::from(self.snapshot.interval_ms).saturating_mul(GONE_AFTER_INTERVALS);
        let is_gone = instance.gone_ms >= gone_after_ms && self.snapshot.processes_left_out == 0;
        is_gone.then_some(Change::Gone)
    }

    /// The value of an instance that is not there: no processes are none, and anything else is not known.
    fn value_of_missing(&self, rule: &Rule) -> Option<f64> {
        (rule.measure == Measure::Count && self.snapshot.processes_left_out == 0).then_some(0.0)
    }

    fn step(
        &self,
        rule: &Rule,
        key: &Key,
        instance: &mut Instance,
        value: Option<f64>,
    ) -> Option<AlertChange> {
        let gone_ms = instance.gone_ms;
        let at_us = self.snapshot.captured_at_us;
        let observed = Observation { value, at_us, sequence: self.sequence, since_ms: self.since_ms };
        let told_now = instance.step(rule, observed);
        if gone_ms > 0 && rule.measure == Measure::Count {
            // None of something is a value, and still it is gone in the end.
            instance.gone_ms = gone_ms;
        }
        let (what, raise) = told_now?;
        let change = change_of(what);
        let culprits = match change {
            Change::Raised | Change::Flapping | Change::Steady => self.measured.culprits(rule, key),
            _ => Vec::new(),
        };
        Some(AlertChange { alert: told(rule, self.host, key, raise), change, at_us, value, culprits })
    }
}

fn change_of(told: Told) -> Change {
    match told {
        Told::Raised => Change::Raised,
        Told::Cleared => Change::Cleared,
        Told::Flapping => Change::Flapping,
        Told::Steady => Change::Steady,
    }
}

fn told(rule: &Rule, host: &HostName, key: &Key, (raised_at_us, sequence): Raise) -> Alert {
    let parts = [
        rule.id.clone(),
        rule.revision.to_string(),
        host.to_string(),
        format!("{key:?}"),
        raised_at_us.to_string(),
        sequence.to_string(),
    ];
    let digest = Sha256::digest(parts.join("\n"));
    Alert {
        id: HEXLOWER.encode(&digest[..ID_BYTES]),
        rule: rule.id.clone(),
        revision: rule.revision,
        severity: rule.severity,
        host: host.clone(),
        instance: key.to_string(),
        raised_at_us,
    }
}

fn end(alert: Alert, change: Change, at_us: i64) -> AlertChange {
    AlertChange { alert, change, at_us, value: None, culprits: Vec::new() }
}

#[cfg(test)]
#[path = "evaluator_tests.rs"]
mod tests;
