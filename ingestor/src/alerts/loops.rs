//! Alerts of programs that are restarted again and again: from the event of that name to the one of its end.

use super::{
    alert::{Alert, AlertChange, Change},
    evaluated_host::EvaluatedHost,
    instance::Observation,
    measure::Key,
    room::{Count, Room},
    rule::Rule,
};
use crate::events::{Event, EventKind, MessagePlace};

impl EvaluatedHost {
    /// What `rule` says of an event by the message at `place`: of a restart loop that began or ended.
    pub(super) fn note_loop(
        &mut self,
        rule: &Rule,
        place: MessagePlace,
        event: &Event,
        count: &mut Count,
    ) -> Option<AlertChange> {
        let value = match event.kind {
            EventKind::RestartLoop => 1.0,
            EventKind::RestartLoopEnded => 0.0,
            _ => return None,
        };
        let (key, at_us) = (key_of(event), event.at_us);
        let mut instances = self.instances.remove(&rule.id).unwrap_or_default();
        count.instances = count.instances.saturating_sub(instances.len());
        let mut room = Room { rule: &rule.id, fleet: count, told: &mut self.too_many };
        let before = instances.remove(&key);
        let is_new = before.is_none();
        let mut instance = before.unwrap_or_default();
        let observed = Observation { value: Some(value), at_us, sequence: place.sequence, since_ms: Some(0) };
        let told = instance.step(rule, observed);
        instances.retain(|_, instance| !instance.is_idle(at_us));
        let change = |key: &Key, change, raise, value| {
            let alert = Alert::of(rule, &event.host, key, raise);
            AlertChange { alert, change, at_us, value, culprits: Vec::new() }
        };
        let told = if is_new && !instance.is_idle(at_us) && room.is_full(instances.len()) {
            let count = room.refuse(instances.len(), told.is_some());
            count.map(|count| {
                change(&Key::Others, Change::TooMany, (at_us, place.sequence), Some(count as f64))
            })
        } else {
            let lives = event.lives.map(f64::from);
            let told = told.map(|(told, raise)| change(&key, told.into(), raise, lives));
            if !instance.is_idle(at_us) {
                instances.insert(key, instance);
            }
            told
        };
        room.settle(instances.len());
        if !instances.is_empty() {
            self.instances.insert(rule.id.clone(), instances);
        }
        told
    }
}

/// The program, with what starts it.
fn key_of(event: &Event) -> Key {
    let name = event.name().unwrap_or_default();
    Key::Named(match &event.supervisor {
        Some(by) => format!("{name} ({by})"),
        None => name.to_owned(),
    })
}
