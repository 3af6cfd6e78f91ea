//! Decides a burst: a function of the ledger, the transitions, and what people say of routes and silences.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ledger::{Ledger, Outgoing, Waiting},
    links::Links,
    translate::{Case, Told},
};
use crate::notify::{KeptBack, Kind, Notification, Plan, Planned, Rules, Why, plan, plan_escalated};

/// Alerts that wait to be acknowledged: one for each of ten thousand hosts. Further ones are not escalated.
pub(super) const MAX_WAITING: usize = 10_000;

/// What is decided.
#[derive(Debug, PartialEq)]
pub(super) struct Decided {
    /// The ledger afterwards.
    pub(super) ledger: Ledger,
    /// What nobody is told of, and why.
    pub(super) kept_back: Vec<KeptBack>,
    /// Alerts that are not escalated for want of room.
    pub(super) not_escalated: u64,
    /// Alerts that are told and whose end will not be, for want of room.
    pub(super) forgotten: u64,
}

/// What decisions are made by.
pub(super) struct By<'a> {
    pub(super) rules: &'a Rules,
    /// Channels that there are.
    pub(super) channels: &'a BTreeSet<String>,
    pub(super) links: &'a Links,
    /// µs since 1970 UTC.
    pub(super) now_us: i64,
}

/// Decides transitions, the last of which is at `position`.
pub(super) fn decide(ledger: &Ledger, told: Vec<Told>, position: u64, by: &By<'_>) -> Decided {
    let mut decided = Decided::beginning(ledger, by);
    decided.ledger.position = position;
    // The first of an alert is its beginning: the last that is collected under a key stays.
    let sequences: BTreeMap<String, u64> =
        told.iter().rev().map(|told| (told.notification.thread.clone(), told.sequence)).collect();
    let ended: BTreeSet<String> =
        told.iter().filter(|it| it.ends()).map(|it| it.notification.thread.clone()).collect();
    let endless: Vec<String> = told
        .iter()
        .filter(|told| told.case == Case::Endless)
        .map(|told| told.notification.thread.clone())
        .collect();
    let headlines = headlines(&told);
    let batch = decided.sort_out(told);
    let plan = plan(batch, by.rules, &mut decided.ledger.threads);
    decided.ledger.escalations.retain(|waiting| !ended.contains(&waiting.alert));
    decided.escalate_later(&plan, &ended, &sequences, by.now_us);
    decided.take(plan, &headlines, by);
    decided.ledger.forget(&endless);
    decided
}

/// Decides alerts that nobody acknowledged in time: what is told of each, and to whom.
pub(super) fn escalate(
    ledger: &Ledger,
    due: &[Waiting],
    told: Vec<(Notification, Vec<String>)>,
    by: &By<'_>,
) -> Decided {
    let mut decided = Decided::beginning(ledger, by);
    decided.ledger.escalations.retain(|waiting| !due.contains(waiting));
    let headlines = told.iter().map(|(told, _)| (told.id.clone(), (told.at_us, told.headline()))).collect();
    let is_due = |(told, _): &(Notification, _)| due.iter().any(|waiting| waiting.alert == told.thread);
    let existing = |(told, channels): (Notification, Vec<String>)| {
        (told, channels.into_iter().filter(|channel| by.channels.contains(channel)).collect())
    };
    let told = told.into_iter().filter(is_due).map(existing).collect();
    let plan = plan_escalated(told, by.rules, &mut decided.ledger.threads);
    decided.take(plan, &headlines, by);
    decided
}

type Headlines = BTreeMap<String, (i64, String)>;

/// What a silence is said to have kept back, by the transition's id.
fn headlines(told: &[Told]) -> Headlines {
    let line = |told: &Told| {
        let notification = told.notification.clone().cleaned();
        (told.notification.id.clone(), (notification.at_us, notification.headline()))
    };
    told.iter().map(line).collect()
}

impl Told {
    /// Whether nobody has to acknowledge it any longer. What has no end cannot be acknowledged.
    fn ends(&self) -> bool {
        self.notification.kind == Kind::Resolved || self.case == Case::Endless
    }
}

impl Decided {
    fn beginning(ledger: &Ledger, by: &By<'_>) -> Self {
        let mut ledger = ledger.clone();
        ledger.threads.retain(|channel, threads| by.channels.contains(channel) && !threads.is_empty());
        ledger.muted.retain(|silence, _| by.rules.silences.contains_key(silence));
        Self { ledger, kept_back: Vec::new(), not_escalated: 0, forgotten: 0 }
    }

    /// Keeps back what nobody is told of in any case; returns the others.
    fn sort_out(&mut self, told: Vec<Told>) -> Vec<Notification> {
        let mut batch = Vec::new();
        for Told { notification, case, .. } in told {
            match case {
                Case::Usual | Case::Endless => batch.push(notification),
                Case::Late => self.keep_back(notification.id, Why::Late),
                Case::RuleChanged => {
                    self.ledger.forget([&notification.thread]);
                    self.keep_back(notification.id, Why::RuleChanged);
                }
            }
        }
        batch
    }

    fn keep_back(&mut self, id: String, why: Why) {
        self.kept_back.push(KeptBack { id, why });
    }

    fn escalate_later(
        &mut self,
        plan: &Plan,
        ended: &BTreeSet<String>,
        sequences: &BTreeMap<String, u64>,
        now_us: i64,
    ) {
        for to_escalate in plan.to_escalate.iter().filter(|it| !ended.contains(&it.alert)) {
            let after_us = i64::try_from(to_escalate.escalation.after.as_micros()).unwrap_or(i64::MAX);
            let waiting = Waiting {
                alert: to_escalate.alert.clone(),
                sequence: sequences.get(&to_escalate.alert).copied().unwrap_or_default(),
                due_us: to_escalate.waits_until_us.unwrap_or(now_us).max(now_us).saturating_add(after_us),
                channels: to_escalate.escalation.channels.clone(),
            };
            match self.ledger.escalations.len() {
                0..MAX_WAITING => self.ledger.escalations.push(waiting),
                _ => self.not_escalated += 1,
            }
        }
    }

    /// Takes what is planned.
    fn take(&mut self, plan: Plan, headlines: &Headlines, by: &By<'_>) {
        self.forgotten += plan.forgotten as u64;
        for Planned { channel, message, not_before_us } in plan.messages {
            let notification = by.links.onto(message);
            self.ledger.outgoing.push(Outgoing { channel, notification, not_before_us });
        }
        for kept_back in plan.kept_back {
            if let (Why::Silenced(silence), Some((at_us, line))) =
                (&kept_back.why, headlines.get(&kept_back.id))
            {
                self.ledger.muted.entry(silence.clone()).or_default().note(*at_us, line.clone());
            }
            self.kept_back.push(kept_back);
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
