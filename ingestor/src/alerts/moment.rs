//! One snapshot, as the rules look at it.

use fleetps_nats::{HostName, Snapshot};

use super::{
    MAX_INSTANCES,
    alert::{Alert, AlertChange, Change},
    instance::{Instance, Observation},
    known_host::Instances,
    measure::{Key, Measured},
    rule::{Measure, Over, Rule},
};

/// An instance is gone after it was absent for as many intervals, as a host is silent then.
const GONE_AFTER_INTERVALS: u64 = 3;

/// How many instances of a rule there are in the whole fleet.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) instances: usize,
    /// Whether it was told that there are too many.
    pub(super) is_told: bool,
    /// Alerts that were not raised for that.
    pub(super) beyond: u64,
}

/// A snapshot, and what is known of its host.
pub(super) struct Moment<'a> {
    pub(super) host: &'a HostName,
    pub(super) measured: &'a Measured<'a>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) sequence: u64,
    pub(super) since_ms: Option<u64>,
    pub(super) is_same_boot: bool,
}

impl Moment<'_> {
    /// Takes the values of `rule`; returns the instances that something is to be remembered of.
    pub(super) fn evaluate(
        &self,
        rule: &Rule,
        known: Instances,
        count: &mut Count,
        changes: &mut Vec<AlertChange>,
    ) -> Instances {
        match rule.measure {
            Measure::Silent => return self.heard(rule, known, changes),
            Measure::RestartLoop => return known,
            _ => {}
        }
        // A filter that took too long says nothing.
        let Ok(values) = self.measured.values(rule) else { return known };
        let mut kept = Instances::new();
        for (key, mut instance) in known {
            if values.contains_key(&key) && (self.is_same_boot || rule.over != Over::Process) {
                kept.insert(key, instance);
                continue;
            }
            match self.missing(&key, &mut instance) {
                Some(why) => {
                    let alert = instance.end().map(|raise| Alert::of(rule, self.host, &key, raise));
                    changes.extend(
                        alert.map(|alert| AlertChange::end(alert, why, self.snapshot.captured_at_us)),
                    );
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
                count.beyond += u64::from(change.is_some());
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

    /// The host is heard of: its silence is over.
    fn heard(&self, rule: &Rule, mut known: Instances, changes: &mut Vec<AlertChange>) -> Instances {
        for (key, instance) in &mut known {
            changes.extend(self.step(rule, key, instance, Some(0.0)));
        }
        known.retain(|_, instance| !instance.is_idle(self.snapshot.captured_at_us));
        known
    }

    fn too_many(&self, rule: &Rule, count: &mut Count) -> Option<AlertChange> {
        if std::mem::replace(&mut count.is_told, true) {
            return None;
        }
        let raise = (self.snapshot.captured_at_us, self.sequence);
        let alert = Alert::of(rule, self.host, &Key::Others, raise);
        let value = Some(count.instances as f64);
        Some(AlertChange { alert, change: Change::TooMany, at_us: raise.0, value, culprits: Vec::new() })
    }

    /// Why an instance that has no value is no more; `None` where that is not known.
    fn missing(&self, key: &Key, instance: &mut Instance) -> Option<Change> {
        let is_whole = self.snapshot.processes_left_out == 0;
        if let Key::Process { pid, start, .. } = key
            && (!self.is_same_boot || !self.measured.has_process(*pid, *start))
        {
            return (!self.is_same_boot || is_whole).then_some(Change::Exited);
        }
        instance.gone_ms = instance.gone_ms.saturating_add(self.since_ms.unwrap_or_default());
        let gone_after_ms = u64::from(self.snapshot.interval_ms).saturating_mul(GONE_AFTER_INTERVALS);
        (instance.gone_ms >= gone_after_ms && is_whole).then_some(Change::Gone)
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
        let told = instance.step(rule, observed);
        if gone_ms > 0 && rule.measure == Measure::Count {
            // None of something is a value, and still it is gone in the end.
            instance.gone_ms = gone_ms;
        }
        let (told, raise) = told?;
        let change = Change::from(told);
        let culprits = match change {
            Change::Raised | Change::Flapping | Change::Steady => self.measured.culprits(rule, key),
            _ => Vec::new(),
        };
        Some(AlertChange { alert: Alert::of(rule, self.host, key, raise), change, at_us, value, culprits })
    }
}
