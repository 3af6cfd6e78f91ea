//! The control helper: a process of its own that executes the fleet's commands on this host.
//!
//! The agent speaks with the network and may send no signal to anybody. The helper speaks with nobody but the agent, over a Unix
//! socket, and may do what `[control]` of the host's file allows: it has `CAP_KILL`, and a rule of polkit. It verifies
//! everything itself, so whoever takes over the agent can ask for no more than the network could:
//!
//! 1. `listener` takes connections of the agent's group alone, a bounded number of them, and reads bounded lines; one line is an
//!    [`Ask`](fleetps_nats::command::Ask), and is answered by one line.
//! 2. `helper` gives out `tickets` and opens signed commands. The settings file is read again for each (`rules_file`), so a
//!    change counts from the next command on. A command uses its ticket up; `rate` bounds how many there are, and `ledger`
//!    remembers what became of them.
//! 3. `signals` names a process by a pidfd, compares boot, pid and start (`procfs`), asks the policy and sends. What is reused
//!    later cannot be hit, as the pidfd names the process and not the pid.
//! 4. `units` asks systemd over D-Bus (`bus`, `jobs`), without any shell, and judges by the state of the unit afterwards
//!    (`verdict`).
//!
//! Times are counted by the clock of the kernel that goes on while the machine sleeps (`clock`), and never by one that can be set.
//!
//! `explain` and `polkit` are for the owner of the host: they print who may do what, and the rule of polkit for it.

mod bus;
mod clock;
mod explain;
mod helper;
mod jobs;
mod journal;
mod ledger;
mod listener;
mod polkit;
mod procfs;
mod rate;
mod refusal;
mod report;
mod rules_file;
mod signals;
mod tickets;
mod units;
mod verdict;

pub use explain::{Explained, Question, explain};
pub use helper::{Helper, HelperOptions};
pub use listener::{ListenError, Listener};
pub use polkit::polkit_rule;
pub use rules_file::{RulesError, RulesFile};

/// The user that the helper runs as where it is installed as a service.
pub const USER: &str = "fleetps-control";

/// Whether the settings file can be used.
///
/// # Errors
/// When it cannot be read, a value in it is wrong, or others than root and this user can change it.
pub fn check(file: &RulesFile) -> Result<(), RulesError> {
    file.read().map(drop)
}
