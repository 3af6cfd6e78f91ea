//! Alerts: rules that say when something needs a person, and what they find in the stream.
//!
//! A rule is one sentence ([`Rule`], read by `sentence`): what is measured, when that is too much, and for how long. What a
//! snapshot says of it is worked out by `measured`, one value for each instance: a host, a process, a program, a unit, a user
//! or a file system. `instance` decides from these values, one after the other, when an alert is raised and cleared, and
//! [`Evaluator`] does that for every rule and host.
//!
//! **It is a function of the stream and the rules,** and of nothing else: no clock is asked, nothing is looked up. So an alert
//! that is evaluated again after a crash is the same alert ([`Alert::id`]), and a rule can be tried on the past by the same
//! code ([`Evaluator`] is all there is).
//!
//! **What is not known changes nothing.** A gap stops the clocks of all instances of a host, a value that is absent those of
//! its instance; neither raises or clears an alert. That a host is silent is an alert of its own (`silent`).

mod alert;
mod built_in;
mod evaluated_host;
mod evaluator;
mod extremes;
mod growth;
mod instance;
mod learned;
mod loops;
mod measure;
mod measured;
mod memories;
mod moment;
mod own;
mod plan;
mod presence;
mod room;
mod rule;
mod saved;
mod sentence;
mod sentence_terms;
mod state;
mod transition;

pub use alert::{Alert, AlertChange, Change};
pub use built_in::{BuiltIn, built_in};
pub use evaluator::{Evaluator, HostGroups};
pub use instance::{FLAPPING_CHANGES, FLAPPING_WITHIN_US, SETTLED_AFTER_US};
pub use measure::{Culprit, Key};
pub(crate) use measure::{key_of, largest};
pub(crate) use measured::{Total, ValueOf, Values};
pub(crate) use memories::LARGE_BYTES;
pub(crate) use plan::Planned;
pub(crate) use presence::name_of;
pub use rule::{HostMeasure, Lasting, Measure, Over, Rule, Severity, Threshold};
pub use saved::{ALERT_RULES, BadRule, MAX_RULES, RuleEntry, SavedRule, open_rules, rules_in_force};
pub use sentence::{SentenceError, without_filter};
pub use state::EvaluatorState;
pub use transition::Transition;

/// Instances of one rule that are remembered, in the whole fleet; one more is told once, and then left alone. A rule that so
/// many are beyond at once is wrong, or the fleet is.
pub const MAX_INSTANCES: usize = 1_000;
/// Instances of one rule that are remembered of one host, so that it takes ten hosts to use up everybody's.
pub const MAX_INSTANCES_OF_HOST: usize = 100;
