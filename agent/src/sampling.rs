//! The sampling thread: a snapshot at every moment of the grid of intervals, and whatever it is told in between.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    publish::Outbox,
    remote::{Order, Remote, Sampling},
    run::AgentError,
    sample::{Boot, FIRST_WAIT, Packer, Sampler},
};

/// Samples until it is told to stop.
///
/// # Errors
/// When this system cannot be sampled, or a compressor cannot be made.
pub(crate) fn run(
    remote: &Remote,
    orders: mpsc::Sender<Order>,
    outbox: Outbox,
    announce: oneshot::Sender<String>,
    told: &mpsc::Receiver<Order>,
) -> Result<(), AgentError> {
    let sampling = remote.begin(orders);
    let boot = Boot::current(&sampling.settings.state);
    let sampler = Sampler::new(&sampling.settings, boot)?;
    let packer = Packer::new().map_err(AgentError::Start)?;
    let _ = announce.send(sampler.run_id().to_owned());
    remote.confirm(&sampling);
    let due = Instant::now() + sampling.settings.interval.min(FIRST_WAIT);
    Schedule { remote, sampling, sampler, packer, outbox, due }.follow(told);
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
}

impl Schedule<'_> {
    fn follow(mut self, told: &mpsc::Receiver<Order>) {
        loop {
            let order = match self.sampling.enabled {
                true => told.recv_timeout(self.due.saturating_duration_since(Instant::now())),
                false => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(Order::Sample(next)) => self.change(*next),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let started = Instant::now();
                    self.sample(false);
                    self.due = next_due(self.due, self.sampling.settings.interval, started.elapsed());
                }
            }
        }
    }

    /// Samples in another way from now on. Before a pause one more snapshot is taken, which says that none follows.
    fn change(&mut self, next: Sampling) {
        if self.sampling.enabled && !next.enabled {
            self.sample(true);
        }
        let now = Instant::now();
        let latest = if self.sampling.enabled { now + next.settings.interval } else { now };
        self.due = self.due.min(latest);
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
