//! What is remembered of a host between two of its messages.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::Arc,
};

use fleetps_nats::{
    HostName, Snapshot,
    model::{Spacing, rate, staleness},
};
use serde::{Deserialize, Serialize};

use super::{
    alert::{Alert, AlertChange},
    extremes::Extremes,
    growth::Growths,
    instance::{Instance, Observation},
    learned::Learned,
    measure::Key,
    memories::Memories,
    presence::Presences,
    rule::{Needs, Rule},
};
use crate::events::{MessagePlace, StreamClock};

/// The instances of one rule on a host of which something is to be remembered.
pub(super) type Instances = BTreeMap<Key, Instance>;

/// What is known of a host.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct EvaluatedHost {
    boot_id: String,
    captured_at_us: i64,
    pub(super) stored_ms: i64,
    monotonic_ms: u64,
    interval_ms: u32,
    /// Processes that the kernel had killed since boot because memory was short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oom_kills: Option<u64>,
    /// The last snapshot, where some rule needs it. Not kept over a restart: it is read again.
    #[serde(skip)]
    pub(super) previous: Option<Arc<Snapshot>>,
    /// By the rule's id.
    pub(super) instances: HashMap<String, Instances>,
    /// The rules of which it was told that they have too many instances here.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) too_many: BTreeSet<String>,
    /// When each part of fleetps that runs on it told of itself last, in ms by the broker's clock.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) parts: BTreeMap<String, i64>,
    /// How its file systems have grown, where some rule asks when they will be full.
    #[serde(default, skip_serializing_if = "Growths::is_empty")]
    growths: Growths,
    /// The time since its processes were looked at for what is learned of them, in ms.
    #[serde(default, skip_serializing_if = "is_zero")]
    waited_ms: u64,
    /// How the memory of its processes has grown, where some rule asks when that will be used up.
    #[serde(default, skip_serializing_if = "Memories::is_empty")]
    memories: Memories,
    /// What its figures were in the last week, where some rule asks what is unusual.
    #[serde(default, skip_serializing_if = "Extremes::is_empty")]
    extremes: Extremes,
    /// The services that it has always, where some rule asks which are gone.
    #[serde(default, skip_serializing_if = "Presences::is_empty")]
    services: Presences,
    /// The same of programs.
    #[serde(default, skip_serializing_if = "Presences::is_empty")]
    programs: Presences,
}

impl EvaluatedHost {
    pub(super) fn of(snapshot: &Arc<Snapshot>, stored_at_us: i64, needs: Needs) -> Self {
        Self {
            boot_id: snapshot.boot_id.clone(),
            captured_at_us: snapshot.captured_at_us,
            stored_ms: stored_at_us.div_euclid(1000),
            monotonic_ms: snapshot.monotonic_ms,
            interval_ms: snapshot.interval_ms,
            oom_kills: snapshot.host.oom_kills,
            previous: kept(snapshot, needs),
            instances: HashMap::new(),
            too_many: BTreeSet::new(),
            parts: BTreeMap::new(),
            growths: Growths::default(),
            waited_ms: 0,
            memories: Memories::default(),
            extremes: Extremes::default(),
            services: Presences::default(),
            programs: Presences::default(),
        }
    }

    /// The same without what is learned over hours and days.
    pub(super) fn without_learned(&self) -> Self {
        let mut known = self.clone();
        known.take_learned();
        known
    }

    /// Takes out what is learned.
    pub(super) fn take_learned(&mut self) -> Learned {
        Learned {
            waited_ms: mem::take(&mut self.waited_ms),
            growths: mem::take(&mut self.growths),
            memories: mem::take(&mut self.memories),
            extremes: mem::take(&mut self.extremes),
            services: mem::take(&mut self.services),
            programs: mem::take(&mut self.programs),
        }
    }

    /// Puts in what is learned.
    pub(super) fn put_learned(&mut self, learned: Learned) {
        let Learned { waited_ms, growths, memories, extremes, services, programs } = learned;
        (self.waited_ms, self.growths, self.memories, self.extremes) =
            (waited_ms, growths, memories, extremes);
        (self.services, self.programs) = (services, programs);
    }

    /// The processes whose memory is looked at: pid, and the other half of the identity.
    pub(super) fn large_processes(&self) -> impl Iterator<Item = (u32, i64)> {
        self.memories.processes()
    }

    /// One of which only an alert is known, which was decided at `stored_ms`.
    pub(super) fn heard_at(stored_ms: i64) -> Self {
        Self { stored_ms, ..Self::default() }
    }

    /// Whether no snapshot of it has come: parts of fleetps run on it, and no agent.
    pub(super) fn has_no_agent(&self) -> bool {
        self.interval_ms == 0
    }

    /// Takes `snapshot` for the last one if it is that: it is read again after a restart.
    pub(super) fn recall(&mut self, snapshot: &Arc<Snapshot>, needs: Needs) {
        let last = (&self.boot_id, self.captured_at_us, self.monotonic_ms);
        if last == (&snapshot.boot_id, snapshot.captured_at_us, snapshot.monotonic_ms) {
            self.previous = kept(snapshot, needs);
        }
    }

    /// When its last snapshot was captured, in µs since 1970 UTC.
    pub(super) fn captured_at_us(&self) -> i64 {
        self.captured_at_us
    }

    pub(super) fn is_same_boot(&self, next: &Self) -> bool {
        self.boot_id == next.boot_id
    }

    /// Whether it was captured after `snapshot`, which arrived late.
    pub(super) fn is_later(&self, snapshot: &Snapshot) -> bool {
        self.boot_id == snapshot.boot_id && snapshot.captured_at_us <= self.captured_at_us
    }

    /// The time from this snapshot to the next one, in ms; absent where the host was silent meanwhile, or booted.
    pub(super) fn observed_ms(&self, next: &Self) -> Option<u64> {
        let elapsed_ms =
            next.monotonic_ms.checked_sub(self.monotonic_ms).filter(|_| self.is_same_boot(next))?;
        let longest_ms =
            staleness::silent_after_ms(self.interval_ms.max(next.interval_ms), Spacing::EverySample);
        Some(elapsed_ms)
            .filter(|elapsed_ms| i64::try_from(*elapsed_ms).is_ok_and(|elapsed_ms| elapsed_ms <= longest_ms))
    }

    /// How many processes the kernel killed per second from this snapshot to the next one of the same boot, because memory was
    /// short. Other than rates in general it is known after any gap: a counter of so rare an event says all by having grown.
    pub(super) fn killed_per_s(&self, next: &Self) -> Option<f64> {
        let elapsed_ms =
            next.monotonic_ms.checked_sub(self.monotonic_ms).filter(|_| self.is_same_boot(next))?;
        rate::of_counter(self.oom_kills, next.oom_kills, i64::try_from(elapsed_ms).ok()?)
    }

    /// When it falls silent, in ms by the broker's clock. One that was never heard of since a start says nothing.
    fn silent_at_ms(&self, clock: StreamClock) -> Option<i64> {
        let quiet_ms = staleness::silent_after_ms(self.interval_ms, Spacing::EverySample);
        (self.interval_ms > 0).then(|| clock.silent_at_ms(self.stored_ms, quiet_ms))
    }

    /// When the rule `rule` about silence raises an alert unless something comes, in ms by the broker's clock.
    pub(super) fn awaited_ms(&self, rule: &Rule, clock: StreamClock) -> Option<i64> {
        if self.silence(rule).is_some_and(Instance::is_raised) {
            return None;
        }
        Some(self.silent_at_ms(clock)?.saturating_add((rule.threshold.raise * 1000.0) as i64))
    }

    fn silence(&self, rule: &Rule) -> Option<&Instance> {
        self.instances.get(&rule.id)?.get(&Key::Host)
    }

    /// What a rule about silence says of the host now: that it is silent. That it is no longer only a snapshot says.
    pub(super) fn pass_time(
        &mut self,
        rule: &Rule,
        host: &HostName,
        place: MessagePlace,
        clock: StreamClock,
    ) -> Option<AlertChange> {
        let silent_ms = clock.now_ms.unwrap_or_default().saturating_sub(self.silent_at_ms(clock)?).max(0);
        let seconds = silent_ms as f64 / 1000.0;
        let is_raised = self.silence(rule).is_some_and(Instance::is_raised);
        let value = (!is_raised && rule.threshold.is_hit(seconds)).then_some(seconds);
        if value.is_none() && self.silence(rule).is_none() {
            return None;
        }
        let at_us = place.stored_at_us;
        let instances = self.instances.entry(rule.id.clone()).or_default();
        let instance = instances.entry(Key::Host).or_default();
        let observed = Observation { value, at_us, sequence: place.sequence, since_ms: Some(0) };
        let told = instance.step(rule, observed);
        if instance.is_idle(at_us) {
            self.instances.remove(&rule.id);
        }
        let (told, raise) = told?;
        let alert = Alert::of(rule, host, &Key::Host, raise);
        Some(AlertChange { alert, change: told.into(), at_us, value, culprits: Vec::new() })
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What is kept of a snapshot for the one after it.
fn kept(snapshot: &Arc<Snapshot>, needs: Needs) -> Option<Arc<Snapshot>> {
    match needs {
        Needs::Nothing => None,
        Needs::Processes => Some(Arc::clone(snapshot)),
        Needs::Host => Some(Arc::new(Snapshot {
            boot_id: snapshot.boot_id.clone(),
            run_id: snapshot.run_id.clone(),
            sequence: snapshot.sequence,
            captured_at_us: snapshot.captured_at_us,
            interval_ms: snapshot.interval_ms,
            monotonic_ms: snapshot.monotonic_ms,
            agent: snapshot.agent.clone(),
            host: snapshot.host.clone(),
            ..Snapshot::default()
        })),
    }
}
