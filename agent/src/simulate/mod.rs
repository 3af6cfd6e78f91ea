//! A believable fleet that does not exist, for demonstrations, tests and load.
//!
//! [`Fleet`] is pure: settings and times in, snapshots out, the same ones for the same seed. [`run`] publishes such a
//! fleet through the same code as a real agent, all hosts over one connection.
//!
//! `blueprints/` holds the process trees as text, `blueprint` reads them, `role` says which hosts there are, `host`
//! lets the processes of one come and go and use the processor, `process` is one of them, `machine` is the rest of a
//! host. `past` is what they went through before the present, `incident` what happens to a host in it.

mod blueprint;
mod fleet;
mod host;
mod incident;
mod machine;
mod past;
mod process;
mod role;
mod run;
mod text;

use std::time::Duration;

pub use fleet::{Fleet, groups, stories};
pub use incident::{Story, StoryKind};
pub use past::SimulatedPast;
pub use run::{SimulationEnd, SimulationError, run};

/// The fleet to simulate.
#[derive(Debug, Clone)]
pub struct SimulationSettings {
    /// Hosts; at least one.
    pub hosts: usize,
    /// Processes per host, about: some come and go.
    pub processes: usize,
    /// Time between two snapshots of a host.
    pub interval: Duration,
    /// The same seed gives the same fleet.
    pub seed: u64,
    /// Identifies the run, at most 40 characters; another one for every run that is published to the same broker, because
    /// sequences start over. [`run`] draws one when it is empty.
    pub run_id: String,
    /// When the simulated time starts, in µs since 1970 UTC, to fill a history: it then runs as fast as the broker takes
    /// it. `None` for now, in step with the clock.
    pub starts_at_us: Option<i64>,
    /// Snapshots of every host before the simulation ends by itself; `None` for no end.
    pub rounds: Option<u64>,
    /// What the hosts went through before they are in step with the clock; `None` where they begin now.
    pub past: Option<SimulatedPast>,
}

impl Default for SimulationSettings {
    fn default() -> Self {
        Self {
            hosts: 100,
            processes: 300,
            interval: Duration::from_secs(10),
            seed: 1,
            run_id: String::new(),
            starts_at_us: None,
            rounds: None,
            past: None,
        }
    }
}

#[cfg(test)]
mod tests;
