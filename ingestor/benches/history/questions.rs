//! The questions, and how long the history takes to answer them.

use std::time::{Duration, Instant};

use fastrand::Rng;
use fleetps_ingestor::{
    filter::Filter,
    history::{
        BreakdownOf, EventQuery, History, Identity, SnapshotLookup, Span, TopBy, TopGroup, TopQuery, diff,
    },
};
use fleetps_nats::HostName;

use crate::make::DAY_US;

const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3600 * SECOND_US;
/// Points of a chart: about its width in pixels.
pub const POINTS: usize = 600;

/// How long something took.
pub struct Times {
    /// Each time, by the clock.
    pub each: Vec<Duration>,
    /// All together, of processors.
    pub cpu: Duration,
}

impl Times {
    /// Of which only the clock is known.
    pub fn new(each: Vec<Duration>) -> Self {
        Self { each, cpu: Duration::ZERO }
    }

    /// In ms.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        self.each.sort_unstable();
        let place = (self.each.len() * percent / 100).min(self.each.len() - 1);
        self.each[place].as_secs_f64() * 1e3
    }
}

/// Does something again and again; the first time does not count.
pub fn times(count: usize, mut work: impl FnMut()) -> Times {
    work();
    let once = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let start_cpu = cpu();
    let each = (0..count).map(once).collect();
    Times { each, cpu: cpu() - start_cpu }
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

/// The hosts that a history knows.
pub fn hosts(history: &History) -> Vec<HostName> {
    let database = history.database().unwrap();
    let mut statement = database.prepare("SELECT DISTINCT host FROM host_sample ORDER BY host").unwrap();
    let hosts = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    hosts.map(|host| host.unwrap().parse().unwrap()).collect()
}

/// A history and what to ask of it.
pub struct Questions<'a> {
    pub history: &'a History,
    pub hosts: Vec<HostName>,
    /// What it holds.
    pub held: Span,
    pub rng: Rng,
}

impl Questions<'_> {
    pub fn host(&mut self) -> HostName {
        self.hosts[self.rng.usize(0..self.hosts.len())].clone()
    }

    /// A moment that has `room_us` of history before it, or all there is.
    pub fn moment(&mut self, room_us: i64) -> i64 {
        self.rng.i64((self.held.from_us + room_us).min(self.held.to_us - 1)..self.held.to_us)
    }

    pub fn span(&mut self, length_us: i64) -> Span {
        let to_us = self.moment(length_us);
        Span { from_us: to_us - length_us, to_us }
    }

    /// A process that lived at some moment.
    pub fn process(&mut self) -> (Identity, i64) {
        loop {
            let (host, at_us) = (self.host(), self.moment(DAY_US));
            if let SnapshotLookup::Snapshot(past) = self.history.snapshot_at(&host, at_us).unwrap() {
                let process =
                    &past.pair.latest().processes[self.rng.usize(0..past.pair.latest().processes.len())];
                return (Identity::of(&host, &past.pair.latest().boot_id, process), at_us);
            }
        }
    }

    pub fn random_moment(&mut self) -> Times {
        let history = self.history;
        times(300, || {
            let (host, at_us) = (self.host(), self.moment(DAY_US));
            assert!(matches!(history.snapshot_at(&host, at_us).unwrap(), SnapshotLookup::Snapshot(_)));
        })
    }

    /// From one snapshot to the next, as a key that is held down does.
    pub fn steps(&mut self) -> Times {
        let (history, host, mut at_us) = (self.history, self.host(), self.moment(DAY_US));
        times(300, || {
            let SnapshotLookup::Snapshot(past) = history.snapshot_at(&host, at_us).unwrap() else { panic!() };
            at_us = past.later_us.unwrap_or(at_us);
        })
    }

    pub fn snapshots(&mut self) -> Times {
        let history = self.history;
        times(100, || {
            let (host, span) = (self.host(), self.span(HOUR_US));
            history.snapshots(&host, span, 1000).unwrap();
        })
    }

    pub fn host_metrics(&mut self, count: usize, length_us: i64) -> Times {
        let history = self.history;
        times(count, || {
            let (host, span) = (self.host(), self.span(length_us));
            history.host_metrics(&host, span, POINTS, &[]).unwrap();
        })
    }

    pub fn process_metrics(&mut self) -> Times {
        let history = self.history;
        let mut processes: Vec<_> = (0..101).map(|_| self.process()).collect();
        times(100, || {
            let Some((identity, at_us)) = processes.pop() else { return };
            let span = Span { from_us: at_us - DAY_US / 2, to_us: at_us + DAY_US / 2 };
            history.process_metrics(&identity, span, POINTS).unwrap();
        })
    }

    pub fn breakdown(&mut self) -> Times {
        let history = self.history;
        times(30, || {
            let (host, span) = (self.host(), self.span(DAY_US));
            history.breakdown(&host, span, BreakdownOf::Cpu, 120, 8).unwrap();
        })
    }

    pub fn events(&mut self) -> Times {
        let history = self.history;
        times(30, || {
            let (host, span) = (self.host(), self.span(DAY_US));
            history.events(&EventQuery { host: Some(host.clone()), ..EventQuery::of(span, 200) }).unwrap();
        })
    }

    pub fn diff(&mut self) -> Times {
        let history = self.history;
        times(100, || {
            let (host, span) = (self.host(), self.span(HOUR_US));
            let at = |at_us| history.snapshot_at(&host, at_us).unwrap();
            if let (SnapshotLookup::Snapshot(from), SnapshotLookup::Snapshot(to)) =
                (at(span.from_us), at(span.to_us))
            {
                diff(from.pair.latest(), to.pair.latest());
            }
        })
    }

    pub fn top(&mut self, count: usize, length_us: i64) -> Times {
        let history = self.history;
        times(count, || {
            let span = self.span(length_us);
            let query = TopQuery { by: TopBy::Cpu, group: TopGroup::Name, span, host: None, limit: 20 };
            history.top(&query).unwrap();
        })
    }

    pub fn search(&mut self) -> Times {
        let (history, filter) = (self.history, Filter::parse("postgres and mem > 10M").unwrap());
        times(50, || {
            let at_us = self.moment(DAY_US);
            history.search(&filter, at_us, 200).unwrap();
        })
    }
}
