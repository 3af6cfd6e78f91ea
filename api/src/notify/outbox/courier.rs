//! Couriers: one for each channel, so that a receiver that hangs delays nobody else's messages.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use async_nats::jetstream::{AckKind, Message};
use fleetps_nats::{
    bucket::{Bucket, Entry, WatchedBucket},
    now_us,
    patience::patiently,
};
use futures_util::StreamExt;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Counts, Outbox, OutboxError, Pace, Parcel, Record, State, failed, record_key};
use crate::notify::{
    channel::{Channel, MAX_CHANNELS},
    failure::{Again, Failure, Sent},
    notification::Notification,
    send::Sender,
};

/// How long one request for a message stays open.
const PULL_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause after the broker did not answer.
const BROKER_PAUSE: Duration = Duration::from_secs(1);
/// The pause of what waits for the message that opens its thread.
const BEHIND_OPENING: Duration = Duration::from_secs(2);
/// How long the end of the program waits for what is being sent.
const LAST_SENDING_TIMEOUT: Duration = Duration::from_secs(5);
/// Records of what is over: a week of a busy fleet. Some 400 bytes each, a quarter of what the bucket holds.
const MAX_RECORDS: usize = 10_000;
/// Undeliverable notifications that are kept whole, of some 4 KiB.
const MAX_UNDELIVERABLE: usize = 1_000;
/// How often old records are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// How long the broker tells followers that a record was removed.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Delivers what is in the outbox.
#[derive(Debug, Clone)]
pub struct Courier {
    outbox: Outbox,
    records: Bucket<Record>,
    sender: Sender,
    pace: Pace,
}

impl Courier {
    /// A courier of `outbox`.
    pub fn new(outbox: Outbox, sender: Sender, pace: Pace) -> Self {
        Self { records: outbox.records.clone(), outbox, sender, pace }
    }

    /// Delivers until `ended`, to the channels that there are at each moment.
    pub async fn run(self, channels: WatchedBucket<Channel>, ended: CancellationToken) {
        let (mut rounds, mut tasks) = (HashMap::new(), JoinSet::new());
        let mut watch = channels.clone();
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        loop {
            let present: Vec<String> =
                channels.all().into_iter().map(|(id, _)| id).take(MAX_CHANNELS).collect();
            rounds.retain(|id, stop: &mut CancellationToken| {
                let stays = present.contains(id);
                if !stays {
                    stop.cancel();
                }
                stays
            });
            for id in present {
                rounds.entry(id.clone()).or_insert_with(|| {
                    let stop = ended.child_token();
                    let round = self.clone().deliver(id, channels.clone(), stop.clone());
                    tasks.spawn(round);
                    stop
                });
            }
            tokio::select! {
                () = ended.cancelled() => break,
                () = watch.changed() => {}
                Some(_) = tasks.join_next() => {}
                _ = sweep.tick() => self.sweep().await,
            }
        }
        // A message that is cut off while it is sent is sent again.
        let rest = async { while tasks.join_next().await.is_some() {} };
        let _in_time = tokio::time::timeout(LAST_SENDING_TIMEOUT, rest).await;
    }

    /// Delivers one channel's messages.
    async fn deliver(self, id: String, channels: WatchedBucket<Channel>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.deliver_some(&id, &channels, &stop).await {
                tracing::warn!(
                    channel = id,
                    error = fleetps_nats::error_chain(&error),
                    "notifications wait for the broker"
                );
                stop.run_until_cancelled(tokio::time::sleep(BROKER_PAUSE)).await;
            }
        }
    }

    async fn deliver_some(
        &self,
        id: &str,
        channels: &WatchedBucket<Channel>,
        stop: &CancellationToken,
    ) -> Result<(), OutboxError> {
        let consumer = self.outbox.consumer(id, &self.pace).await?;
        let mut paused_until = Instant::now();
        loop {
            let waiting = async {
                tokio::time::sleep_until(paused_until).await;
                let batch = consumer.batch().max_messages(1).expires(PULL_TIMEOUT).messages().await;
                let mut batch = batch.map_err(failed("read"))?;
                batch.next().await.transpose().map_err(failed("read"))
            };
            let Some(message) = stop.run_until_cancelled(waiting).await else { return Ok(()) };
            let (Some(message), Some(channel)) = (message?, channels.get(id)) else { continue };
            let pause = self.take(id, &channel, &message).await?;
            paused_until = Instant::now() + pause;
        }
    }

    /// Does what is to be done with a message now; the pause after it.
    async fn take(&self, id: &str, channel: &Channel, message: &Message) -> Result<Duration, OutboxError> {
        let Ok(parcel) = serde_json::from_slice::<Parcel>(&message.payload) else {
            tracing::error!(channel = id, "a message of the outbox is none and is removed");
            return acknowledge(message, AckKind::Term).await;
        };
        let (key, now) = (record_key(id, &parcel.notification.id), now_us());
        let entry = self.records.get(&key).await.map_err(failed("read"))?;
        let behind = self.is_behind_opening(id, &parcel.notification).await?;
        match self.due(entry.as_ref(), &parcel, now) {
            Due::Done => return acknowledge(message, AckKind::Ack).await,
            Due::In(wait) => {
                if entry.is_none() {
                    self.note_waiting(id, &key, &parcel, now).await?;
                }
                return put_back(message, wait).await;
            }
            Due::Now if behind.is_waiting => return put_back(message, BEHIND_OPENING).await,
            Due::Now => {}
        }
        let Some(leased) = self.lease(id, key, entry, &parcel, now).await? else {
            return put_back(message, BROKER_PAUSE).await;
        };
        let outcome = self.sender.send(channel, &parcel.notification, behind.receipt.as_deref()).await;
        self.settle(channel, leased, &parcel, message, outcome).await
    }

    /// Writes that a message waits for the end of quiet hours: it is listed, and what follows in its thread stays behind it.
    async fn note_waiting(&self, id: &str, key: &str, parcel: &Parcel, now: i64) -> Result<(), OutboxError> {
        let Some(not_before_us) = parcel.not_before_us else { return Ok(()) };
        let state = State::Waiting { not_before_us };
        let record = Record { state, attempts: 0, ..Record::sending(id, parcel, now, now) };
        // Another courier may have written it.
        self.records.create(key, &record).await.map_err(failed("write to"))?;
        Ok(())
    }

    /// Whether a message is to be sent now.
    fn due(&self, entry: Option<&Entry<Record>>, parcel: &Parcel, now: i64) -> Due {
        let longest = self.pace.longest_pause.max(self.pace.lease);
        // A clock that was set back must not make anything wait for what it was ahead.
        let until = |until_us: i64, longest: Duration| match micros_between(now, until_us) {
            wait if wait.is_zero() => Due::Now,
            wait => Due::In(wait.min(longest)),
        };
        let Some(Entry { value: record, .. }) = entry else {
            return parcel.not_before_us.map_or(Due::Now, |at| until(at, MAX_QUIET));
        };
        match &record.state {
            // A person sends again what was undeliverable.
            _ if record.round < parcel.round => Due::Now,
            _ if record.round > parcel.round => Due::Done,
            state if state.is_final() => Due::Done,
            State::Sending { until_us } => until(*until_us, longest),
            State::Waiting { not_before_us } => until(*not_before_us, MAX_QUIET),
            State::Sent { .. } | State::Undeliverable { .. } => Due::Done,
        }
    }

    /// Writes that this courier sends it now; `None` where another one was faster.
    async fn lease(
        &self,
        id: &str,
        key: String,
        entry: Option<Entry<Record>>,
        parcel: &Parcel,
        now: i64,
    ) -> Result<Option<Leased>, OutboxError> {
        let mut record = Record::sending(id, parcel, now, later(now, self.pace.lease));
        let before = entry.as_ref().map(|entry| &entry.value).filter(|before| before.round == parcel.round);
        if let Some(before) = before {
            record.attempts = before.attempts.saturating_add(1);
            record.reason.clone_from(&before.reason);
            if matches!(before.state, State::Sending { .. }) {
                Counts::add(&self.outbox.counts.perhaps_twice);
            }
        }
        let is_ours = match &entry {
            None => self.records.create(&key, &record).await,
            Some(entry) => self.records.update(&key, &record, entry.revision).await,
        };
        if !is_ours.map_err(failed("write to"))? {
            return Ok(None);
        }
        let written = self.records.get(&key).await.map_err(failed("read"))?;
        let written = written.filter(|written| written.value == record);
        Ok(written.map(|written| Leased { key, record, revision: written.revision }))
    }

    /// Writes what came of it, and then tells the stream. Waits for the broker: what was sent must not be sent again.
    async fn settle(
        &self,
        channel: &Channel,
        leased: Leased,
        parcel: &Parcel,
        message: &Message,
        outcome: Result<Sent, Failure>,
    ) -> Result<Duration, OutboxError> {
        let Leased { key, record, revision } = leased;
        let (mut settled, then, pause) = self.settled(record, parcel, outcome, now_us());
        // First, and once however often: after a kill in between the next courier comes here again.
        if let (State::Undeliverable { notification }, Some(fallback)) = (&settled.state, &channel.fallback)
            && !self.tell_fallback(fallback, notification).await?
        {
            settled.reason.push_str(FALLBACK_FULL);
        }
        let written = patiently("noting what was sent", || async {
            self.records.update(&key, &settled, revision).await.map_err(failed("write to"))
        });
        if !written.await? {
            // The lease was over, and another courier has it.
            return Ok(self.pace.between);
        }
        acknowledge(message, then).await?;
        Ok(pause)
    }

    /// Puts what a channel could not deliver into the outbox for its fallback; `false` where there is no room. To wait for room would
    /// keep the room that the undeliverable message takes.
    async fn tell_fallback(&self, fallback: &str, notification: &Notification) -> Result<bool, OutboxError> {
        match self.outbox.put(fallback, notification, None).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_full() => {
                tracing::error!(
                    channel = fallback,
                    notification = notification.id,
                    "the outbox is full: a fallback is not told of what could not be delivered"
                );
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The record after an attempt, what the stream is told, and the pause of this channel.
    fn settled(
        &self,
        record: Record,
        parcel: &Parcel,
        outcome: Result<Sent, Failure>,
        now: i64,
    ) -> (Record, AckKind, Duration) {
        let counts = &self.outbox.counts;
        let failure = match outcome {
            Ok(Sent { receipt }) => {
                Counts::add(&counts.sent);
                let state = State::Sent { receipt };
                return (
                    Record { state, at_us: now, reason: String::new(), ..record },
                    AckKind::Ack,
                    self.pace.between,
                );
            }
            Err(failure) => failure,
        };
        let began = parcel.not_before_us.unwrap_or(parcel.put_at_us).max(parcel.put_at_us);
        let is_over = micros_between(began, now) >= self.pace.give_up_after;
        let (wait, pause) = match failure.again {
            Again::After(wait) => (wait.max(self.pace.pause(1)), wait),
            Again::Later | Again::Never => (self.pace.pause(record.attempts), self.pace.between),
        };
        if is_over || failure.again == Again::Never {
            Counts::add(&counts.undeliverable);
            tracing::error!(
                channel = record.channel,
                reason = failure.reason,
                "a notification could not be delivered"
            );
            let notification = Box::new(Notification { chart: None, ..parcel.notification.clone() });
            let state = State::Undeliverable { notification };
            return (Record { state, at_us: now, reason: failure.reason, ..record }, AckKind::Ack, pause);
        }
        Counts::add(&counts.retried);
        let state = State::Waiting { not_before_us: later(now, wait) };
        (Record { state, at_us: now, reason: failure.reason, ..record }, AckKind::Nak(Some(wait)), pause)
    }

    /// What the opening message of a notification's thread says about when and how to send it.
    async fn is_behind_opening(&self, id: &str, notification: &Notification) -> Result<Behind, OutboxError> {
        if notification.opens() {
            return Ok(Behind::default());
        }
        let key = record_key(id, &notification.thread);
        let opening = self.records.get(&key).await.map_err(failed("read"))?;
        Ok(match opening.map(|entry| entry.value.state) {
            Some(State::Sending { .. } | State::Waiting { .. }) => Behind { is_waiting: true, receipt: None },
            Some(State::Sent { receipt }) => Behind { is_waiting: false, receipt },
            Some(State::Undeliverable { .. }) | None => Behind::default(),
        })
    }

    /// Removes records of what has long been over, and the oldest where there are too many.
    async fn sweep(&self) {
        let Ok(mut records) = self.outbox.records().await else { return };
        let now = now_us();
        let is_old = |record: &Record| micros_between(record.at_us, now) > self.pace.remember;
        // Nothing is tried for that long: its channel was removed, or the stream dropped it.
        records.retain(|(_, record)| record.state.is_final() || is_old(record));
        let (mut kept, mut undeliverable) = (0, 0);
        for (key, record) in records {
            let is_undeliverable = matches!(record.state, State::Undeliverable { .. });
            kept += 1;
            undeliverable += usize::from(is_undeliverable);
            let is_old = is_old(&record);
            let is_too_many = kept > MAX_RECORDS || (is_undeliverable && undeliverable > MAX_UNDELIVERABLE);
            if !is_old && !is_too_many {
                continue;
            }
            if !is_old {
                self.outbox.counts.forgotten.fetch_add(1, Ordering::Relaxed);
            }
            if self.records.delete_for(&key, REMEMBERED).await.is_err() {
                return;
            }
        }
    }
}

/// Added to the reason of what is undeliverable where its fallback could not be told, either.
const FALLBACK_FULL: &str = "; its fallback is not told, because the outbox is full";

/// Quiet hours last a day at most.
const MAX_QUIET: Duration = Duration::from_secs(25 * 3600);

/// What this courier has for itself, and the revision to name when it changes that.
struct Leased {
    key: String,
    record: Record,
    revision: u64,
}

/// Whether a message is to be sent.
enum Due {
    Now,
    In(Duration),
    Done,
}

/// What the opening message of a thread means for what follows.
#[derive(Default)]
struct Behind {
    is_waiting: bool,
    receipt: Option<String>,
}

fn later(now_us: i64, by: Duration) -> i64 {
    now_us.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
}

/// The time from one moment to a later one; none where it is not later.
fn micros_between(from_us: i64, to_us: i64) -> Duration {
    Duration::from_micros(u64::try_from(to_us.saturating_sub(from_us)).unwrap_or_default())
}

/// Tells the stream, and waits until it knows.
async fn acknowledge(message: &Message, kind: AckKind) -> Result<Duration, OutboxError> {
    message.double_ack_with(kind).await.map_err(failed("acknowledge to"))?;
    Ok(Duration::ZERO)
}

async fn put_back(message: &Message, wait: Duration) -> Result<Duration, OutboxError> {
    acknowledge(message, AckKind::Nak(Some(wait))).await
}
