//! Which processes of the fleet a filter lets through, now.
//!
//! Every host's latest snapshot is decoded for it on all processors: each thread has a decoder of its own and takes the next host
//! by name. Only the columns that the filter and the order look at are decoded, which takes some 0.06 ms for each of 200
//! processes. The snapshot before it is decoded only where these need a rate. What is shown in the end is decoded whole.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use fleetps_ingestor::{
    filter::{Deadline, Filter, Stopped},
    history::{Found, FoundKey, FoundOrder, Identity, Omitted, Scope},
};
use fleetps_nats::{
    HostName, Snapshot,
    model::{ProcessRates, ProcessView, SnapshotPair, derived, process::COUNTERS},
    snapshot::{Columns, Decoder},
};

use super::{Fleet, kept::KeptHost, moment::withhold_command_lines};

/// Threads of one search: two may run at once, and pages are served beside them.
const MAX_THREADS: usize = 4;
/// Matches that a thread collects beyond twice the limit before it looks which are the first: sorting them takes less than
/// decoding a host.
const PRUNED_AT: usize = 1_000;

/// The matches.
#[derive(Debug, Clone, Default)]
pub struct LiveSearch {
    /// The processes, in the order that was asked for; the first ones.
    pub found: Vec<Found>,
    /// How many there are in all.
    pub total: u64,
    /// On how many hosts these are.
    pub matching_hosts: u64,
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
    /// The first `limit` processes in `scope` that match `filter`, by host and pid, on every host that is not down. Stops at
    /// `deadline`; a host that was not searched whole by then counts as not searched.
    pub fn search(&self, scope: &Scope, filter: &Filter, limit: usize, deadline: &Deadline) -> LiveSearch {
        self.search_in_order(scope, filter, (FoundOrder::default(), limit), deadline)
    }

    /// The same in another order.
    pub fn search_in_order(
        &self,
        scope: &Scope,
        filter: &Filter,
        (order, limit): (FoundOrder, usize),
        deadline: &Deadline,
    ) -> LiveSearch {
        let (hosts, next) = (self.kept(scope), AtomicUsize::new(0));
        let columns = Columns::of(filter.places().into_iter().chain(order.place()));
        let search = Search { scope, filter, order, limit, deadline, hosts: &hosts, columns, next: &next };
        let parts = on_threads(hosts.len(), || search.part());
        let mut found = LiveSearch::of(parts, order, limit);
        search.complete(&mut found);
        found
    }
}

/// What several threads make, as many as there are processors and things to do.
fn on_threads<T: Send>(things: usize, part: impl Fn() -> T + Sync) -> Vec<T> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let others = processors.min(MAX_THREADS).min(things).saturating_sub(1);
    std::thread::scope(|threads| {
        let working: Vec<_> = (0..others).map(|_| threads.spawn(&part)).collect();
        let own = part();
        let joined = working.into_iter().map(|part| match part.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.chain([own]).collect()
    })
}

/// A search, as its threads share it.
struct Search<'a> {
    scope: &'a Scope,
    filter: &'a Filter,
    order: FoundOrder,
    limit: usize,
    deadline: &'a Deadline,
    hosts: &'a [KeptHost],
    /// What the filter and the order look at.
    columns: Columns,
    /// The next host that no thread has taken.
    next: &'a AtomicUsize,
}

/// What one thread found.
#[derive(Default)]
struct Part {
    /// The first matches in the order of the search, and others: pruned when they become many.
    found: Vec<Found>,
    /// The last of the first matches, when that was last looked at: nothing behind it is among them.
    last: Option<Found>,
    total: u64,
    matching_hosts: u64,
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
                Some(decoder) if self.deadline.check().is_ok() => self.host(host, decoder, &mut part),
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
    fn host(&self, host: &KeptHost, decoder: &mut Decoder, part: &mut Part) -> Result<bool, Stopped> {
        let name = &host.summary.host;
        let columns = Some(&self.columns);
        let Some(latest) = host.latest.decode_columns(decoder, columns) else { return Ok(false) };
        let latest = self.as_seen(name, latest);
        let needs_rates = self.filter.asks_for_rates() || self.order.asks_for_rates();
        let before = host.previous.as_ref().filter(|_| needs_rates);
        part.decoded += 1 + usize::from(before.is_some());
        let before = before.and_then(|before| before.decode_columns(decoder, columns));
        let pair = SnapshotPair::new(name.clone(), latest, before);
        let views: Vec<ProcessView<'_>> = pair.processes().collect();
        let matches = self.filter.matching_views(&views, self.deadline)?;
        part.omitted.add(Omitted::of(pair.latest().processes_left_out, pair.latest().texts_shortened));
        let matching = matches.iter().filter(|matches| **matches).count();
        part.total += matching as u64;
        part.matching_hosts += u64::from(matching > 0);
        if matching == 0 || self.limit == 0 {
            return Ok(true);
        }
        let is_among_first = |view: &ProcessView<'_>| {
            let last = part.last.as_ref();
            last.is_none_or(|last| {
                let process = view.process;
                let rates = if self.order.asks_for_rates() { view.rates() } else { ProcessRates::default() };
                let key = self.order.key(name.as_str(), process, &rates, view.age_us());
                let place = (key, name.as_str(), process.pid, process.start());
                compare(self.order, &place, &place_of(self.order, last)).is_lt()
            })
        };
        let first = views.iter().zip(matches).filter(|(view, matches)| *matches && is_among_first(view));
        let first: Vec<Found> = first.map(|(view, _)| found(pair.latest(), view)).collect();
        part.found.extend(first);
        let is_full = part.last.is_none() && part.found.len() >= self.limit;
        if is_full || part.found.len() > self.limit.saturating_mul(2).saturating_add(PRUNED_AT) {
            part.prune(self.order, self.limit);
        }
        Ok(true)
    }
}

impl Search<'_> {
    /// The snapshot of a host as somebody with this scope sees it.
    fn as_seen(&self, host: &HostName, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        if self.scope.sees_command_lines(host) { snapshot } else { without_command_lines(snapshot) }
    }

    /// Decodes whole what was found, of which only some columns are known.
    fn complete(&self, search: &mut LiveSearch) {
        let mut places: BTreeMap<&HostName, HashMap<(u32, i64), usize>> = BTreeMap::new();
        for (place, Found { identity, .. }) in search.found.iter().enumerate() {
            places.entry(&identity.host).or_default().insert((identity.pid, identity.start), place);
        }
        let (places, next) = (places.into_iter().collect::<Vec<_>>(), AtomicUsize::new(0));
        let counters = Columns::of(COUNTERS);
        let parts = on_threads(places.len(), || {
            let (mut whole, mut decoder) = (Vec::new(), Decoder::new().ok());
            while let Some((host, places)) = places.get(next.fetch_add(1, Relaxed)) {
                let pair = decoder.as_mut().and_then(|decoder| self.whole(host, &counters, decoder));
                let views = pair.iter().flat_map(|pair| pair.processes().map(move |view| (pair, view)));
                whole.extend(views.filter_map(|(pair, view)| {
                    Some((*places.get(&view.process.key())?, found(pair.latest(), &view)))
                }));
            }
            whole
        });
        search.decoded += 2 * places.len();
        for (place, whole) in parts.into_iter().flatten() {
            if let Some(found) = search.found.get_mut(place) {
                *found = whole;
            }
        }
    }

    /// A host's latest snapshot with the counters of the one before.
    fn whole(&self, host: &HostName, counters: &Columns, decoder: &mut Decoder) -> Option<SnapshotPair> {
        let place = self.hosts.binary_search_by(|kept| kept.summary.host.cmp(host)).ok()?;
        let kept = self.hosts.get(place)?;
        let latest = self.as_seen(host, kept.latest.decode(decoder)?);
        let before = kept.previous.as_ref();
        let before = before.and_then(|before| before.decode_columns(decoder, Some(counters)));
        Some(SnapshotPair::new(host.clone(), latest, before))
    }
}

impl Part {
    /// Keeps the first `limit` matches.
    fn prune(&mut self, order: FoundOrder, limit: usize) {
        sort(&mut self.found, order);
        self.found.truncate(limit);
        self.last = self.found.last().filter(|_| self.found.len() == limit).cloned();
    }
}

/// Where a process stands in an order: by its key, and of equal ones by host, pid and start.
type Place<'a> = (FoundKey<'a>, &'a str, u32, i64);

fn place_of(order: FoundOrder, found: &Found) -> Place<'_> {
    let identity = &found.identity;
    let host = identity.host.as_str();
    (order.key(host, &found.process, &found.rates, found.age_us), host, identity.pid, identity.start)
}

fn compare(order: FoundOrder, a: &Place<'_>, b: &Place<'_>) -> Ordering {
    order.compare(&a.0, &b.0).then_with(|| (a.1, a.2, a.3).cmp(&(b.1, b.2, b.3)))
}

fn sort(found: &mut [Found], order: FoundOrder) {
    found.sort_unstable_by(|a, b| compare(order, &place_of(order, a), &place_of(order, b)));
}

impl LiveSearch {
    /// Puts together what the threads found.
    fn of(parts: Vec<Part>, order: FoundOrder, limit: usize) -> Self {
        let mut search = Self::default();
        for part in parts {
            search.total += part.total;
            search.matching_hosts += part.matching_hosts;
            search.hosts += part.hosts;
            search.hosts_left += part.hosts_left;
            search.omitted.add(part.omitted);
            search.decoded += part.decoded;
            search.found.extend(part.found);
        }
        sort(&mut search.found, order);
        search.found.truncate(limit);
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
