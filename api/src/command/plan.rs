//! A plan: several commands, one after the other or some at a time.
//!
//! They go one at a time until one is done. Then as many go at a time as the plan says. When as many have failed as it bears, the
//! others are cancelled; every end but `done` is a failure, except that a person has cancelled the command. A command is signed
//! only when its turn comes, so that a plan that is stopped leaves nothing that could be executed. One that a person has cancelled
//! gives its place back at once, also while others are under way.

use std::collections::VecDeque;

use fleetps_nats::command::CommandId;
use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    driver::Driver,
    room::Place,
    step::{State, Step},
};

/// How a plan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Commands that go on at a time, after the first that is done.
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

/// How a command of a plan ended.
enum End {
    Done,
    /// A person has cancelled it.
    CalledOff,
    Failed,
}

impl Driver {
    /// Does the commands of a plan, each of which gives its place back when it is over; returns when all of them are.
    pub(super) async fn carry_out(&self, commands: Vec<(CommandId, Place)>, pace: Pace) {
        let mut waiting = VecDeque::from(commands);
        let mut under_way = FuturesUnordered::new();
        let mut changed = self.store.watch();
        let (mut at_once, mut failures) = (1, 0);
        loop {
            waiting.retain(|(id, _)| !self.is_called_off(id));
            while under_way.len() < at_once && failures < pace.stop_after {
                let Some((id, place)) = waiting.pop_front() else { break };
                under_way.push(async move {
                    self.drive(&id).await;
                    drop(place);
                    self.end_of(&id)
                });
            }
            tokio::select! {
                end = under_way.next() => match end {
                    None => break,
                    Some(End::Done) => at_once = pace.parallel.max(1),
                    Some(End::CalledOff) => {}
                    Some(End::Failed) => failures += 1,
                },
                // Somebody may have cancelled what waits.
                Ok(()) = changed.changed() => {}
            }
        }
        for (id, _place) in waiting {
            self.stop(&id, failures).await;
        }
    }

    /// Whether a person has cancelled it.
    fn is_called_off(&self, id: &CommandId) -> bool {
        self.store.get(id.as_str()).is_some_and(|record| record.is_called_off())
    }

    fn end_of(&self, id: &CommandId) -> End {
        match self.store.get(id.as_str()) {
            Some(record) if record.state() == State::Done => End::Done,
            Some(record) if record.is_called_off() => End::CalledOff,
            _ => End::Failed,
        }
    }

    async fn stop(&self, id: &CommandId, failures: usize) {
        let Some(record) = self.store.get(id.as_str()) else { return };
        let said = format!(
            "It was not sent: the plan was stopped after {failures} of its commands did not succeed."
        );
        self.cancel(&record, Step::now(State::Cancelled).saying(said)).await;
    }
}
