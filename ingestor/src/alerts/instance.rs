//! One instance of a rule: from value to value, whether an alert is raised.
//!
//! Two thresholds and two lengths of time keep an alert from coming and going with every sample: it is raised when the value was
//! beyond the one throughout the time that the rule says, and cleared when it was within the other as long. An alert that comes
//! and goes all the same is **flapping**: that is told once, and then nothing until it has been steady for half an hour.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::rule::{Lasting, Rule};

/// So many changes within [`FLAPPING_WITHIN_US`] are flapping: three alerts that were raised and cleared.
pub const FLAPPING_CHANGES: usize = 6;
/// Within an hour.
pub const FLAPPING_WITHIN_US: i64 = 3_600_000_000;
/// A flapping alert is steady after this time without a change.
pub const SETTLED_AFTER_US: i64 = 1_800_000_000;

/// An alert of an instance: when it was raised, in µs since 1970 UTC, and the sequence in the stream of the message that did.
pub(super) type Raise = (i64, u64);

/// The state of one instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Instance {
    /// The alert, if it is raised.
    raised: Option<Raise>,
    /// The alert that people know of and that is not cleared for them.
    pub(super) known: Option<Raise>,
    /// For how long the value has been one that would change `raised`, as far as it was observed, in ms; absent where it is
    /// not one.
    held_ms: Option<u64>,
    /// The last samples, the latest in the lowest bit: whether each was such a value.
    samples: u64,
    /// How many of them there are.
    sampled: u8,
    /// The last changes, in µs since 1970 UTC.
    changes: VecDeque<i64>,
    /// Whether it is flapping.
    is_flapping: bool,
    /// For how long it has been gone, as far as that was observed, in ms.
    pub(super) gone_ms: u64,
}

/// A value of an instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    /// Absent where it is not known.
    pub(super) value: Option<f64>,
    /// When it was observed, in µs since 1970 UTC.
    pub(super) at_us: i64,
    /// The sequence in the stream of its message.
    pub(super) sequence: u64,
    /// The time since the host's observation before, in ms; absent after a gap.
    pub(super) since_ms: Option<u64>,
}

/// What people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Raised,
    Cleared,
    Flapping,
    /// It flaps no longer, and is raised.
    Steady,
}

impl Instance {
    /// Takes the next value; what people are to be told, and of which alert.
    pub(super) fn step(&mut self, rule: &Rule, now: Observation) -> Option<(Told, Raise)> {
        let settled = self.settle(now.at_us);
        let Some(value) = now.value else { return settled };
        self.gone_ms = 0;
        let would_change = match self.raised {
            None => rule.threshold.is_hit(value),
            Some(_) => rule.threshold.is_well(value),
        };
        if !self.take(would_change, now.since_ms, rule.lasting) {
            return settled;
        }
        self.change((now.at_us, now.sequence)).or(settled)
    }

    /// Takes a sample; whether it has lasted long enough.
    fn take(&mut self, would_change: bool, since_ms: Option<u64>, lasting: Lasting) -> bool {
        match lasting {
            Lasting::For(length) => {
                let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
                self.held_ms = match (would_change, self.held_ms) {
                    (false, _) => None,
                    (true, None) => Some(0),
                    (true, Some(held_ms)) => Some(held_ms.saturating_add(since_ms.unwrap_or_default())),
                };
                self.held_ms.is_some_and(|held_ms| held_ms >= length_ms)
            }
            Lasting::Samples { hits, of } => {
                let of = of.clamp(1, 64);
                self.samples = self.samples << 1 | u64::from(would_change);
                self.sampled = self.sampled.saturating_add(1).min(of);
                let last = self.samples & (u64::MAX >> (64 - u32::from(self.sampled)));
                last.count_ones() >= u32::from(hits)
            }
        }
    }

    /// Raises or clears it.
    fn change(&mut self, now: Raise) -> Option<(Told, Raise)> {
        let (at_us, _) = now;
        let before = self.raised;
        self.raised = match before {
            None => Some(now),
            Some(_) => None,
        };
        (self.held_ms, self.samples, self.sampled) = (None, 0, 0);
        self.changes.push_back(at_us);
        while self.changes.len() > FLAPPING_CHANGES {
            self.changes.pop_front();
        }
        if self.is_flapping {
            return None;
        }
        let is_flapping = self.changes.len() == FLAPPING_CHANGES
            && self.changes.front().is_some_and(|first| at_us.saturating_sub(*first) <= FLAPPING_WITHIN_US);
        if is_flapping {
            self.is_flapping = true;
            return Some((Told::Flapping, *self.known.get_or_insert(now)));
        }
        match self.raised {
            Some(raised) => {
                self.known = Some(raised);
                Some((Told::Raised, raised))
            }
            None => self.known.take().map(|known| (Told::Cleared, known)),
        }
    }

    /// Ends flapping after half an hour without a change, and says then what is.
    fn settle(&mut self, at_us: i64) -> Option<(Told, Raise)> {
        let last_us = self.changes.back().copied().unwrap_or(i64::MIN);
        if !self.is_flapping || at_us.saturating_sub(last_us) < SETTLED_AFTER_US {
            return None;
        }
        self.is_flapping = false;
        self.changes.clear();
        match self.raised {
            Some(_) => self.known.map(|known| (Told::Steady, known)),
            None => self.known.take().map(|known| (Told::Cleared, known)),
        }
    }

    /// One of which `known` is all that is known: it is raised.
    pub(super) fn raised_at(known: Raise) -> Self {
        Self { raised: Some(known), known: Some(known), ..Self::default() }
    }

    /// Whether the last value that counted was too much.
    pub(super) fn is_raised(&self) -> bool {
        self.raised.is_some()
    }

    /// Ends it, because there is no such instance any longer; the alert that people know of, if any.
    pub(super) fn end(&mut self) -> Option<Raise> {
        std::mem::take(self).known
    }

    /// Whether nothing is to be remembered of it.
    pub(super) fn is_idle(&self, at_us: i64) -> bool {
        let is_recent = |changed_us: &i64| at_us.saturating_sub(*changed_us) <= FLAPPING_WITHIN_US;
        let has_samples = self.held_ms.is_some() || self.samples != 0;
        let is_quiet = self.raised.is_none() && self.known.is_none() && !has_samples;
        is_quiet && !self.changes.back().is_some_and(is_recent)
    }
}

#[cfg(test)]
#[path = "instance_tests.rs"]
mod tests;
