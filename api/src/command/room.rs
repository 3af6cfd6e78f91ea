//! Room for the commands that are under way: bounded for all of them, and for each person, so that nobody locks everybody out. What has
//! a place in it is looked after by this server.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use fleetps_nats::command::CommandId;
use parking_lot::Mutex;

/// Commands that are not over, of this server: each waits for its host, and a person looks at them.
pub(super) const MAX_UNDER_WAY: usize = 1_000;
/// Those of one person: one whole plan, and half of what there is.
pub(super) const MAX_OF_A_PERSON: usize = 500;

/// There is too little room.
#[derive(Debug, thiserror::Error)]
pub enum NoRoom {
    /// For anybody.
    #[error("too many commands are under way; at most {MAX_UNDER_WAY} are at once")]
    ForAnybody,
    /// For this person.
    #[error("too many commands of {0} are under way; at most {MAX_OF_A_PERSON} of one person are at once")]
    For(String),
}

/// The commands that are under way; a clone is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    commands: HashSet<CommandId>,
    /// How many each person has of them.
    of: HashMap<String, usize>,
}

/// Room for one command, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Room,
    id: CommandId,
    who: String,
}

impl Room {
    /// Room for the commands of an order.
    ///
    /// # Errors
    /// When there is too little, for anybody or for this person; nothing is taken then.
    pub(super) fn take(&self, who: &str, commands: &[CommandId]) -> Result<Vec<Place>, NoRoom> {
        let mut taken = self.0.lock();
        let own = taken.of.get(who).copied().unwrap_or_default();
        if own.saturating_add(commands.len()) > MAX_OF_A_PERSON {
            return Err(NoRoom::For(who.to_owned()));
        }
        if taken.commands.len().saturating_add(commands.len()) > MAX_UNDER_WAY {
            return Err(NoRoom::ForAnybody);
        }
        Ok(commands.iter().map(|id| self.place(&mut taken, who, id)).collect())
    }

    /// Room for a command that was left: it was taken, so its person is not asked for room again.
    pub(super) fn take_one_left(&self, who: &str, id: &CommandId) -> Option<Place> {
        let mut taken = self.0.lock();
        let has_room = taken.commands.len() < MAX_UNDER_WAY;
        has_room.then(|| self.place(&mut taken, who, id))
    }

    /// Whether a command is under way.
    pub(super) fn has(&self, id: &CommandId) -> bool {
        self.0.lock().commands.contains(id)
    }

    /// How many commands are under way.
    pub(super) fn in_use(&self) -> usize {
        self.0.lock().commands.len()
    }

    fn place(&self, taken: &mut Taken, who: &str, id: &CommandId) -> Place {
        taken.commands.insert(id.clone());
        *taken.of.entry(who.to_owned()).or_default() += 1;
        Place { room: self.clone(), id: id.clone(), who: who.to_owned() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.0.lock();
        taken.commands.remove(&self.id);
        let left = taken.of.get(&self.who).copied().unwrap_or_default().saturating_sub(1);
        match left {
            0 => taken.of.remove(&self.who),
            left => taken.of.insert(self.who.clone(), left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(count: usize) -> Vec<CommandId> {
        (0..count).map(|_| CommandId::new().unwrap()).collect()
    }

    #[test]
    fn nobody_takes_more_than_half_and_what_is_over_gives_its_place_back() {
        let room = Room::default();
        let mut annas = room.take("anna", &some(MAX_OF_A_PERSON)).unwrap();
        let refused = room.take("anna", &some(1)).unwrap_err();
        assert!(refused.to_string().contains("of anna are under way; at most 500"), "{refused}");
        let berts = room.take("bert", &some(MAX_OF_A_PERSON)).unwrap();
        assert!(matches!(room.take("olga", &some(1)), Err(NoRoom::ForAnybody)));
        let ids = some(1);
        assert!(room.take_one_left("olga", &ids[0]).is_none() && !room.has(&ids[0]));
        assert_eq!(room.in_use(), MAX_UNDER_WAY);

        annas.truncate(MAX_OF_A_PERSON - 2);
        assert!(matches!(room.take("anna", &some(3)), Err(NoRoom::For(who)) if who == "anna"));
        assert_eq!(room.in_use(), MAX_UNDER_WAY - 2, "what is refused takes nothing");
        let left = room.take_one_left("bert", &ids[0]).unwrap();
        assert!(room.has(&ids[0]));
        assert_eq!(room.take("anna", &some(1)).unwrap().len(), 1);
        drop((annas, berts, left));
        assert!(room.in_use() == 0 && !room.has(&ids[0]));
        assert!(room.0.lock().of.is_empty(), "who has none is not remembered");
    }
}
