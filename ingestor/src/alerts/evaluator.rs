//! Evaluates every rule on every host, message by message.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::Arc,
    time::Duration,
};

use fleetps_nats::{HostName, Snapshot, model::SnapshotPair, own_figures::OwnFigures};

use super::{
    alert::{Alert, AlertChange, Change},
    evaluated_host::{EvaluatedHost, Instances},
    instance::Instance,
    learned::Lessons,
    measure::Key,
    measured::{Measured, Values},
    moment::Moment,
    plan::Plan,
    room::{Count, Room},
    rule::{Measure, Needs, Rule},
    state::{EvaluatorState, Told},
};
use crate::{
    events::{Event, FORGET_AFTER_MS, MessagePlace, StreamClock},
    filter::Deadline,
};

/// How long all rules together may take for one snapshot: thousands of times what they do. What takes longer is a filter that
/// is not worth its price; its values count as unknown.
const WITHIN: Duration = Duration::from_secs(1);

/// The groups of each host that has some.
pub type HostGroups = HashMap<HostName, BTreeSet<String>>;

/// Evaluates rules: a function of the rules and of the messages of the stream, in their order.
#[derive(Debug, Default)]
pub struct Evaluator {
    rules: Vec<Arc<Rule>>,
    plan: Plan,
    needs: Needs,
    lessons: Lessons,
    groups: HostGroups,
    hosts: HashMap<HostName, EvaluatedHost>,
    /// Instances that are remembered of each rule, by its id.
    counts: HashMap<String, Count>,
    /// The second of the stream's time in which silent hosts were looked for last.
    looked_s: Option<i64>,
    /// From when on the passing of time may decide something, in ms by the broker's clock.
    awaited_ms: Option<i64>,
}

impl Evaluator {
    /// Evaluates `rules` from now on; alerts of rules that are gone or changed end.
    pub fn set_rules(&mut self, rules: Vec<Rule>, at_us: i64) -> Vec<AlertChange> {
        let is_kept = |old: &Rule| rules.iter().any(|new| new.is_same(old));
        let ended: Vec<Arc<Rule>> = self.rules.iter().filter(|old| !is_kept(old)).cloned().collect();
        let mut changes = Vec::new();
        for rule in &ended {
            self.counts.remove(&rule.id);
            for host in self.sorted_hosts() {
                let Some(known) = self.hosts.get_mut(&host) else { continue };
                known.too_many.remove(&rule.id);
                let instances = known.instances.remove(&rule.id).unwrap_or_default();
                changes.extend(end_all(rule, &host, instances, Change::RuleChanged, at_us));
            }
        }
        self.needs = rules.iter().map(Rule::needs).max().unwrap_or_default();
        if self.needs == Needs::Nothing {
            self.hosts.values_mut().for_each(|known| known.previous = None);
        }
        self.plan = Plan::of(&rules);
        let before = mem::replace(&mut self.lessons, Lessons::of(&rules));
        self.rules = rules.into_iter().map(Arc::new).collect();
        self.looked_s = None;
        if self.lessons != before {
            for known in self.hosts.values_mut() {
                let mut learned = known.take_learned();
                learned.keep(self.lessons);
                known.put_learned(learned);
            }
        }
        changes
    }

    /// Says which groups hosts belong to from now on; rules for some groups follow with the next snapshot of a host.
    pub fn set_groups(&mut self, groups: HostGroups) {
        self.groups = groups;
    }

    /// The rules.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(Arc::as_ref)
    }

    /// How many instances are remembered, of all rules.
    pub fn instance_count(&self) -> usize {
        self.counts.values().map(|count| count.instances).sum()
    }

    /// Alerts that were not raised, because there was no room for them.
    pub fn beyond(&self) -> u64 {
        self.counts.values().map(|count| count.beyond).sum()
    }

    /// From when on the passing of time may decide something, in ms by the broker's clock.
    pub fn awaited_ms(&self) -> Option<i64> {
        self.awaited_ms
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
        self.take((place, clock), host, snapshot, None)
    }

    /// The same of a snapshot whose `values` were measured before; it needs no processes then.
    pub(crate) fn measured(
        &mut self,
        at: (MessagePlace, StreamClock),
        host: &HostName,
        snapshot: &Arc<Snapshot>,
        values: &dyn Values,
    ) -> Vec<AlertChange> {
        self.take(at, host, snapshot, Some(values))
    }

    fn take(
        &mut self,
        (place, clock): (MessagePlace, StreamClock),
        host: &HostName,
        snapshot: &Arc<Snapshot>,
        values: Option<&dyn Values>,
    ) -> Vec<AlertChange> {
        let mut before = self.hosts.remove(host);
        if let Some(mut later) = before.take_if(|before| before.is_later(snapshot)) {
            later.stored_ms = place.stored_at_us.div_euclid(1000);
            self.hosts.insert(host.clone(), later);
            return self.tick(place, clock);
        }
        let mut now = EvaluatedHost::of(snapshot, place.stored_at_us, self.needs);
        let mut before = before.unwrap_or_default();
        let since_ms = before.observed_ms(&now);
        // Over a gap nothing but kills is measured, so that a restart needs to read no further back than a silence is long.
        let previous = before.previous.take().filter(|_| since_ms.is_some());
        let killed_over_gap = before.killed_per_s(&now).filter(|_| since_ms.is_none());
        let mut learned = before.take_learned();
        (now.instances, now.too_many) = (mem::take(&mut before.instances), mem::take(&mut before.too_many));
        now.parts = mem::take(&mut before.parts);
        let pair = SnapshotPair::new(host.clone(), Arc::clone(snapshot), previous);
        let measured = Measured::of(&pair, (&self.plan, self.needs), Deadline::after(WITHIN));
        let values = values.unwrap_or(&measured);
        learned.note(self.lessons, &pair, values, (before.captured_at_us(), since_ms));
        let moment = Moment {
            host,
            values,
            snapshot,
            sequence: place.sequence,
            since_ms,
            is_same_boot: before.is_same_boot(&now),
            learned: &learned,
            killed_over_gap,
        };
        let (of_rules, groups) = ((self.rules.as_slice(), &self.plan), self.groups.get(host));
        let mut changes = evaluate(of_rules, groups, &moment, &mut now, &mut self.counts);
        now.put_learned(learned);
        self.hosts.insert(host.clone(), now);
        changes.extend(self.tick(place, clock));
        changes
    }

    /// Takes note of what happened by the message at `place`: programs that are restarted again and again.
    pub fn events(&mut self, place: MessagePlace, events: &[Event]) -> Vec<AlertChange> {
        let mut changes = Vec::new();
        for event in events.iter().filter(|event| event.kind.is_of_loop()) {
            for rule in self.rules.iter().filter(|rule| rule.measure == Measure::RestartLoop) {
                let is_for = rule.is_for(self.groups.get(&event.host));
                let Some(known) = self.hosts.get_mut(&event.host).filter(|_| is_for) else { continue };
                changes.extend(known.note_loop(rule, place, event, count_of(&mut self.counts, rule)));
            }
        }
        changes
    }

    /// Takes what a part of fleetps says of itself, by the message at `place`.
    pub fn own(&mut self, place: MessagePlace, told: &OwnFigures) -> Vec<AlertChange> {
        let groups = self.groups.get(&told.host);
        let asks = |rule: &&Arc<Rule>| matches!(rule.measure, Measure::Own(_)) && rule.is_for(groups);
        let rules: Vec<Arc<Rule>> = self.rules.iter().filter(asks).cloned().collect();
        let stored_ms = place.stored_at_us.div_euclid(1000);
        let known = self.hosts.entry(told.host.clone()).or_insert_with(|| EvaluatedHost::heard_at(stored_ms));
        let mut changes = known.end_parts_away(&rules, (&told.host, place), &mut self.counts);
        let since_ms = known.hear_part(told, stored_ms);
        let note = |rule: &Arc<Rule>| {
            known.note_own(rule, (place, since_ms), told, count_of(&mut self.counts, rule))
        };
        changes.extend(rules.iter().filter_map(note));
        changes
    }

    /// Takes note that time has passed, by the message at `place`: hosts fall silent, and are forgotten in the end.
    pub fn tick(&mut self, place: MessagePlace, clock: StreamClock) -> Vec<AlertChange> {
        let Some(now_ms) = clock.now_ms else { return Vec::new() };
        let now_s = Some(now_ms.div_euclid(1000));
        if mem::replace(&mut self.looked_s, now_s) == now_s {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let forgotten = |known: &EvaluatedHost| now_ms.saturating_sub(known.stored_ms) > FORGET_AFTER_MS;
        let mut gone: Vec<HostName> =
            self.hosts.iter().filter(|(_, known)| forgotten(known)).map(|(host, _)| host.clone()).collect();
        gone.sort();
        for host in gone {
            changes.extend(self.forget(&host, place.stored_at_us));
        }
        self.awaited_ms = None;
        let silent: Vec<Arc<Rule>> =
            self.rules.iter().filter(|rule| rule.measure == Measure::Silent).cloned().collect();
        for rule in silent {
            let mut told = Vec::new();
            let count = self.counts.entry(rule.id.clone()).or_default();
            for (host, known) in &mut self.hosts {
                if !rule.is_for(self.groups.get(host)) {
                    continue;
                }
                let before = known.instances.get(&rule.id).map_or(0, Instances::len);
                told.extend(known.pass_time(&rule, host, place, clock));
                let after = known.instances.get(&rule.id).map_or(0, Instances::len);
                count.instances = count.instances.saturating_sub(before) + after;
                self.awaited_ms =
                    [self.awaited_ms, known.awaited_ms(&rule, clock)].into_iter().flatten().min();
            }
            told.sort_by(|a: &AlertChange, b: &AlertChange| a.alert.host.cmp(&b.alert.host));
            changes.extend(told);
        }
        changes
    }

    /// Forgets a host that was revoked, or forgotten by a person; its alerts end, but for those about parts of fleetps that run there.
    pub fn forget(&mut self, host: &HostName, at_us: i64) -> Vec<AlertChange> {
        let Some(mut known) = self.hosts.remove(host) else { return Vec::new() };
        let mut changes = Vec::new();
        let rests = known.of_parts(&self.rules, at_us.div_euclid(1000));
        for rule in &self.rules {
            let Some(instances) = known.instances.remove(&rule.id) else { continue };
            if let Some(count) = self.counts.get_mut(&rule.id) {
                count.instances = count.instances.saturating_sub(instances.len());
            }
            changes.extend(end_all(rule, host, instances, Change::Gone, at_us));
        }
        if let Some(rests) = rests {
            self.hosts.insert(host.clone(), rests);
        }
        changes
    }

    /// The hosts that are known.
    pub fn hosts(&self) -> impl Iterator<Item = &HostName> {
        self.hosts.keys()
    }

    /// The instances of a host of which something is remembered.
    pub(crate) fn keys_of(&self, host: &HostName) -> BTreeSet<Key> {
        let instances = self.hosts.get(host).into_iter().flat_map(|known| known.instances.values());
        instances.flat_map(Instances::keys).cloned().collect()
    }

    /// The processes among them, and those whose memory is looked at: pid, and the other half of the identity.
    pub(crate) fn processes_of(&self, host: &HostName) -> BTreeSet<(u32, i64)> {
        let process = |key: Key| match key {
            Key::Process { pid, start, .. } => Some((pid, start)),
            _ => None,
        };
        let large = self.hosts.get(host).into_iter().flat_map(EvaluatedHost::large_processes);
        self.keys_of(host).into_iter().filter_map(process).chain(large).collect()
    }

    /// Takes a snapshot that was evaluated before [`Self::state`] was asked for: it may be the last of its host, which is not
    /// in the state.
    pub fn recall(&mut self, host: &HostName, snapshot: &Arc<Snapshot>) {
        if let Some(known) = self.hosts.get_mut(host) {
            known.recall(snapshot, self.needs);
        }
    }

    /// Goes on with an alert of which only the last change is known, which was decided at `decided_ms` by the broker's clock.
    pub fn resume(&mut self, alert: &Alert, decided_ms: i64) {
        let known =
            self.hosts.entry(alert.host.clone()).or_insert_with(|| EvaluatedHost::heard_at(decided_ms));
        known.stored_ms = known.stored_ms.max(decided_ms);
        let instance = Instance::raised_at((alert.raised_at_us, alert.raised_by));
        let instances = known.instances.entry(alert.rule.clone()).or_default();
        if instances.insert(alert.key.clone(), instance).is_none() {
            self.counts.entry(alert.rule.clone()).or_default().instances += 1;
        }
    }

    /// All that is remembered, but for the last snapshots.
    pub fn state(&self) -> EvaluatorState<'_> {
        let told = self.counts.iter().filter(|(_, count)| count.is_told).map(|(rule, _)| rule.clone());
        let rules = self.rules.iter().map(|rule| Told::of(rule)).collect();
        EvaluatorState { rules, hosts: std::borrow::Cow::Borrowed(&self.hosts), told: told.collect() }
    }

    /// Goes on with what another one remembered.
    pub fn restore(state: EvaluatorState<'_>) -> Self {
        let rules: Vec<Arc<Rule>> = state.rules.iter().filter_map(Told::rule).map(Arc::new).collect();
        let mut hosts = state.hosts.into_owned();
        let mut counts: HashMap<String, Count> = HashMap::new();
        for known in hosts.values_mut() {
            known.instances.retain(|id, _| rules.iter().any(|rule| rule.id == *id));
            for (rule, instances) in &known.instances {
                counts.entry(rule.clone()).or_default().instances += instances.len();
            }
        }
        for rule in state.told {
            counts.entry(rule).or_default().is_told = true;
        }
        let needs = rules.iter().map(|rule| rule.needs()).max().unwrap_or_default();
        let plan = Plan::of(rules.iter().map(Arc::as_ref));
        let lessons = Lessons::of(rules.iter().map(Arc::as_ref));
        Self { rules, plan, needs, lessons, hosts, counts, ..Self::default() }
    }

    fn sorted_hosts(&self) -> Vec<HostName> {
        let mut hosts: Vec<HostName> = self.hosts.keys().cloned().collect();
        hosts.sort();
        hosts
    }
}

/// Evaluates rules, with their plan, on one snapshot of the host `now`, which belongs to these groups.
fn evaluate(
    (rules, plan): (&[Arc<Rule>], &Plan),
    groups: Option<&BTreeSet<String>>,
    moment: &Moment<'_>,
    now: &mut EvaluatedHost,
    counts: &mut HashMap<String, Count>,
) -> Vec<AlertChange> {
    let mut changes = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let known = now.instances.remove(&rule.id).unwrap_or_default();
        let count = count_of(counts, rule);
        count.instances = count.instances.saturating_sub(known.len());
        if !rule.is_for(groups) {
            let at_us = moment.snapshot.captured_at_us;
            changes.extend(end_all(rule, moment.host, known, Change::RuleChanged, at_us));
            continue;
        }
        let mut room = Room { rule: &rule.id, fleet: count, told: &mut now.too_many };
        let known = moment.evaluate(plan.planned(number, rule), known, &mut room, &mut changes);
        room.settle(known.len());
        if !known.is_empty() {
            now.instances.insert(rule.id.clone(), known);
        }
    }
    changes
}

/// The instances of a rule in the whole fleet.
fn count_of<'a>(counts: &'a mut HashMap<String, Count>, rule: &Rule) -> &'a mut Count {
    counts.entry(rule.id.clone()).or_default()
}

/// The ends of the alerts of a rule on a host.
fn end_all(
    rule: &Rule,
    host: &HostName,
    instances: Instances,
    why: Change,
    at_us: i64,
) -> impl Iterator<Item = AlertChange> {
    instances.into_iter().filter_map(move |(key, mut instance)| {
        let raise = instance.end()?;
        Some(AlertChange::end(Alert::of(rule, host, &key, raise), why, at_us))
    })
}

#[cfg(test)]
#[path = "evaluator_tests.rs"]
mod tests;
