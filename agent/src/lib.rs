//! The agent: samples every process of one host and publishes it; also simulates whole fleets.
//!
//! `sample` takes a snapshot, `sampling` is the thread that does so in time (`pace`: for those who watch), `scrub` replaces secrets in its command lines,
//! `publish` brings it into the stream, `run` connects them. `host_key` says hello and rotates the key on request, `remote`
//! takes settings that the fleet asks for (`settings_in_force` is what others see of it), `trust` says which control key counts, `policy` decides about commands, `control` is the
//! helper that executes them, `forward` passes them to it, `exchange` hears over HTTP what the broker would say, `settings` has the settings,
//! `server` speaks HTTP with a web server, `uplink` says which way is taken, `simulate` makes fleets that do not exist, `join` enrols this
//! host, `cli` is the command line.

// They panic when the pipe is closed; `fleetps_nats::output` does not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
#![warn(unreachable_pub)]

pub mod cli;
#[cfg(target_os = "linux")]
pub mod control;
mod cpu_time;
mod exchange;
mod forward;
mod host_key;
pub mod join;
mod own_name;
mod pace;
pub mod policy;
pub mod publish;
pub mod remote;
pub mod run;
pub mod sample;
mod sampling;
pub mod scrub;
pub mod server;
pub mod settings;
mod settings_in_force;
pub mod simulate;
mod trust;
mod uplink;

pub use own_name::own_name;
pub use run::{AgentError, run, run_commanded, run_controlled, run_with};
pub use settings::AgentSettings;
pub use uplink::Uplink;
