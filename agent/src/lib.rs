//! The agent: samples every process of one host and publishes it; also simulates whole fleets.
//!
//! `sample` takes a snapshot, `scrub` takes secrets out of its command lines, `publish` gets it into the stream, `run`
//! puts them together; `host_key` says hello and changes the key when it is told to; `settings` says how; `simulate` makes
//! hosts that do not exist; `join` makes this one part of a fleet; `cli` is the command line.

// They panic where nobody reads any more; `fleetps_nats::output` does not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod cli;
mod host_key;
pub mod join;
pub mod publish;
pub mod run;
pub mod sample;
pub mod scrub;
pub mod settings;
pub mod simulate;

pub use run::{AgentError, run, run_with};
pub use settings::AgentSettings;
