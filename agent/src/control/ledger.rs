//! What became of the commands of this run.

use std::{collections::VecDeque, time::Duration};

use fleetps_nats::command::{CommandId, Progress};
use tokio::sync::watch;

/// The most commands that are remembered.
const MAX_COMMANDS: usize = 256;
/// For how long: a server that waits for the outcome has asked long before.
const KEEP: Duration = Duration::from_secs(600);

/// The state of a command, followed; absent until it is decided whether it is executed.
pub(super) type Followed = watch::Receiver<Option<Progress>>;

/// The commands, the oldest first. They are not what keeps a command from being executed twice: its ticket is.
#[derive(Debug, Default)]
pub(super) struct Ledger(VecDeque<Entry>);

#[derive(Debug)]
struct Entry {
    id: CommandId,
    at: Duration,
    state: Followed,
}

impl Ledger {
    /// The state of a command.
    pub(super) fn find(&self, id: &CommandId) -> Option<Followed> {
        self.0.iter().find(|entry| entry.id == *id).map(|entry| entry.state.clone())
    }

    /// Remembers a command, whose state is sent by what this returns. Where there is no room, the oldest that has ended makes it;
    /// `None` if none has.
    pub(super) fn add(&mut self, id: CommandId, now: Duration) -> Option<watch::Sender<Option<Progress>>> {
        self.0.retain(|entry| !entry.has_ended() || now.saturating_sub(entry.at) < KEEP);
        if self.0.len() >= MAX_COMMANDS {
            let place = self.0.iter().position(Entry::has_ended)?;
            self.0.remove(place);
        }
        let (state, followed) = watch::channel(None);
        self.0.push_back(Entry { id, at: now, state: followed });
        Some(state)
    }
}

impl Entry {
    fn has_ended(&self) -> bool {
        self.state.borrow().as_ref().is_some_and(|progress| progress.stage.is_final())
    }
}

#[cfg(test)]
mod tests {
    use fleetps_nats::command::Stage;

    use super::*;

    fn id() -> CommandId {
        CommandId::new().unwrap()
    }

    fn add(ledger: &mut Ledger, id: &CommandId, seconds: u64) -> Option<watch::Sender<Option<Progress>>> {
        ledger.add(id.clone(), Duration::from_secs(seconds))
    }

    #[test]
    fn what_has_ended_is_forgotten_when_room_is_needed_or_after_ten_minutes_and_nothing_else_is() {
        let (mut ledger, first, second) = (Ledger::default(), id(), id());
        let running = add(&mut ledger, &first, 0).unwrap();
        let ended = add(&mut ledger, &second, 0).unwrap();
        ended.send_replace(Some(Progress::new(second.clone(), Stage::Done)));
        let others: Vec<_> = (2..MAX_COMMANDS).map(|_| add(&mut ledger, &id(), 1).unwrap()).collect();
        assert!(ledger.find(&second).is_some());
        let more = add(&mut ledger, &id(), 2).unwrap();
        assert!(ledger.find(&second).is_none() && ledger.find(&first).is_some());
        assert!(add(&mut ledger, &id(), 10_000).is_none(), "none has ended");
        running.send_replace(Some(Progress::new(first.clone(), Stage::Expired)));
        assert!(ledger.find(&first).is_some());
        assert!(add(&mut ledger, &id(), 599).is_some());
        assert_eq!((ledger.0.len(), others.len()), (MAX_COMMANDS, MAX_COMMANDS - 2));
        drop(more);
    }

    #[test]
    fn a_command_that_ended_is_remembered_for_ten_minutes() {
        let (mut ledger, first) = (Ledger::default(), id());
        let ended = add(&mut ledger, &first, 0).unwrap();
        ended.send_replace(Some(Progress::new(first.clone(), Stage::Done)));
        add(&mut ledger, &id(), 599).unwrap();
        assert!(ledger.find(&first).is_some());
        add(&mut ledger, &id(), 600).unwrap();
        assert!(ledger.find(&first).is_none());
    }
}
