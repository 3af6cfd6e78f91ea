//! Tickets: each is for one command to this run of the helper.

use std::{collections::VecDeque, time::Duration};

use fleetps_nats::command::{MAX_TICKET_AGE, Ticket};

/// The most tickets at once. A server asks for one per command, and a host takes ten of these a minute.
const MAX_TICKETS: usize = 64;

/// The tickets that were given out and not used, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Tickets(VecDeque<(Ticket, Duration)>);

/// What a ticket is worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It works, for a command that begins before this time.
    Until(Duration),
    /// It is too old.
    Expired,
    /// It was used, or is of another run.
    Unknown,
}

impl Tickets {
    /// Takes note of a new ticket. Where there is no room, the oldest that has expired makes it; if none has, the new one is not
    /// given out.
    #[must_use]
    pub(super) fn give(&mut self, ticket: Ticket, now: Duration) -> bool {
        let has_expired = |(_, given_at): &(Ticket, Duration)| now.saturating_sub(*given_at) > MAX_TICKET_AGE;
        if self.0.len() >= MAX_TICKETS && self.0.front().is_some_and(has_expired) {
            self.0.pop_front();
        }
        let has_room = self.0.len() < MAX_TICKETS;
        if has_room {
            self.0.push_back((ticket, now));
        }
        has_room
    }

    /// Uses a ticket up, whatever it is worth. `valid` is how old it may be; no ticket works for longer than a minute.
    pub(super) fn take(&mut self, ticket: &Ticket, valid: Duration, now: Duration) -> Taken {
        let Some(place) = self.0.iter().position(|(known, _)| known == ticket) else { return Taken::Unknown };
        let Some((_, given_at)) = self.0.remove(place) else { return Taken::Unknown };
        let until = given_at.saturating_add(valid.min(MAX_TICKET_AGE));
        if now > until { Taken::Expired } else { Taken::Until(until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ticket() -> Ticket {
        Ticket::new().unwrap()
    }

    #[test]
    fn a_ticket_works_once_and_for_the_time_of_its_command() {
        let (mut tickets, one, other) = (Tickets::default(), ticket(), ticket());
        assert!(tickets.give(one.clone(), SECOND) && tickets.give(other.clone(), SECOND));
        assert_eq!(tickets.take(&ticket(), 30 * SECOND, SECOND), Taken::Unknown);
        assert_eq!(tickets.take(&one, 30 * SECOND, 31 * SECOND), Taken::Until(31 * SECOND));
        assert_eq!(tickets.take(&one, 30 * SECOND, 31 * SECOND), Taken::Unknown);
        let late = 31 * SECOND + Duration::from_nanos(1);
        assert_eq!(tickets.take(&other, 30 * SECOND, late), Taken::Expired);
        assert_eq!(
            tickets.take(&other, 30 * SECOND, SECOND),
            Taken::Unknown,
            "used up, although it was late"
        );
        let long = ticket();
        assert!(tickets.give(long.clone(), SECOND));
        assert_eq!(tickets.take(&long, Duration::MAX, 62 * SECOND), Taken::Expired, "a minute at most");
    }

    #[test]
    fn a_flood_of_questions_takes_no_ticket_away_that_still_works() {
        let (mut tickets, first) = (Tickets::default(), ticket());
        assert!(tickets.give(first.clone(), SECOND));
        let given = (0..1000).filter(|_| tickets.give(ticket(), 2 * SECOND)).count();
        assert_eq!(given, MAX_TICKETS - 1);
        assert!(!tickets.give(ticket(), 61 * SECOND), "the oldest is a minute old, and works");
        assert!(tickets.give(ticket(), 62 * SECOND));
        assert_eq!(tickets.take(&first, 30 * SECOND, 62 * SECOND), Taken::Unknown);
        assert!(!tickets.give(ticket(), 62 * SECOND));
        assert_eq!(tickets.0.len(), MAX_TICKETS);
    }
}
