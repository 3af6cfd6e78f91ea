//! Commands to a host: what a server asks on the host's command subject, and what the host answers.
//!
//! * `ask` has the questions and the answers; each is one request and one reply in JSON on
//!   [`subject::commands`](crate::subject::commands);
//! * `order` is a command as it is signed: it names the ticket, the verb, who asked and why;
//! * `target` has the verbs and what they apply to, `unit_name` and `random_name` the names in it;
//! * `progress` says what became of a command, `reason` why it was not executed.
//!
//! **Tickets, no clocks.** A command is addressed to one run of the host's control helper by a ticket that this run gave out, and
//! that works once. It expires by the helper's own monotonic clock, counted from when the ticket was given out. So no restart,
//! redelivery, replay or wrong clock executes it: after a restart no ticket is known, a used ticket is gone, and the age of a
//! ticket is measured by the one who gave it out.
//!
//! A command is signed with the fleet's control key ([`SignedFrame`](crate::agent_settings::SignedFrame) of
//! [`Kind::Command`](crate::agent_settings::Kind)), which is no login of the broker, and names its host. The way there is
//! trusted with nothing: it can lose, repeat, hold back and invent messages, and none of that executes a command.

mod ask;
mod order;
mod progress;
mod random_name;
mod reason;
mod target;
mod unit_name;

pub use ask::{Allowed, Answer, Ask, MAX_MESSAGE_BYTES, NotAMessage, WAIT};
pub use order::{BadCommand, Command, DEFAULT_VALID, MAX_TICKET_AGE, MAX_WHO_BYTES, MAX_WHY_BYTES};
pub use progress::{MAX_DETAIL_BYTES, MAX_OUTPUT_LINE_BYTES, MAX_OUTPUT_LINES, Progress, Sight, Stage};
pub use random_name::{CommandId, NotARandomName, Ticket};
pub use reason::Reason;
pub use target::{ProcessId, Signal, Target, UnitAction, UnknownWord, What};
pub use unit_name::{NotAUnitName, UnitName};

#[cfg(test)]
mod tests;
