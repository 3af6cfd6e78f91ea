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
    cpu_time,
    pace::{Pace, next_due},
    publish::Outbox,
    remote::{Order, Remote, Sampling},
    sample::{Boot, FIRST_WAIT, Packer, Sampler, UnknownSystem},
};

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
                        sharp.pace.refresh(Instant::now());
                    }
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if self.is_sharp() => self.sample_sharp(),
                Err(RecvTimeoutError::Timeout) => {
                    let started = Instant::now();
                    self.sample(false);
                    self.due = next_due(self.due, self.sampling.settings.interval, started, Instant::now());
                }
            }
        }
    }

    /// When something is to be done next.
    fn next(&self) -> Instant {
        self.sharp.as_ref().map_or(self.due, |sharp| self.due.min(sharp.pace.due()))
    }

    /// Samples more often until the lease ends. A host that does so anyway has nothing to do.
    fn watch(&mut self, wish: Watch) {
        let is_sharper = wish.interval() < self.sampling.settings.interval;
        if !self.sampling.enabled || !is_sharper || self.sharp_out.receiver_count() == 0 {
            return;
        }
        let now = Instant::now();
        if self.sharp.is_none() {
            let own = match self.sampling.keeps_watched {
                true => None,
                false => {
                    let Some(own) = Beside::of(&self.sampler) else { return };
                    Some(own)
                }
            };
            self.sharp = Some(Sharp { own, pace: Pace::new(wish.interval(), now), until: now });
        }
        if let Some(sharp) = &mut self.sharp {
            sharp.until = now + wish.lease();
            sharp.pace.wish(wish.interval());
        }
    }

    /// Whether what is due now is a sample for those who watch. Where these are kept, each of the stream is one of them.
    fn is_sharp(&self) -> bool {
        self.sharp.as_ref().is_some_and(|sharp| sharp.own.is_none() || self.due > Instant::now())
    }

    /// A snapshot between two of the stream: of the same run, as the last one with newer values. Where it is kept, it is one of the
    /// stream.
    fn sample_sharp(&mut self) {
        let Some(mut sharp) = self.sharp.take() else { return };
        let (started, used) = (Instant::now(), cpu_time::of_this_thread());
        if started >= sharp.until {
            self.remote.slowed(None);
            return;
        }
        match &mut sharp.own {
            Some(own) => {
                let message =
                    own.sample(self.outbox.dropped(), self.sampler.run_id(), self.sampler.sequence());
                message.map(|message| self.sharp_out.send_replace(message));
            }
            None => {
                self.sample(false);
                self.due = started + self.sampling.settings.interval;
            }
        }
        let cost = cpu_time::of_this_thread().saturating_sub(used);
        sharp.pace.passed(started, Instant::now(), cost);
        self.remote.slowed(sharp.pace.slowed_to());
        self.sharp = Some(sharp);
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

/// Samples for those who watch, until their lease ends.
struct Sharp {
    /// Its own sampler; absent where what it samples is kept, and the usual one does so.
    own: Option<Beside>,
    pace: Pace,
    until: Instant,
}

/// A sampler of its own, so that what the stream gets, CPU percent over whole intervals included, does not depend on who looks.
struct Beside {
    sampler: Sampler,
    packer: Packer,
}

impl Beside {
    fn of(sampler: &Sampler) -> Option<Self> {
        Some(Self { sampler: sampler.another().ok()?, packer: Packer::new().ok()? })
    }

    /// Takes a snapshot and packs it, as the last one of the stream with newer values. `None` before the first of the stream, from
    /// which it would go on.
    fn sample(&mut self, dropped: u64, run_id: &str, sequence: u64) -> Option<Bytes> {
        let snapshot = self.sampler.sample(dropped);
        let mut snapshot = Snapshot { run_id: run_id.to_owned(), sequence, ..snapshot };
        let packed =
            (sequence > 0).then(|| self.sampler.pack(&mut snapshot, &mut self.packer).ok()).flatten();
        packed.map(Bytes::from)
    }
}
