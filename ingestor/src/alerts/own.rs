//! Alerts about fleetps itself: of what its parts say in the stream.

use std::{collections::HashMap, mem, sync::Arc};

use fleetps_nats::{
    HostName,
    own_figures::{OwnFigures, TELL_EVERY},
};

use super::{
    MAX_INSTANCES_OF_HOST,
    alert::{Alert, AlertChange, Change},
    evaluated_host::EvaluatedHost,
    instance::Observation,
    measure::Key,
    room::Count,
    rule::{Measure, Rule},
};
use crate::events::MessagePlace;

/// A part that told nothing for so many times in a row was away: its clocks stop.
const GAP_AFTER_TIMES: u64 = 4;
/// A part that told nothing for so long is no more, in ms: a day, which a server may be down for repair.
const AWAY_AFTER_MS: i64 = 24 * 3_600_000;

impl EvaluatedHost {
    /// Takes note that a part has told at `stored_ms`; the time since it did before, in ms, unless it was away meanwhile.
    pub(super) fn hear_part(&mut self, told: &OwnFigures, stored_ms: i64) -> Option<u64> {
        if self.has_no_agent() {
            self.stored_ms = self.stored_ms.max(stored_ms);
        }
        if self.parts.len() >= MAX_INSTANCES_OF_HOST && !self.parts.contains_key(&told.part) {
            return None;
        }
        let before_ms = self.parts.insert(told.part.clone(), stored_ms)?;
        let since_ms = u64::try_from(stored_ms.saturating_sub(before_ms)).ok()?;
        Some(since_ms)
            .filter(|since_ms| u128::from(*since_ms) <= TELL_EVERY.as_millis() * u128::from(GAP_AFTER_TIMES))
    }

    /// Takes out what is about the parts of fleetps that run on this host: they do, whatever becomes of its agent. `None` where
    /// none has told of itself for a day.
    pub(super) fn of_parts(&mut self, rules: &[Arc<Rule>], now_ms: i64) -> Option<Self> {
        let mut parts = mem::take(&mut self.parts);
        parts.retain(|_, told_ms| now_ms.saturating_sub(*told_ms) <= AWAY_AFTER_MS);
        if parts.is_empty() {
            return None;
        }
        let own = rules.iter().filter(|rule| matches!(rule.measure, Measure::Own(_)));
        let instances = own.filter_map(|rule| self.instances.remove_entry(&rule.id)).collect();
        let mut rests = Self::heard_at(self.stored_ms);
        (rests.parts, rests.instances) = (parts, instances);
        Some(rests)
    }

    /// Ends the alerts of parts of this host that told nothing for a day: they run elsewhere, or no longer.
    pub(super) fn end_parts_away(
        &mut self,
        rules: &[Arc<Rule>],
        (host, place): (&HostName, MessagePlace),
        counts: &mut HashMap<String, Count>,
    ) -> Vec<AlertChange> {
        let (at_us, now_ms) = (place.stored_at_us, place.stored_at_us.div_euclid(1000));
        let away = self.parts.extract_if(.., |_, told_ms| now_ms.saturating_sub(*told_ms) > AWAY_AFTER_MS);
        let away: Vec<Key> = away.map(|(part, _)| Key::Named(part)).collect();
        let mut changes = Vec::new();
        for (rule, key) in rules.iter().flat_map(|rule| away.iter().map(move |key| (rule, key))) {
            let Some(mut instance) = self.instances.get_mut(&rule.id).and_then(|known| known.remove(key))
            else {
                continue;
            };
            if let Some(count) = counts.get_mut(&rule.id) {
                count.instances = count.instances.saturating_sub(1);
            }
            let ended = instance.end().map(|raise| Alert::of(rule, host, key, raise));
            changes.extend(ended.map(|alert| AlertChange::end(alert, Change::Gone, at_us)));
        }
        changes
    }

    /// What `rule` says of what a part has told, by the message at `place`, `since_ms` after it did before.
    pub(super) fn note_own(
        &mut self,
        rule: &Rule,
        (place, since_ms): (MessagePlace, Option<u64>),
        told: &OwnFigures,
        count: &mut Count,
    ) -> Option<AlertChange> {
        let Measure::Own(figure) = rule.measure else { return None };
        let value = Some(told.value(figure)?);
        let (key, at_us) = (Key::Named(told.part.clone()), place.stored_at_us);
        let instances = self.instances.entry(rule.id.clone()).or_default();
        let before = instances.len();
        // Parts are few, and only the fleet's own may tell: more of them are nobody's.
        if before >= MAX_INSTANCES_OF_HOST && !instances.contains_key(&key) {
            return None;
        }
        let instance = instances.entry(key.clone()).or_default();
        let changed = instance.step(rule, Observation { value, at_us, sequence: place.sequence, since_ms });
        if instance.is_idle(at_us) {
            instances.remove(&key);
        }
        count.instances = count.instances.saturating_sub(before) + instances.len();
        if instances.is_empty() {
            self.instances.remove(&rule.id);
        }
        let (changed, raise) = changed?;
        let alert = Alert::of(rule, &told.host, &key, raise);
        Some(AlertChange { alert, change: changed.into(), at_us, value, culprits: Vec::new() })
    }
}
