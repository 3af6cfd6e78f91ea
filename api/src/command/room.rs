//! Room for the commands that are under way: bounded for all of them, and for each person, so that nobody locks everybody out.

use std::{collections::HashMap, sync::Arc};

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

/// How many commands each person has under way; a clone is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<Mutex<HashMap<String, usize>>>);

/// Room for one command, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Room,
    who: String,
}

impl Room {
    /// Room for the commands of an order.
    ///
    /// # Errors
    /// When there is too little, for anybody or for this person; nothing is taken then.
    pub(super) fn take(&self, who: &str, commands: usize) -> Result<Vec<Place>, NoRoom> {
        let mut taken = self.0.lock();
        let own = taken.get(who).copied().unwrap_or_default().saturating_add(commands);
        if own > MAX_OF_A_PERSON {
            return Err(NoRoom::For(who.to_owned()));
        }
        if taken.values().sum::<usize>().saturating_add(commands) > MAX_UNDER_WAY {
            return Err(NoRoom::ForAnybody);
        }
        if commands > 0 {
            taken.insert(who.to_owned(), own);
        }
        Ok((0..commands).map(|_| self.place(who)).collect())
    }

    /// Room for a command that another server has left: it was taken, so its person is not asked for room again.
    pub(super) fn take_one_left(&self, who: &str) -> Option<Place> {
        let mut taken = self.0.lock();
        if taken.values().sum::<usize>() >= MAX_UNDER_WAY {
            return None;
        }
        *taken.entry(who.to_owned()).or_default() += 1;
        Some(self.place(who))
    }

    /// How many commands are under way.
    pub(super) fn in_use(&self) -> usize {
        self.0.lock().values().sum()
    }

    fn place(&self, who: &str) -> Place {
        Place { room: self.clone(), who: who.to_owned() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.0.lock();
        let left = taken.get(&self.who).copied().unwrap_or_default().saturating_sub(1);
        match left {
            0 => taken.remove(&self.who),
            left => taken.insert(self.who.clone(), left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_half_and_what_is_over_gives_its_place_back() {
        let room = Room::default();
        let mut annas = room.take("anna", MAX_OF_A_PERSON).unwrap();
        let refused = room.take("anna", 1).unwrap_err();
        assert!(refused.to_string().contains("of anna are under way; at most 500"), "{refused}");
        let berts = room.take("bert", MAX_OF_A_PERSON).unwrap();
        assert!(matches!(room.take("olga", 1), Err(NoRoom::ForAnybody)));
        assert!(room.take_one_left("olga").is_none());
        assert_eq!(room.in_use(), MAX_UNDER_WAY);

        annas.truncate(MAX_OF_A_PERSON - 2);
        assert!(matches!(room.take("anna", 3), Err(NoRoom::For(who)) if who == "anna"));
        assert_eq!(room.in_use(), MAX_UNDER_WAY - 2, "what is refused takes nothing");
        let left = room.take_one_left("bert").unwrap();
        assert_eq!(room.take("anna", 1).unwrap().len(), 1);
        drop((annas, berts, left));
        assert_eq!(room.in_use(), 0);
        assert!(room.0.lock().is_empty(), "who has none is not remembered");
    }
}
