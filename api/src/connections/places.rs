//! Which owner has which connections, and which one is pushed out when there is no room.
//!
//! A connection belongs to its network until a person signs in on it, then to that person. A connection from a trusted
//! proxy, which carries many people's requests, has no owner. Each owner has a limit. Where connections without a
//! person are at their limit, the network with the most of them loses its idlest one, so a flood pushes out itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use tokio_util::sync::CancellationToken;

use super::Limits;

/// The owner of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Owner {
    /// No signed-in person; a network as [`crate::auth`] counts them. With IPv4 that is one address: an office or a
    /// provider already shares it, and a wider one would make neighbours pay.
    Network(IpAddr),
    /// A signed-in person.
    Person(String),
    /// A trusted proxy, or any client where sign-in is off.
    Anybody,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// Every place is taken by people who are being answered.
    All,
    /// The person has as many as one may have, and is being answered on all of them.
    Person,
}

/// A connection among its owner's, in the order of pushing out: those that are not being answered first, and of them
/// the idlest.
type Turn = (bool, u64);

#[derive(Debug)]
struct Entry {
    owner: Owner,
    turn: Turn,
    end: CancellationToken,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Register {
    limits: Limits,
    /// Counts what happens; the number of each is used once.
    clock: u64,
    entries: HashMap<u64, Entry>,
    of_owners: HashMap<Owner, BTreeMap<Turn, u64>>,
    /// The networks by how many connections they have.
    networks: BTreeSet<(usize, Owner)>,
    strangers: usize,
}

impl Register {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            clock: 0,
            entries: HashMap::new(),
            of_owners: HashMap::new(),
            networks: BTreeSet::new(),
            strangers: 0,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// How many there are without a signed-in person.
    pub(super) fn strangers(&self) -> usize {
        self.strangers
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes a connection in; returns its number and how many were pushed out for it.
    pub(super) fn enter(&mut self, owner: Owner, end: CancellationToken) -> Result<(u64, usize), Full> {
        let mut pushed_out = 0;
        if matches!(owner, Owner::Network(_)) {
            pushed_out += usize::from(
                self.count(&owner) >= self.limits.of_a_network && self.push_out_of(&owner.clone()),
            );
            pushed_out += usize::from(self.strangers >= self.limits.strangers && self.push_out_a_stranger());
        }
        if self.entries.len() >= self.limits.most {
            if !self.push_out_anybody() {
                return Err(Full::All);
            }
            pushed_out += 1;
        }
        self.clock += 1;
        let number = self.clock;
        self.put(number, Entry { owner, turn: (false, number), end });
        Ok((number, pushed_out))
    }

    /// Notes that a connection begins or has ended to be answered.
    pub(super) fn set_busy(&mut self, number: u64, is_busy: bool) {
        if let Some(entry) = self.take(number) {
            self.clock += 1;
            self.put(number, Entry { turn: (is_busy, self.clock), ..entry });
        }
    }

    /// Gives a connection to the person who signed in on it; returns how many of that person's connections were pushed
    /// out.
    pub(super) fn give(&mut self, number: u64, owner: Owner) -> Result<usize, Full> {
        match self.entries.get(&number).map(|entry| &entry.owner) {
            None | Some(Owner::Anybody) => return Ok(0),
            Some(known) if *known == owner => return Ok(0),
            Some(_) => {}
        }
        let is_full = owner != Owner::Anybody && self.count(&owner) >= self.limits.of_a_person;
        if is_full && !self.push_out_of(&owner) {
            return Err(Full::Person);
        }
        if let Some(entry) = self.take(number) {
            self.put(number, Entry { owner, ..entry });
        }
        Ok(usize::from(is_full))
    }

    /// Forgets a connection that has ended.
    pub(super) fn leave(&mut self, number: u64) {
        self.take(number);
    }

    /// Pushes out a connection without a person, else one that is not being answered; `false` where there is none.
    pub(super) fn push_out_anybody(&mut self) -> bool {
        if self.push_out_a_stranger() {
            return true;
        }
        let idle = |(owner, own): (&Owner, &BTreeMap<Turn, u64>)| {
            let is_idle = own.first_key_value().is_some_and(|((is_busy, _), _)| !is_busy);
            is_idle.then(|| (own.len(), owner.clone()))
        };
        let largest = self.of_owners.iter().filter_map(idle).max();
        largest.is_some_and(|(_, owner)| self.push_out_of(&owner))
    }

    fn push_out_a_stranger(&mut self) -> bool {
        let largest = self.networks.last().map(|(_, owner)| owner.clone());
        largest.is_some_and(|owner| self.push_out_of(&owner))
    }

    /// Pushes out the first of an owner's; people's and proxies' only where it is not being answered.
    fn push_out_of(&mut self, owner: &Owner) -> bool {
        let first = self.of_owners.get(owner).and_then(BTreeMap::first_key_value);
        let Some(((is_busy, _), number)) = first.map(|(turn, number)| (*turn, *number)) else { return false };
        if is_busy && !matches!(owner, Owner::Network(_)) {
            return false;
        }
        if let Some(entry) = self.take(number) {
            entry.end.cancel();
        }
        true
    }

    fn count(&self, owner: &Owner) -> usize {
        self.of_owners.get(owner).map_or(0, BTreeMap::len)
    }

    fn put(&mut self, number: u64, entry: Entry) {
        let count = self.count(&entry.owner);
        self.recount(&entry.owner, count, count + 1);
        self.of_owners.entry(entry.owner.clone()).or_default().insert(entry.turn, number);
        self.entries.insert(number, entry);
    }

    fn take(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        let count = self.count(&entry.owner);
        self.recount(&entry.owner, count, count.saturating_sub(1));
        if let Some(own) = self.of_owners.get_mut(&entry.owner) {
            own.remove(&entry.turn);
            if own.is_empty() {
                self.of_owners.remove(&entry.owner);
            }
        }
        Some(entry)
    }

    fn recount(&mut self, owner: &Owner, before: usize, after: usize) {
        if !matches!(owner, Owner::Network(_)) {
            return;
        }
        self.strangers = (self.strangers + after).saturating_sub(before);
        self.networks.remove(&(before, owner.clone()));
        if after > 0 {
            self.networks.insert((after, owner.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { most: 8, strangers: 4, of_a_network: 3, of_a_person: 2, highest_descriptor: 100 };

    fn network(last: u8) -> Owner {
        Owner::Network(IpAddr::from([192, 0, 2, last]))
    }

    fn anna() -> Owner {
        Owner::Person("anna".to_owned())
    }

    fn enter(register: &mut Register, owner: Owner) -> (u64, CancellationToken) {
        let end = CancellationToken::new();
        (register.enter(owner, end.clone()).unwrap().0, end)
    }

    #[test]
    fn a_network_pushes_out_its_own_and_of_several_the_largest_loses_one() {
        let mut register = Register::new(LIMITS);
        let (_, alone) = enter(&mut register, network(1));
        let flood: Vec<_> = (0..100).map(|_| enter(&mut register, network(2)).1).collect();
        assert!(!alone.is_cancelled());
        assert_eq!(flood.iter().filter(|end| !end.is_cancelled()).count(), 3);
        assert!(!flood[99].is_cancelled(), "the newest stays");
        let (_, another) = enter(&mut register, network(3));
        assert!(!alone.is_cancelled() && !another.is_cancelled());
        assert_eq!(register.len(), 4);
    }

    #[test]
    fn who_has_signed_in_stays_while_strangers_come_and_go() {
        let mut register = Register::new(LIMITS);
        let (number, hers) = enter(&mut register, network(1));
        register.set_busy(number, true);
        register.give(number, anna()).unwrap();
        register.set_busy(number, false);
        for last in 0..=255 {
            enter(&mut register, network(last));
        }
        assert!(!hers.is_cancelled());
        assert_eq!(register.len(), 5);
        register.leave(number);
        assert_eq!(register.len(), 4);
    }

    #[test]
    fn a_person_has_so_many_and_is_refused_only_while_all_are_answered() {
        let mut register = Register::new(LIMITS);
        let own: Vec<_> = (0..3).map(|_| enter(&mut register, network(1))).collect();
        for (number, _) in &own {
            register.set_busy(*number, true);
        }
        assert_eq!(register.give(own[0].0, anna()), Ok(0));
        assert_eq!(register.give(own[1].0, anna()), Ok(0));
        assert_eq!(register.give(own[2].0, anna()), Err(Full::Person));
        register.set_busy(own[0].0, false);
        assert_eq!(register.give(own[2].0, anna()), Ok(1));
        assert!(own[0].1.is_cancelled() && !own[1].1.is_cancelled());
    }

    #[test]
    fn when_people_have_every_place_the_one_who_is_idle_makes_room_and_nobody_who_is_answered() {
        let mut register = Register::new(LIMITS);
        let own: Vec<_> = (0..8).map(|_| enter(&mut register, Owner::Anybody)).collect();
        for (number, _) in &own[1..] {
            register.set_busy(*number, true);
        }
        assert!(register.enter(network(1), CancellationToken::new()).is_ok());
        assert!(own[0].1.is_cancelled());
        assert!(register.enter(Owner::Anybody, CancellationToken::new()).is_ok(), "the stranger goes");
        let last = register.clock;
        register.set_busy(last, true);
        assert_eq!(register.enter(network(1), CancellationToken::new()), Err(Full::All));
    }
}
