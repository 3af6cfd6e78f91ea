//! Which processes of the fleet a filter lets through, now.
//!
//! Every host's latest snapshot is decoded for it, about a tenth of a millisecond for each of 200 processes, on all
//! processors: each thread has a decoder of its own and takes the next host by name. The snapshot before it is decoded
//! only where something needs a rate: for the filter if that asks for one, else for the matches that are shown.

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use fleetps_ingestor::{
    filter::{Deadline, Filter, Stopped},
    history::{Found, Identity, Omitted, Scope},
};
use fleetps_nats::{
    Snapshot,
    model::{ProcessView, SnapshotPair, derived},
    snapshot::Decoder,
};

use super::{Fleet, kept::KeptHost, moment::withhold_command_lines};

/// Threads of one search: two may run at once, and pages are served beside them.
const MAX_THREADS: usize = 4;

/// The matches.
#[derive(Debug, Clone, Default)]
pub struct LiveSearch {
    /// The processes, by host and pid; the first ones.
    pub found: Vec<Found>,
    /// How many there are in all.
    pub total: u64,
    /// Hosts that were searched.
    pub hosts: usize,
    /// Hosts that were not searched, because it took too long.
    pub hosts_left: usize,
    /// What the searched hosts left out of their snapshots or shortened in them.
    pub omitted: Omitted,
    /// Snapshots that were decoded for it.
    pub decoded: usize,
}

impl Fleet {
    /// The first `limit` processes in `scope` that match `filter`, on every host that is not down. Stops at `deadline`;
    /// a host that was not searched whole by then counts as not searched.
    pub fn search(&self, scope: &Scope, filter: &Filter, limit: usize, deadline: &Deadline) -> LiveSearch {
        let (hosts, next) = (self.kept(scope), AtomicUsize::new(0));
        let search = Search { scope, filter, limit, deadline, hosts: &hosts, next: &next };
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let others = processors.min(MAX_THREADS).min(hosts.len()).saturating_sub(1);
        let parts: Vec<Part> = std::thread::scope(|threads| {
            let working: Vec<_> = (0..others).map(|_| threads.spawn(|| search.part())).collect();
            let own = search.part();
            let joined = working.into_iter().map(|part| match part.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.chain([own]).collect()
        });
        LiveSearch::of(parts, limit)
    }
}

/// A search, as its threads share it.
struct Search<'a> {
    scope: &'a Scope,
    filter: &'a Filter,
    limit: usize,
    deadline: &'a Deadline,
    hosts: &'a [KeptHost],
    /// The next host that no thread has taken.
    next: &'a AtomicUsize,
}

/// What one thread found.
#[derive(Default)]
struct Part {
    /// The first matches, by the number of their host.
    found: Vec<(usize, Found)>,
    total: u64,
    hosts: usize,
    hosts_left: usize,
    omitted: Omitted,
    decoded: usize,
}

impl Search<'_> {
    /// Searches hosts until all are taken.
    fn part(&self) -> Part {
        let mut part = Part::default();
        let mut decoder = Decoder::new().ok();
        loop {
            let number = self.next.fetch_add(1, Relaxed);
            let Some(host) = self.hosts.get(number) else { return part };
            let searched = match &mut decoder {
                Some(decoder) if self.deadline.check().is_ok() => self.host(number, host, decoder, &mut part),
                _ => Err(Stopped::TookTooLong),
            };
            match searched {
                Ok(true) => part.hosts += 1,
                Ok(false) => {}
                Err(_) => part.hosts_left += 1,
            }
        }
    }

    /// Searches one host; `false` where its snapshot cannot be decoded.
    fn host(
        &self,
        number: usize,
        host: &KeptHost,
        decoder: &mut Decoder,
        part: &mut Part,
    ) -> Result<bool, Stopped> {
        let name = &host.summary.host;
        let Some(latest) = host.latest.decode(decoder) else { return Ok(false) };
        let latest = if self.scope.sees_command_lines(name) { latest } else { without_command_lines(latest) };
        part.decoded += 1;
        let mut decode_previous = || {
            part.decoded += usize::from(host.previous.is_some());
            host.previous.as_ref().and_then(|previous| previous.decode(decoder))
        };
        let for_filter = if self.filter.asks_for_rates() { decode_previous() } else { None };
        let mut pair = SnapshotPair::new(name.clone(), Arc::clone(&latest), for_filter);
        let views: Vec<ProcessView<'_>> = pair.processes().collect();
        let matches = self.filter.matching(&views, self.deadline)?;
        part.omitted.add(Omitted::of(pair.latest().processes_left_out, pair.latest().texts_shortened));
        let matching = matches.iter().filter(|matches| **matches).count();
        part.total += matching as u64;
        // Hosts are taken by name, so what this thread has found comes before.
        let room = self.limit.saturating_sub(part.found.len());
        if matching == 0 || room == 0 {
            return Ok(true);
        }
        if pair.previous().is_none() {
            pair = SnapshotPair::new(name.clone(), latest, decode_previous());
        }
        let views = pair.processes().zip(matches).filter(|(_, matches)| *matches);
        let mut views: Vec<ProcessView<'_>> = views.map(|(view, _)| view).collect();
        views.sort_unstable_by_key(|view| view.process.pid);
        part.found.extend(views.iter().take(room).map(|view| (number, found(pair.latest(), view))));
        Ok(true)
    }
}

impl LiveSearch {
    /// Puts together what the threads found.
    fn of(parts: Vec<Part>, limit: usize) -> Self {
        let (mut search, mut found) = (Self::default(), Vec::new());
        for part in parts {
            search.total += part.total;
            search.hosts += part.hosts;
            search.hosts_left += part.hosts_left;
            search.omitted.add(part.omitted);
            search.decoded += part.decoded;
            found.extend(part.found);
        }
        // Stable: the processes of a host are in order already.
        found.sort_by_key(|(number, _)| *number);
        search.found = found.into_iter().take(limit).map(|(_, found)| found).collect();
        search
    }
}

fn without_command_lines(snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
    let mut snapshot = Arc::unwrap_or_clone(snapshot);
    withhold_command_lines(&mut snapshot);
    Arc::new(snapshot)
}

fn found(snapshot: &Snapshot, view: &ProcessView<'_>) -> Found {
    let process = view.process;
    let identity = Identity::of(view.host(), &snapshot.boot_id, process);
    Found {
        identity,
        captured_at_us: snapshot.captured_at_us,
        age_us: view.age_us(),
        process: process.clone(),
        memory_total_bytes: derived::memory_total_bytes(snapshot),
        rates: view.rates(),
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
