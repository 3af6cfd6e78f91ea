//! Two consecutive snapshots of one host, and what only two say together: rates.
//!
//! A snapshot has facts. Where the operating system counts, the counter travels, and a rate is what the counter grew by
//! between two snapshots, divided by the time between them (`rate`). This is when there is one:
//!
//! * **Both snapshots are of one boot.** Counters start at zero with each, so a pair has no previous snapshot of another.
//! * **The process is the same one:** pid and start agree. The kernel gives a pid again within one boot.
//! * **Time has passed by the monotonic clock** of the host, which counts since the boot. Somebody who sets the clock, or
//!   a daemon that does, changes no rate. Snapshots in the wrong order have no rate.
//! * **The counter did not go backwards.** It does where a driver is loaded anew, a disk is taken out, or a 32-bit counter
//!   wraps around. How much it had grown before is unknown, and a guess would be a spike in a chart.
//! * **Both snapshots have the counter.** An agent without the right to read it sends none; absent is not zero.
//!
//! Two things do *not* end a rate. A new run of the agent goes on with the kernel's counters and the kernel's clock. Where
//! snapshots are lost, the rate over the longer time is its exact mean, and no bytes disappear from a sum.
//!
//! CPU percent is not among these rates: the agent measures it over its own interval, and it travels.

use std::{collections::HashMap, sync::Arc};

use super::{
    Kind, derived,
    process::{COUNTERS, PROCESS},
    rate,
    value::Value,
};
use crate::{
    HostName, Snapshot,
    snapshot::{HostSample, Process},
};

/// The latest snapshot of a host at some moment, with the one before it where the two can be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotPair {
    host: HostName,
    latest: Arc<Snapshot>,
    previous: Option<Arc<Snapshot>>,
}

/// A process of the latest snapshot, with its counters in the previous one.
#[derive(Debug, Clone, Copy)]
pub struct ProcessView<'a> {
    /// The process, as the latest snapshot has it.
    pub process: &'a Process,
    pair: &'a SnapshotPair,
    /// The same process in the previous snapshot, and the time since, in ms.
    earlier: Option<(&'a Process, i64)>,
}

/// The growth per second of a process's counters, in the order of [`COUNTERS`]; absent where unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessRates([Option<f64>; COUNTERS.len()]);

impl ProcessRates {
    /// The rates that `of` gives for the counters at their places in [`PROCESS`]; only for those that declare a rate.
    pub fn of(of: impl Fn(usize) -> Option<f64>) -> Self {
        Self(COUNTERS.map(|place| PROCESS.get(place)?.rate.and_then(|_| of(place))))
    }

    /// The rate of the counter at `place` in [`PROCESS`]; `None` where that is no counter.
    pub fn at(&self, place: usize) -> Option<f64> {
        let counter = COUNTERS.iter().position(|counter| *counter == place)?;
        self.0.get(counter).copied().flatten()
    }

    /// The rate of the counter of this name, such as `read_bytes`.
    pub fn named(&self, counter: &str) -> Option<f64> {
        self.at(PROCESS.iter().position(|field| field.name == counter)?)
    }
}

impl SnapshotPair {
    /// The pair of `latest` and the snapshot before it, which is left out where it is of another boot.
    pub fn new(host: HostName, latest: Arc<Snapshot>, previous: Option<Arc<Snapshot>>) -> Self {
        let previous = previous.filter(|previous| previous.boot_id == latest.boot_id);
        Self { host, latest, previous }
    }

    /// The host that sent both.
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// The later snapshot.
    pub fn latest(&self) -> &Snapshot {
        &self.latest
    }

    /// The earlier snapshot; `None` where it is unknown or of another boot.
    pub fn previous(&self) -> Option<&Snapshot> {
        self.previous.as_deref()
    }

    /// The same pair with `edit` applied to both snapshots.
    #[must_use]
    pub fn edited(self, edit: impl Fn(&mut Snapshot)) -> Self {
        let edited = |snapshot| {
            let mut snapshot = Arc::unwrap_or_clone(snapshot);
            edit(&mut snapshot);
            Arc::new(snapshot)
        };
        Self::new(self.host, edited(self.latest), self.previous.map(edited))
    }

    /// The time between the two by the host's monotonic clock, in ms and above zero; `None` where none passed.
    pub fn elapsed_ms(&self) -> Option<i64> {
        let elapsed_ms = self.latest.monotonic_ms.checked_sub(self.previous()?.monotonic_ms)?;
        i64::try_from(elapsed_ms).ok().filter(|elapsed_ms| *elapsed_ms > 0)
    }

    /// The growth per second of one of the host's own counters.
    pub fn host_rate(&self, counter: impl Fn(&HostSample) -> Option<u64>) -> Option<f64> {
        rate::of_counter(counter(&self.previous()?.host), counter(&self.latest.host), self.elapsed_ms()?)
    }

    /// Every process of the latest snapshot, in its order.
    pub fn processes(&self) -> impl Iterator<Item = ProcessView<'_>> {
        let before = self.previous().zip(self.elapsed_ms());
        let earlier: HashMap<(u32, i64), (&Process, i64)> = before
            .into_iter()
            .flat_map(|(previous, elapsed_ms)| previous.processes.iter().map(move |it| (it, elapsed_ms)))
            .map(|(process, elapsed_ms)| (process.key(), (process, elapsed_ms)))
            .collect();
        self.latest.processes.iter().map(move |process| ProcessView {
            process,
            pair: self,
            earlier: earlier.get(&process.key()).copied(),
        })
    }
}

impl<'a> ProcessView<'a> {
    /// The host that the process runs on.
    pub fn host(&self) -> &'a HostName {
        &self.pair.host
    }

    /// The growth per second of one of its counters.
    pub fn rate(&self, counter: impl Fn(&Process) -> Option<u64>) -> Option<f64> {
        let (earlier, elapsed_ms) = self.earlier?;
        rate::of_counter(counter(earlier), counter(self.process), elapsed_ms)
    }

    /// The growth per second of the counter at `place` in [`PROCESS`]; `None` for fields that are no counters.
    pub fn rate_at(&self, place: usize) -> Option<f64> {
        PROCESS.get(place).filter(|field| field.kind == Kind::Counter)?;
        self.rate(|process| counter_value(process.value(place)))
    }

    /// The growth per second of all its counters.
    pub fn rates(&self) -> ProcessRates {
        ProcessRates::of(|place| self.rate_at(place))
    }

    /// What its ended children used since the previous snapshot, in percent of one core.
    pub fn ended_children_percent(&self) -> Option<f64> {
        derived::ended_children_percent(self.process, self.pair.elapsed_ms()?)
    }

    /// How long ago it had started when the snapshot was captured, in µs.
    pub fn age_us(&self) -> i64 {
        derived::process_age_us(&self.pair.latest, self.process)
    }

    /// Its resident set, in percent of the machine's memory.
    pub fn memory_percent(&self) -> Option<f64> {
        derived::memory_percent(self.process.resident_bytes, derived::memory_total_bytes(&self.pair.latest))
    }
}

/// The value of a counter. [`Value::Integer`] cuts larger values down to `i64::MAX`: two of them would look equal,
/// which is a rate of zero that was not measured.
fn counter_value(value: Value<'_>) -> Option<u64> {
    value.integer().filter(|value| *value < i64::MAX).and_then(|value| u64::try_from(value).ok())
}

impl Process {
    /// Its identity within one boot of its host: pid and start.
    pub fn key(&self) -> (u32, i64) {
        (self.pid, self.start())
    }

    /// The second half of its identity: the start in ticks. Where there are none, the time of the start in µs, as -1 less
    /// it, so that no such start is taken for ticks.
    pub fn start(&self) -> i64 {
        self.start_ticks.and_then(|ticks| i64::try_from(ticks).ok()).unwrap_or(-1 - self.started_at_us)
    }
}

#[cfg(test)]
#[path = "pair_tests.rs"]
mod tests;
