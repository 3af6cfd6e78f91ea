//! Publishing a simulated fleet: one thread makes and packs the snapshots, one task per host publishes them.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use fleetps_nats::{
    connection::{Broker, ConnectionError},
    now_us,
    snapshot::{EncodeError, Encoder},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Fleet, SimulationSettings,
    past::{Due, Filling},
};
use crate::publish::{Outbox, Publisher, RING_BYTES};

/// The memory limit of all hosts together while the broker is away.
const ALL_RINGS_BYTES: usize = 256 << 20;
/// The least a host may hold: several snapshots of a few hundred processes.
const MIN_RING_BYTES: usize = 64 << 10;
/// Snapshots of a host that may wait while a history is filled; the next is made when one has left.
const HISTORY_WAITING: usize = 4;
/// How soon the thread looks again whether a host has room for more of its past.
const ROOM_POLL: Duration = Duration::from_millis(1);
/// How long the thread sleeps at most before it looks whether it should stop.
const STOP_POLL: Duration = Duration::from_millis(100);
/// The broker's name for the simulator, and the start of its inbox, which its permissions name.
const CLIENT_NAME: &str = "fleetps-agent simulate";
const INBOX_PREFIX: &str = "_INBOX_simulator";

/// The simulation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The broker's settings are wrong.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A thread or a compressor could not be made.
    #[error("cannot start the simulation; is the machine out of memory or threads?")]
    Start(#[source] io::Error),
    /// A snapshot cannot be packed.
    #[error("cannot pack a simulated snapshot; simulate fewer processes per host")]
    Encode(#[from] EncodeError),
    /// The generating thread panicked.
    #[error("the simulating thread ended unexpectedly; please report this")]
    Thread,
}

/// The counts of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulationEnd {
    /// Snapshots made.
    pub made: u64,
    /// Snapshots of these that were dropped because the broker was away.
    pub dropped: u64,
    /// Snapshots of these that the stream had not accepted when the simulation ended.
    pub unsent: u64,
}

/// Publishes a simulated fleet until `shutdown`, or until `settings.rounds` snapshots of every host were made and taken.
/// Snapshots are spread evenly over the interval; when the machine cannot keep up, they come as fast as it can. A past is
/// published while nothing else is due, as fast as the broker takes it; rounds are counted without it.
pub async fn run(
    mut settings: SimulationSettings,
    broker: Broker,
    shutdown: CancellationToken,
) -> Result<SimulationEnd, SimulationError> {
    if settings.run_id.is_empty() {
        settings.run_id = format!("{:012x}", fastrand::u64(..) & 0xffff_ffff_ffff);
    }
    let client = broker.connect_later(CLIENT_NAME, INBOX_PREFIX).await?;
    let fleet = Fleet::new(&settings);
    let ring_bytes = (ALL_RINGS_BYTES / fleet.host_names().len()).clamp(MIN_RING_BYTES, RING_BYTES);
    let publishers = TaskTracker::new();
    let stop_publishing = CancellationToken::new();
    let mut outboxes = Vec::new();
    for host in fleet.host_names() {
        let outbox = Outbox::new(ring_bytes);
        publishers.spawn(Publisher::new(client.clone(), host, outbox.clone()).run(stop_publishing.clone()));
        outboxes.push(outbox);
    }
    publishers.close();
    let filling = Filling::new(settings.past, outboxes.len());
    let generator =
        Generator { settings, fleet, filling, outboxes: outboxes.clone(), stop: shutdown.clone() };
    let (done, made) = tokio::sync::oneshot::channel();
    thread::Builder::new()
        .name("simulate".to_owned())
        .spawn(move || done.send(generator.run()))
        .map_err(SimulationError::Start)?;
    let made = made.await.map_err(|_| SimulationError::Thread)??;
    wait_until_sent(&outboxes, &shutdown).await;
    stop_publishing.cancel();
    publishers.wait().await;
    Ok(SimulationEnd {
        made,
        dropped: outboxes.iter().map(Outbox::dropped).sum(),
        unsent: outboxes.iter().map(|outbox| outbox.waiting() as u64).sum(),
    })
}

/// A simulation that ended by itself waits for the broker; one that was stopped does not.
async fn wait_until_sent(outboxes: &[Outbox], shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() && outboxes.iter().any(|outbox| outbox.waiting() > 0) {
        tokio::time::sleep(STOP_POLL / 10).await;
    }
}

struct Generator {
    settings: SimulationSettings,
    fleet: Fleet,
    filling: Filling,
    outboxes: Vec<Outbox>,
    stop: CancellationToken,
}

impl Generator {
    /// Makes snapshots until told to stop; how many it made.
    fn run(mut self) -> Result<u64, SimulationError> {
        let mut encoder = Encoder::new().map_err(SimulationError::Start)?;
        let mut schedule = Schedule::new(&self.settings, self.outboxes.len());
        let mut made = 0;
        let rounds = self.settings.rounds.unwrap_or(u64::MAX);
        for round in 0..rounds {
            for host in 0..self.outboxes.len() {
                loop {
                    if self.stop.is_cancelled() {
                        return Ok(made);
                    }
                    let wait = self.wait(&mut schedule, round, host);
                    if wait.is_zero() {
                        break;
                    }
                    match self.next_of_past() {
                        Some(due) => made += self.make(&mut encoder, due)?,
                        None => thread::sleep(wait.min(self.poll())),
                    }
                }
                if self.filling.is_filled(host) {
                    let captured_at_us = schedule.captured_at_us(round, host);
                    let due = Due { host, captured_at_us, interval: self.settings.interval };
                    made += self.make(&mut encoder, due)?;
                }
            }
        }
        Ok(made)
    }

    /// Makes a snapshot and leaves it to be published; how many that is.
    fn make(&mut self, encoder: &mut Encoder, due: Due) -> Result<u64, SimulationError> {
        let Due { host, captured_at_us, interval } = due;
        let snapshot = self.fleet.snapshot_every(host, captured_at_us, interval);
        let message = encoder.encode(&snapshot)?;
        self.outboxes[host].push(snapshot.sequence, message, snapshot.processes.len());
        Ok(1)
    }

    /// How long to wait for this snapshot.
    fn wait(&self, schedule: &mut Schedule, round: u64, host: usize) -> Duration {
        match self.settings.starts_at_us {
            None => schedule.wait(round, host),
            Some(_) if self.has_room(host) => Duration::ZERO,
            Some(_) => ROOM_POLL,
        }
    }

    /// The next snapshot of the past, when there is one and its host has room for it.
    fn next_of_past(&mut self) -> Option<Due> {
        let before = self.filling.filled();
        let due = self.filling.next(now_us());
        let (hosts, of) = self.filling.filled();
        if (hosts, of) != before {
            tracing::info!(hosts, of, "simulated hosts have a past");
        }
        let due = due.filter(|due| self.has_room(due.host))?;
        self.filling.advance();
        Some(due)
    }

    fn has_room(&self, host: usize) -> bool {
        self.outboxes[host].waiting() < HISTORY_WAITING
    }

    /// How soon to look again: whether to stop, or whether there is room for more of the past.
    fn poll(&self) -> Duration {
        let (filled, hosts) = self.filling.filled();
        if filled < hosts { ROOM_POLL } else { STOP_POLL }
    }
}

/// When which host is due.
struct Schedule {
    started: Instant,
    /// By how much everything was put off because the machine could not keep up.
    late: Duration,
    interval: Duration,
    hosts: u32,
    starts_at_us: Option<i64>,
}

impl Schedule {
    fn new(settings: &SimulationSettings, hosts: usize) -> Self {
        Self {
            started: Instant::now(),
            late: Duration::ZERO,
            interval: settings.interval,
            hosts: u32::try_from(hosts).unwrap_or(u32::MAX),
            starts_at_us: settings.starts_at_us,
        }
    }

    /// How long after the start a snapshot is due: hosts are spread evenly over the interval.
    fn due(&self, round: u64, host: usize) -> Duration {
        let offset = self.interval * u32::try_from(host).unwrap_or(u32::MAX) / self.hosts;
        self.interval * u32::try_from(round).unwrap_or(u32::MAX) + offset
    }

    /// How long to wait for it. Who is over an interval late gives up on catching up, as a real agent does.
    fn wait(&mut self, round: u64, host: usize) -> Duration {
        let (due, elapsed) = (self.due(round, host) + self.late, self.started.elapsed());
        if elapsed > due + self.interval {
            self.late += elapsed - due;
        }
        due.saturating_sub(elapsed)
    }

    fn captured_at_us(&self, round: u64, host: usize) -> i64 {
        match self.starts_at_us {
            Some(starts_at_us) => {
                let due_us = i64::try_from(self.due(round, host).as_micros()).unwrap_or(i64::MAX);
                starts_at_us.saturating_add(due_us)
            }
            None => now_us(),
        }
    }
}
