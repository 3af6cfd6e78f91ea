//! The fleet at one moment, as pages get it.

use std::{sync::Arc, time::Duration};

use fleetps_nats::model::HostState;

use super::{ProgramTotals, Summary};

/// How many hosts are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FleetCounts {
    /// Hosts that are up.
    pub up: usize,
    /// Hosts that were asked to take no samples.
    pub paused: usize,
    /// Hosts that are silent.
    pub silent: usize,
    /// Hosts that are down.
    pub down: usize,
    /// Processes on the hosts that are up.
    pub processes: u64,
}

/// The whole fleet at one moment.
#[derive(Debug, Clone)]
pub struct FleetView {
    /// Every host, by name.
    pub hosts: Vec<Arc<Summary>>,
    /// How many are in which state.
    pub counts: FleetCounts,
    /// The busiest programs.
    pub programs: Vec<(Arc<str>, ProgramTotals)>,
    /// Hosts that are not among these, because they were not heard of for `down_for`.
    pub left_out: usize,
    /// How long a host that is not heard of stays.
    pub down_for: Duration,
    /// Another number when anything is another.
    pub version: u64,
}

/// What is taken of the fleet under its lock.
pub(super) struct Taken {
    pub(super) hosts: Vec<Arc<Summary>>,
    pub(super) processes: u64,
    pub(super) left_out: usize,
    pub(super) down_for: Duration,
    pub(super) version: u64,
}

impl Taken {
    /// The view with these programs.
    pub(super) fn with(self, programs: Vec<(Arc<str>, ProgramTotals)>) -> FleetView {
        let Self { hosts, processes, left_out, down_for, version } = self;
        let count = |state| hosts.iter().filter(|summary| summary.state == state).count();
        let (up, paused) = (count(HostState::Up), count(HostState::Paused));
        let (silent, down) = (count(HostState::Silent), count(HostState::Down));
        let counts = FleetCounts { up, paused, silent, down, processes };
        FleetView { hosts, counts, programs, left_out, down_for, version }
    }
}
