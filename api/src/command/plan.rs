//! A plan: several commands, one after the other or some at a time.
//!
//! The first goes alone. Then as many go at a time as the plan says, until as many have failed as it bears; the others are
//! cancelled. A command is signed only when its turn comes, so that a plan that is stopped leaves nothing that could be
//! executed.

use fleetps_nats::command::CommandId;
use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    driver::Driver,
    record::{State, Step},
};

/// How a plan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Commands that go on at a time, after the first.
    pub parallel: usize,
    /// Commands that may fail before the rest is cancelled, at least 1.
    pub stop_after: usize,
}

impl Default for Pace {
    /// Five at a time, and no more after the first failure.
    fn default() -> Self {
        Self { parallel: 5, stop_after: 1 }
    }
}

impl Driver {
    /// Does the commands of a plan; returns when all of them are over.
    pub(super) async fn carry_out(&self, commands: Vec<CommandId>, pace: Pace) {
        let mut waiting = commands.into_iter();
        let mut under_way = FuturesUnordered::new();
        let (mut at_once, mut failures) = (1, 0);
        loop {
            while under_way.len() < at_once && failures < pace.stop_after {
                let Some(id) = waiting.next() else { break };
                under_way.push(async move {
                    self.drive(&id).await;
                    self.has_failed(&id)
                });
            }
            let Some(has_failed) = under_way.next().await else { break };
            failures += usize::from(has_failed);
            at_once = pace.parallel.max(1);
        }
        for id in waiting {
            self.stop(&id, failures).await;
        }
    }

    /// Whether the plan counts it as a failure. What a person has cancelled is none.
    fn has_failed(&self, id: &CommandId) -> bool {
        let state = self.store.get(id.as_str()).map(|record| record.state());
        !matches!(state, None | Some(State::Done | State::Cancelled))
    }

    async fn stop(&self, id: &CommandId, failures: usize) {
        let Some(record) = self.store.get(id.as_str()) else { return };
        let said = format!(
            "It was not sent: the plan was stopped after {failures} of its commands did not succeed."
        );
        self.enter_surely(&record, Step::now(State::Cancelled).saying(said)).await;
    }
}
