//! What the owner of this host lets the fleet do here: the rules of `[control]`, and the decision about one command.
//!
//! * `rule` reads a line of `[control] units` or `signals`, `pattern` its pattern;
//! * `protected` names what is always refused, whatever the rules say;
//! * `decide` is a pure function from the rules and what a command applies to, to the decision and the line that decides.
//!
//! Nothing is allowed that no line allows. The order of the lines does not matter: there are no lines that forbid.

mod decide;
mod pattern;
mod protected;
mod rule;

pub use decide::{Decision, Policy, ProcessSubject, UnitSubject};
pub use pattern::Pattern;
pub use protected::PROTECTED_UNITS;
pub use rule::{BadRule, SignalRule, UnitRule};

#[cfg(test)]
mod tests;
