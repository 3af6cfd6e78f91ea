//! Which processes of the fleet a filter lets through, now: every host's latest snapshot is decoded for it, about a tenth of
//! a millisecond for each of 300 processes, so there is an end to it.

use fleetps_ingestor::{
    filter::{Deadline, Filter, Stopped},
    history::{Found, Identity, Scope},
};
use fleetps_nats::snapshot::Process;

use super::{Fleet, Moment, ProcessRates, State};

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct LiveSearch {
    /// The processes, by host and pid; the first ones.
    pub found: Vec<Found>,
    /// How many there are in all.
    pub total: u64,
    /// Hosts that were looked at.
    pub hosts: usize,
    /// Hosts that were not looked at, because it took too long.
    pub hosts_left: usize,
}

impl Fleet {
    /// The processes in `scope` that `filter` lets through on every host that is not down; the first `limit`. Stops at
    /// `deadline`; a host that was not looked at to its last process by then is left.
    pub fn search(&self, scope: &Scope, filter: &Filter, limit: usize, deadline: &Deadline) -> LiveSearch {
        let mut search = LiveSearch::default();
        for summary in self.view(scope, 0).hosts.iter().filter(|summary| summary.state != State::Down) {
            if deadline.check().is_err() {
                search.hosts_left += 1;
            } else if let Some(moment) = self.moment(scope, &summary.host) {
                match search.add(&moment, filter, limit, deadline) {
                    Ok(()) => search.hosts += 1,
                    Err(_) => search.hosts_left += 1,
                }
            }
        }
        search
    }
}

impl LiveSearch {
    fn add(
        &mut self,
        moment: &Moment,
        filter: &Filter,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<(), Stopped> {
        let rated: Vec<(&Process, ProcessRates)> =
            moment.snapshot.processes.iter().zip(moment.process_rates()).collect();
        let fields = rated.iter().map(|(process, rates)| moment.fields(process, *rates));
        let matches = filter.matching(fields, deadline)?;
        let mut matching: Vec<(&Process, ProcessRates)> =
            rated.into_iter().zip(matches).filter(|(_, matches)| *matches).map(|(rated, _)| rated).collect();
        matching.sort_by_key(|(process, _)| process.pid);
        self.total += matching.len() as u64;
        let room = limit.saturating_sub(self.found.len());
        self.found
            .extend(matching.into_iter().take(room).map(|(process, rates)| found(moment, process, rates)));
        Ok(())
    }
}

fn found(moment: &Moment, process: &Process, rates: ProcessRates) -> Found {
    let identity = Identity {
        host: moment.summary.host.clone(),
        boot_id: moment.snapshot.boot_id.clone(),
        pid: process.pid,
        started_at_us: process.started_at_us,
    };
    Found {
        identity,
        captured_at_us: moment.snapshot.captured_at_us,
        process: process.clone(),
        memory_total_bytes: moment.summary.memory_total_bytes,
        read_per_s: rates.read_per_s,
        written_per_s: rates.written_per_s,
    }
}
