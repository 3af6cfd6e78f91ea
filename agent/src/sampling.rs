//! The sampling thread: a snapshot at every moment of the grid of intervals, and whatever it is told in between.

use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use fleetps_nats::{agent_settings::Watch, service_manager::Pulse, snapshot::Snapshot};

use crate::{
    publish::Outbox,
    remote::{Order, Remote, Sampling},
    sample::{Boot, FIRST_WAIT, Packer, Sampler, UnknownSystem},
};

/// Sampling for those who watch takes at most a twentieth of a core: a host of 500 processes has a tenth of that every
/// second, and one of 20,000 is sampled every few seconds.
const SHARE_OF_A_CORE: u32 = 20;
/// How soon after a command has ended those who watch are shown: the parent of a process that has ended takes note of it within a
/// millisecond mostly, and until then it is listed as a zombie.
const TAKEN_NOTE: Duration = Duration::from_millis(5);
/// The shortest time between two passes for those who watch: in a shorter one, CPU percent would be counted in clock ticks of 10 ms.
const BETWEEN_PASSES: Duration = Duration::from_millis(100);
/// Passes after a command has ended: the second sees what the first came too early for.
const REFRESHES: u32 = 2;
/// The longest that a pass may take: nothing in it waits, and 20,000 processes take a second.
const PASS_WITHIN: Duration = Duration::from_secs(60);

/// Sampling cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SamplingError {
    #[error(transparent)]
    System(#[from] UnknownSystem),
    #[error("cannot start sampling")]
    Start(#[source] io::Error),
}

/// Samples until it is told to stop.
///
/// # Errors
/// When this system cannot be sampled, or a compressor cannot be made.
pub(crate) fn run(
    remote: &Remote,
    orders: mpsc::Sender<Order>,
    outbox: Outbox,
    sharp_out: watch::Sender<Bytes>,
    announce: oneshot::Sender<String>,
    told: &mpsc::Receiver<Order>,
) -> Result<(), SamplingError> {
    let sampling = remote.begin(orders);
    let boot = Boot::current(&sampling.settings.state);
    let sampler = Sampler::new(&sampling.settings, boot)?;
    let packer = Packer::new().map_err(SamplingError::Start)?;
    let _ = announce.send(sampler.run_id().to_owned());
    remote.confirm(&sampling);
    let due = Instant::now() + sampling.settings.interval.min(FIRST_WAIT);
    let mut schedule = Schedule { remote, sampling, sampler, packer, outbox, due, sharp_out, sharp: None };
    if !schedule.sampling.enabled {
        // The run before may have ended before the stream had its last snapshot, which says that none follows.
        schedule.sample(true);
    }
    schedule.follow(told);
    Ok(())
}

/// What is sampled when.
struct Schedule<'a> {
    remote: &'a Remote,
    sampling: Sampling,
    sampler: Sampler,
    packer: Packer,
    outbox: Outbox,
    due: Instant,
    /// Where snapshots between those of the stream go.
    sharp_out: watch::Sender<Bytes>,
    sharp: Option<Sharp>,
}

impl Schedule<'_> {
    fn follow(mut self, told: &mpsc::Receiver<Order>) {
        let pulse = Pulse::of("sampling");
        loop {
            let order = if self.sampling.enabled {
                let pause = self.next().saturating_duration_since(Instant::now());
                pulse.beat(pause + PASS_WITHIN);
                told.recv_timeout(pause)
            } else {
                pulse.rest();
                told.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match order {
                Ok(Order::Sample(next)) => self.change(*next),
                Ok(Order::Watch(wish)) => self.watch(wish),
                Ok(Order::Refresh) => {
                    if let Some(sharp) = &mut self.sharp {
                        sharp.refresh();
                    }
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if self.due > Instant::now() => self.sample_sharp(),
                Err(RecvTimeoutError::Timeout) => {
                    let started = Instant::now();
                    self.sample(false);
                    self.due = next_due(self.due, self.sampling.settings.interval, started.elapsed());
                }
            }
        }
    }

    /// When something is to be done next.
    fn next(&self) -> Instant {
        self.sharp.as_ref().map_or(self.due, |sharp| self.due.min(sharp.due))
    }

    /// Samples more often until the lease ends. A host that does so anyway has nothing to do.
    fn watch(&mut self, wish: Watch) {
        let is_sharper = wish.interval() < self.sampling.settings.interval;
        if !self.sampling.enabled || !is_sharper || self.sharp_out.receiver_count() == 0 {
            return;
        }
        if self.sharp.is_none() {
            self.sharp = Sharp::beside(&self.sampler, wish);
        }
        if let Some(sharp) = &mut self.sharp {
            sharp.renew(wish);
        }
    }

    /// A snapshot between two of the stream: of the same run, as the last one with newer values.
    fn sample_sharp(&mut self) {
        let Some(sharp) = &mut self.sharp else { return };
        if Instant::now() >= sharp.until {
            self.sharp = None;
            self.remote.slowed(None);
            return;
        }
        let message = sharp.sample(self.outbox.dropped(), self.sampler.run_id(), self.sampler.sequence());
        self.remote.slowed(sharp.slowed_to());
        message.map(|message| self.sharp_out.send_replace(message));
    }

    /// Samples in another way from now on. Before a pause one more snapshot is taken, which says that none follows.
    fn change(&mut self, next: Sampling) {
        if self.sampling.enabled && !next.enabled {
            self.sample(true);
        }
        let now = Instant::now();
        let latest = if self.sampling.enabled { now + next.settings.interval } else { now };
        self.due = self.due.min(latest);
        // It is made anew, with these settings, when the lease is renewed.
        self.sharp = None;
        self.remote.slowed(None);
        self.sampler.set(next.settings.clone());
        self.sampling = next;
        self.remote.confirm(&self.sampling);
    }

    fn sample(&mut self, is_last: bool) {
        let mut snapshot = self.sampler.sample(self.outbox.dropped());
        snapshot.host_info.paused = is_last.then_some(true);
        match self.sampler.pack(&mut snapshot, &mut self.packer) {
            Ok(message) => {
                let sampled_at = Some(Duration::from_millis(snapshot.monotonic_ms));
                let processes = snapshot.processes.len();
                self.outbox.push_sampled(snapshot.sequence, message, processes, sampled_at);
            }
            Err(error) => tracing::error!(error = %error, "a snapshot cannot be packed and is left out"),
        }
    }
}

/// Samples for those who watch. It has a sampler of its own, so that what the stream gets, CPU percent over whole
/// intervals included, does not depend on who looks.
struct Sharp {
    sampler: Sampler,
    packer: Packer,
    wished: Duration,
    interval: Duration,
    due: Instant,
    until: Instant,
    /// When the last pass began, and the shortest time from it to the next.
    passed: Instant,
    rests: Duration,
    /// Passes that are still to come before their time.
    refreshes: u32,
}

impl Sharp {
    fn beside(sampler: &Sampler, wish: Watch) -> Option<Self> {
        let sampler = sampler.another().ok()?;
        let (packer, interval, now) = (Packer::new().ok()?, wish.interval(), Instant::now());
        let due = now + interval.min(FIRST_WAIT);
        let (passed, rests, refreshes) = (now, FIRST_WAIT, 0);
        Some(Self { sampler, packer, wished: interval, interval, due, until: now, passed, rests, refreshes })
    }

    /// Samples soon, as far as it may cost that.
    fn refresh(&mut self) {
        self.refreshes = REFRESHES;
        self.hasten();
    }

    fn hasten(&mut self) {
        let soonest = (Instant::now() + TAKEN_NOTE).max(self.passed + self.rests);
        self.due = self.due.min(soonest);
    }

    fn renew(&mut self, wish: Watch) {
        self.until = Instant::now() + wish.lease();
        self.wished = wish.interval();
    }

    /// How often it samples, where that is less often than is wished.
    fn slowed_to(&self) -> Option<Duration> {
        (self.interval > self.wished).then_some(self.interval)
    }

    /// Takes a snapshot and packs it, as the last one of the stream with newer values; slows down where that takes more than its
    /// share of a core. `None` before the first of the stream, from which it would go on.
    fn sample(&mut self, dropped: u64, run_id: &str, sequence: u64) -> Option<Bytes> {
        let started = Instant::now();
        let snapshot = self.sampler.sample(dropped);
        let mut snapshot = Snapshot { run_id: run_id.to_owned(), sequence, ..snapshot };
        let packed =
            (sequence > 0).then(|| self.sampler.pack(&mut snapshot, &mut self.packer).ok()).flatten();
        let affordable = started.elapsed() * SHARE_OF_A_CORE;
        let interval = self.wished.max(affordable);
        if interval > self.wished && self.interval == self.wished {
            tracing::info!(?interval, wished = ?self.wished, "somebody watches this host; sampling it as often as wished costs too much");
        }
        self.interval = interval;
        self.due = next_due(self.due, self.interval, started.elapsed());
        (self.passed, self.rests) = (started, affordable.max(BETWEEN_PASSES));
        self.refreshes = self.refreshes.saturating_sub(1);
        if self.refreshes > 0 {
            self.hasten();
        }
        packed.map(Bytes::from)
    }
}

/// The next moment on the grid of intervals; moments that went by while sampling took too long are left out.
fn next_due(due: Instant, interval: Duration, took: Duration) -> Instant {
    if took > interval {
        tracing::warn!(
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "taking a sample took longer than the interval; make the interval longer"
        );
    }
    let next = due + interval;
    let now = Instant::now();
    if next >= now { next } else { now + interval }
}
