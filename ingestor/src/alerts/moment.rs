//! One snapshot, as the rules look at it.

use fleetps_nats::{HostName, Snapshot, snapshot::FilesystemSample};

use super::{
    alert::{Alert, AlertChange, Change},
    evaluated_host::Instances,
    instance::{Instance, Observation},
    learned::Learned,
    measure::Key,
    measured::{ValueOf, Values},
    plan::Planned,
    room::Room,
    rule::{Measure, Over, Rule},
};

/// An instance is gone after it was absent for as many intervals, as a host is silent then.
const GONE_AFTER_INTERVALS: u64 = 3;

/// A snapshot, and what is known of its host.
pub(super) struct Moment<'a> {
    pub(super) host: &'a HostName,
    pub(super) values: &'a dyn Values,
    pub(super) snapshot: &'a Snapshot,
    pub(super) sequence: u64,
    pub(super) since_ms: Option<u64>,
    pub(super) is_same_boot: bool,
    /// What is learned of the host until now.
    pub(super) learned: &'a Learned,
    /// Processes per second that the kernel killed because memory was short, while the host was silent; absent where it was not.
    pub(super) killed_over_gap: Option<f64>,
}

impl Moment<'_> {
    /// Takes the values of a rule; returns the instances that something is to be remembered of.
    pub(super) fn evaluate(
        &self,
        planned: Planned<'_>,
        known: Instances,
        room: &mut Room<'_>,
        changes: &mut Vec<AlertChange>,
    ) -> Instances {
        match planned.rule.measure {
            Measure::Silent => return self.heard(planned, known, changes),
            // Of these other messages tell.
            Measure::RestartLoop | Measure::Own(_) => return known,
            _ => {}
        }
        let keys: Vec<&Key> = known.keys().collect();
        let values = match planned.rule.measure {
            Measure::DiskFullIn => Ok(self.disks_full_in()),
            Measure::MemoryFullIn => Ok(self.learned.memories.full_in_s(self.snapshot, &keys)),
            Measure::Unusual => Ok(self.learned.extremes.beyond()),
            Measure::Gone => Ok(self.missed(planned.rule, &keys)),
            Measure::Host(figure) if figure.is_of_kills() && self.killed_over_gap.is_some() => {
                Ok(ValueOf::from([(Key::Host, self.killed_over_gap)]))
            }
            _ => self.values.values(planned, &keys),
        };
        // A filter that took too long says nothing.
        let Ok(values) = values else { return known };
        let mut kept = self.keep_present(planned, known, &values, changes);
        for (key, value) in values {
            let before = kept.remove(&key);
            let is_new = before.is_none();
            let mut instance = before.unwrap_or_default();
            let change = self.step(planned, &key, &mut instance, value);
            if instance.is_idle(self.snapshot.captured_at_us) {
                changes.extend(change);
            } else if is_new && room.is_full(kept.len()) {
                let told = room.refuse(kept.len(), change.is_some());
                changes.extend(told.map(|count| self.too_many(planned.rule, count)));
            } else {
                changes.extend(change);
                kept.insert(key, instance);
            }
        }
        kept
    }

    /// Ends those of the known instances that are gone; returns the others. Those without a value take that they have none.
    fn keep_present(
        &self,
        planned: Planned<'_>,
        known: Instances,
        values: &ValueOf,
        changes: &mut Vec<AlertChange>,
    ) -> Instances {
        let rule = planned.rule;
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
                    changes.extend(self.step(planned, &key, &mut instance, self.value_of_missing(rule)));
                    kept.insert(key, instance);
                }
            }
        }
        kept
    }

    /// When each file system will be full.
    fn disks_full_in(&self) -> ValueOf {
        let full_in =
            |disk: &FilesystemSample| (Key::Named(disk.mount.clone()), self.learned.growths.full_in_s(disk));
        self.snapshot.filesystems.iter().map(full_in).collect()
    }

    /// How long what was always there is missed.
    fn missed(&self, rule: &Rule, known: &[&Key]) -> ValueOf {
        let name = |key: &&'_ Key| match key {
            Key::Named(name) => Some(name.clone()),
            _ => None,
        };
        let known: Vec<String> = known.iter().filter_map(name).collect();
        let missed = self.learned.present(rule.over);
        let missed = missed.missed_s(rule.threshold.raise, known.iter().map(String::as_str));
        missed.into_iter().map(|(name, missed_s)| (Key::Named(name.to_owned()), missed_s)).collect()
    }

    /// The host is heard of: its silence is over.
    fn heard(&self, planned: Planned<'_>, mut known: Instances, changes: &mut Vec<AlertChange>) -> Instances {
        for (key, instance) in &mut known {
            changes.extend(self.step(planned, key, instance, Some(0.0)));
        }
        known.retain(|_, instance| !instance.is_idle(self.snapshot.captured_at_us));
        known
    }

    fn too_many(&self, rule: &Rule, count: usize) -> AlertChange {
        let raise = (self.snapshot.captured_at_us, self.sequence);
        let alert = Alert::of(rule, self.host, &Key::Others, raise);
        let value = Some(count as f64);
        AlertChange { alert, change: Change::TooMany, at_us: raise.0, value, culprits: Vec::new() }
    }

    /// Why an instance that has no value is no more; `None` where that is not known.
    fn missing(&self, key: &Key, instance: &mut Instance) -> Option<Change> {
        let is_whole = self.snapshot.processes_left_out == 0;
        if let Key::Process { pid, start, .. } = key
            && (!self.is_same_boot || !self.values.has_process(*pid, *start))
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
        planned: Planned<'_>,
        key: &Key,
        instance: &mut Instance,
        value: Option<f64>,
    ) -> Option<AlertChange> {
        let rule = planned.rule;
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
            Change::Raised | Change::Flapping | Change::Steady => self.values.culprits(planned, key),
            _ => Vec::new(),
        };
        Some(AlertChange { alert: Alert::of(rule, self.host, key, raise), change, at_us, value, culprits })
    }
}
