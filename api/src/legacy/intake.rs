//! From a translated post to a message in the stream.
//!
//! A post is answered when the stream has it, and when the live pages have it or half a second has passed, so that a page which
//! asks next sees it. Repeats are recognised by the body of the post.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use bytes::Bytes;
use fleetps_ingestor::history::Scope;
use fleetps_nats::{
    HostName, error_chain, now_us,
    snapshot::{EncodeError, Encoder},
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    Fault, Legacy, LegacyHost, System,
    making::{Making, Post},
};
use crate::{
    gate::{BodyHash, Incoming, NotStored},
    live::{Fleet, Moment},
};

/// How long a post may take in all: agents wait 10 s for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(8_500);
/// How long an answer waits for the live pages to have what the stream has: they do within milliseconds.
const SHOWN_TIMEOUT: Duration = Duration::from_millis(500);
/// Posts of one host under way at once, as in the gate.
const MAX_POSTS_OF_A_HOST: usize = 4;
/// Snapshots made at once: each takes a processor for milliseconds, and up to 50 MB where it has 20,000 processes.
const MAX_MADE_AT_ONCE: usize = 4;
/// Hosts remembered; those without a post under way are forgotten beyond it.
const MAX_HOSTS: usize = 50_000;
/// The longest interval that is believed: a host is judged silent by it.
const MAX_INTERVAL_MS: i64 = 3_600_000;
/// Bodies of one host that are remembered, as in the gate.
const MAX_BODIES: usize = 32;
/// An agent that sends the same again does so within 36 s: three tries of 10 s, with 2 s and 4 s between. A machine on which
/// nothing changed sends the same, too, and is not silent.
const AGAIN_WITHIN: Duration = Duration::from_secs(45);
/// How often it is logged that posts are refused.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// A post that is answered with 2xx.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted {
    /// The sequence in the stream; of one that is not stored, that of the host's last message.
    pub sequence: u64,
}

/// What is known of the hosts that post.
#[derive(Debug)]
pub(super) struct Posting {
    hosts: Mutex<HashMap<HostName, Arc<OneHost>>>,
    making: Semaphore,
    /// The beginning of the names of runs. A run counts by itself, and no two servers have the same one.
    run_prefix: String,
    runs: AtomicU64,
    said: Mutex<Option<Instant>>,
}

/// What is known of one host.
#[derive(Debug, Default)]
struct OneHost {
    /// Held by the post that is being stored.
    state: tokio::sync::Mutex<State>,
    /// The greatest time of capture, and the sequence in the stream of that.
    latest: Mutex<Option<(i64, u64)>>,
}

/// What the next snapshot of one host is numbered and judged by.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Of the numbers: begun anew when the host was forgotten meanwhile.
    run_id: String,
    /// The last number that was used. One whose post may be stored, as far as is known, is never used again: readers would
    /// take the second for a repeat.
    sequence: u64,
    /// The last number that was stored.
    stored: u64,
    captured_at_us: Option<i64>,
    gap_ms: Option<i64>,
    bodies: Bodies,
}

impl Posting {
    /// Nobody has posted yet.
    pub(super) fn new() -> Self {
        let run_prefix = format!("legacy-{:x}-{:x}", now_us(), std::process::id());
        Self {
            hosts: Mutex::default(),
            making: Semaphore::new(MAX_MADE_AT_ONCE),
            run_prefix,
            runs: AtomicU64::new(0),
            said: Mutex::default(),
        }
    }

    fn of(&self, host: &HostName) -> Option<Arc<OneHost>> {
        let mut hosts = self.hosts.lock();
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(host) {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let new = || {
            let number = self.runs.fetch_add(1, Relaxed);
            let run_id = format!("{}-{number:x}", self.run_prefix);
            let state = tokio::sync::Mutex::new(State { run_id, ..State::default() });
            Arc::new(OneHost { state, latest: Mutex::default() })
        };
        let known = hosts.entry(host.clone()).or_insert_with(new);
        (Arc::strong_count(known) <= MAX_POSTS_OF_A_HOST).then(|| Arc::clone(known))
    }

    /// The greatest time of capture that this server has stored of `host`, and the sequence in the stream of that.
    pub(super) fn latest(&self, host: &HostName) -> Option<(i64, u64)> {
        self.hosts.lock().get(host).and_then(|known| *known.latest.lock())
    }
}

impl Legacy {
    /// Puts a post of `known` into the stream; `body` is what it was made from.
    ///
    /// # Errors
    /// When it cannot be stored, or is no snapshot.
    pub(crate) async fn store(
        &self,
        system: System,
        known: &LegacyHost,
        post: Post,
        body: &Bytes,
    ) -> Result<Accepted, Fault> {
        if known.record.is_superseded() {
            self.registry.count_superseded();
            let sequence = self.last_message(&known.host).await?.map_or(0, |message| message.sequence);
            return Ok(Accepted { sequence });
        }
        let Some(one) = self.posting.of(&known.host) else {
            let (status, wait) = (StatusCode::TOO_MANY_REQUESTS, Duration::from_secs(1));
            return Err(Fault::for_now(status, "flood", "this host has too many posts under way", wait));
        };
        let storing = async {
            let mut state = one.state.lock().await;
            let captured_at_us = post.captured_at_us.unwrap_or_else(now_us);
            let accepted = self.store_next(system, known, post, captured_at_us, body, &mut state).await?;
            let mut latest = one.latest.lock();
            if latest.is_none_or(|(latest_us, _)| captured_at_us >= latest_us) {
                *latest = Some((captured_at_us, accepted.sequence));
            }
            Ok(accepted)
        };
        let stored = tokio::time::timeout(REQUEST_TIMEOUT, storing)
            .await
            .unwrap_or_else(|_| Err(Fault::unavailable()));
        if let Err(fault) = &stored
            && fault.status() == StatusCode::BAD_REQUEST
        {
            self.say_refused(&known.host, fault);
        }
        stored
    }

    async fn store_next(
        &self,
        system: System,
        known: &LegacyHost,
        post: Post,
        captured_at_us: i64,
        body: &Bytes,
        state: &mut State,
    ) -> Result<Accepted, Fault> {
        let host = &known.host;
        let run_id = state.run_id.clone();
        let sequence = state.sequence + 1;
        shown(&self.shared.fleet, host, &run_id, state.stored).await;
        let interval_ms = state.interval_ms(system, captured_at_us);
        let making =
            Making { system, known: known.clone(), post, captured_at_us, interval_ms, run_id, sequence };
        let hash = state.bodies.hash_of(system, body);
        let message = self.make(making).await?;
        let (run, body_hash) = (state.run_id.clone(), Some(hash));
        let incoming = Incoming { message, run, sequence, age: None, body: body_hash, after: None };
        state.sequence = sequence;
        let stored = match self.gate.store(host, incoming).await {
            Ok(stored) if stored.is_repeat => {
                state.sequence -= 1;
                self.counts.count("repeat");
                return Ok(Accepted { sequence: stored.sequence });
            }
            Ok(stored) => stored,
            // It may be stored all the same.
            Err(error @ NotStored::Unavailable) => return Err(error.into()),
            Err(error) => {
                state.sequence -= 1;
                return Err(error.into());
            }
        };
        self.counts.count("stored");
        state.stored = sequence;
        state.bodies.stored(body);
        state.took(captured_at_us);
        shown(&self.shared.fleet, host, &state.run_id, sequence).await;
        Ok(Accepted { sequence: stored.sequence })
    }

    /// Makes the message on a thread that serves no requests.
    async fn make(&self, making: Making) -> Result<Bytes, Fault> {
        let _turn = self.posting.making.acquire().await;
        let fleet = Arc::clone(&self.shared.fleet);
        let made = tokio::task::spawn_blocking(move || {
            let before = fleet.moment(&Scope::everything(), &making.known.host);
            let snapshot = making.snapshot(before.as_ref().map(Moment::snapshot));
            let mut encoder = Encoder::new().map_err(EncodeError::Compress)?;
            encoder.encode(&snapshot)
        });
        match made.await {
            Ok(Ok(message)) => Ok(message.into()),
            Ok(Err(EncodeError::TooLong(_))) => {
                Err(Fault::too_large("the snapshot packs to more than 1 MiB"))
            }
            Ok(Err(error)) => {
                tracing::error!(error = error_chain(&error), "a post cannot be packed");
                Err(Fault::unavailable())
            }
            Err(error) => {
                tracing::error!(%error, "making a snapshot of a post panicked");
                Err(Fault::unavailable())
            }
        }
    }

    /// Logs that posts of `host` cannot be snapshots; the gate has kept what it was given.
    fn say_refused(&self, host: &HostName, fault: &Fault) {
        let mut said = self.posting.said.lock();
        if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            *said = Some(Instant::now());
            let counts = self.counts.all();
            tracing::warn!(%host, reason = fault.reason(), ?counts, "posts of older systems are refused");
        }
    }
}

/// Returns when the live pages have this snapshot of `host`, or half a second has passed.
async fn shown(fleet: &Fleet, host: &HostName, run_id: &str, sequence: u64) {
    let mut changes = fleet.watch();
    let is_shown = || {
        let summary = fleet.summary(host);
        summary.is_some_and(|summary| summary.run_id == run_id && summary.sequence >= sequence)
    };
    let waiting = async {
        while sequence > 0 && !is_shown() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(SHOWN_TIMEOUT, waiting).await;
}

impl State {
    /// The time between two posts, in ms: the lesser of the last two gaps, so that one pause is none.
    pub(super) fn interval_ms(&self, system: System, captured_at_us: i64) -> u32 {
        let usual_ms = i64::from(system.interval_ms());
        let gap_ms = self.gap_to(captured_at_us);
        let interval_ms = match (self.gap_ms, gap_ms) {
            (Some(before_ms), Some(gap_ms)) => before_ms.min(gap_ms),
            _ => usual_ms,
        };
        u32::try_from(interval_ms.clamp(1_000, MAX_INTERVAL_MS)).unwrap_or(system.interval_ms())
    }

    fn gap_to(&self, captured_at_us: i64) -> Option<i64> {
        let gap_ms = captured_at_us.saturating_sub(self.captured_at_us?) / 1_000;
        (gap_ms > 0).then_some(gap_ms)
    }

    pub(super) fn took(&mut self, captured_at_us: i64) {
        self.gap_ms = self.gap_to(captured_at_us).or(self.gap_ms);
        self.captured_at_us = Some(captured_at_us);
    }
}

/// What the last bodies of a host were.
///
/// The bodies of systems 001 and 003 have a time, so the same body is the same post. Those of 000 have none: the same body as
/// the last one is a try of the same post, unless too much time has passed; the same as an earlier one is another post. System
/// 002 sends copies of what was refused after an outage of any length, so the same body is the same post there, too.
#[derive(Debug, Default)]
struct Bodies {
    last: VecDeque<BodyHash>,
    stored_at: Option<Instant>,
}

impl Bodies {
    fn hash_of(&self, system: System, body: &[u8]) -> BodyHash {
        let plain = BodyHash::of(body);
        if system != System::S000 {
            return plain;
        }
        let is_last = self.last.front() == Some(&plain);
        let is_soon = self.stored_at.is_none_or(|at| at.elapsed() < AGAIN_WITHIN);
        let is_another = if is_last { !is_soon } else { self.last.contains(&plain) };
        match is_another {
            true => BodyHash::of(&[body, &now_us().to_le_bytes()].concat()),
            false => plain,
        }
    }

    fn stored(&mut self, body: &[u8]) {
        self.last.push_front(BodyHash::of(body));
        self.last.truncate(MAX_BODIES);
        self.stored_at = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_learnt_and_one_pause_is_none() {
        let mut state = State::default();
        let mut intervals = Vec::new();
        for second in [0, 60, 120, 4_000, 4_060] {
            let at_us = second * 1_000_000;
            intervals.push(state.interval_ms(System::S000, at_us));
            state.took(at_us);
        }
        assert_eq!(intervals, [10_000, 10_000, 60_000, 60_000, 60_000]);
    }

    #[test]
    fn the_same_body_is_the_same_post_of_000_only_right_after_it() {
        let mut bodies = Bodies::default();
        let plain = BodyHash::of(b"a");
        assert_eq!(bodies.hash_of(System::S000, b"a"), plain);
        bodies.stored(b"a");
        assert_eq!(bodies.hash_of(System::S000, b"a"), plain);
        bodies.stored(b"b");
        assert_ne!(bodies.hash_of(System::S000, b"a"), plain);
        assert_eq!(bodies.hash_of(System::S002, b"a"), plain);
    }
}
