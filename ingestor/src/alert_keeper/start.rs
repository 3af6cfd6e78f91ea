//! Finds where evaluation goes on.

use std::time::Duration;

use async_nats::jetstream::{
    Context,
    consumer::{AckPolicy, DeliverPolicy, pull},
};
use fleetps_nats::{direct::Batch, stream, subject};
use futures_util::StreamExt;
use jiff::Timestamp;

use super::{
    AlertKeeper, Failure,
    checkpoint::{self, Checkpoint},
};
use crate::{
    alerts::{Evaluator, Transition},
    events::{Event, LOOP_WINDOW_MS},
    intake::{StartPosition, StreamState},
};

/// This much of the stream before a checkpoint is read again: by what is restarted again and again within ten minutes a
/// restart loop is known, and a host that is not silent has sent something.
const RECALLED_MS: i64 = LOOP_WINDOW_MS + 120_000;
/// At most so many messages: a minute's work. Of a larger fleet, some of the restart loops are found later.
const MAX_RECALLED: u64 = 60_000;
/// Without a checkpoint, this much of the past is evaluated.
const EVALUATED_MS: i64 = 15 * 60_000;
/// How long the broker may take for the next of the last changes.
const QUIET: Duration = Duration::from_secs(5);

/// Where evaluation begins, and with what.
pub(super) struct Begin {
    /// The first message that is read.
    pub(super) start: StartPosition,
    /// The last one that was evaluated, with the number of its next change; those before only recall what they said.
    pub(super) evaluated: Option<(u64, u32)>,
    /// When the broker took that, in µs since 1970 UTC.
    pub(super) stored_at_us: i64,
    pub(super) evaluator: Evaluator,
    /// How the restart loops that go on began.
    pub(super) loops: Vec<Event>,
}

impl Begin {
    /// Looks at the checkpoint, and at the streams.
    pub(super) async fn find(keeper: &AlertKeeper, jetstream: &Context) -> Result<Self, Failure> {
        let state = StreamState::ask(jetstream).await?;
        let path = checkpoint::path(&keeper.folder, keeper.partition);
        let checkpoint = tokio::task::spawn_blocking(move || checkpoint::read(&path)).await?;
        let now_s = Timestamp::now().as_second();
        if let Some(checkpoint) = checkpoint {
            let known = (checkpoint.epoch_s, checkpoint.sequence);
            let start = StartPosition::find(&state, Some(known), now_s);
            if start.epoch_s == checkpoint.epoch_s {
                return Self::go_on(keeper, start, checkpoint).await;
            }
        }
        Self::anew(keeper, jetstream, &state, now_s).await
    }

    async fn go_on(
        keeper: &AlertKeeper,
        start: StartPosition,
        checkpoint: Checkpoint<'static>,
    ) -> Result<Self, Failure> {
        let from_ms = checkpoint.stored_at_us.div_euclid(1000) - RECALLED_MS;
        let next = checkpoint.sequence + 1;
        let since = first_since(keeper, from_ms).await?.unwrap_or(next);
        let sequence = since.max(next.saturating_sub(MAX_RECALLED)).clamp(1, next);
        Ok(Self {
            start: StartPosition { sequence, ..start },
            evaluated: Some((checkpoint.sequence, checkpoint.number)),
            stored_at_us: checkpoint.stored_at_us,
            evaluator: Evaluator::restore(checkpoint.evaluator),
            loops: checkpoint.loops,
        })
    }

    /// Begins with the alerts that are open in the stream of alerts, if any, and the last minutes.
    async fn anew(
        keeper: &AlertKeeper,
        jetstream: &Context,
        state: &StreamState,
        now_s: i64,
    ) -> Result<Self, Failure> {
        let last = last_changes(jetstream, keeper.partition).await?;
        let highest = last.iter().map(|it| (it.place.epoch_s, it.place.sequence)).max();
        let start = StartPosition::find(state, highest, now_s);
        let from_ms = now_s.saturating_mul(1000) - EVALUATED_MS;
        let sequence = first_since(keeper, from_ms).await?.unwrap_or(state.last + 1);
        let start = StartPosition { sequence: sequence.max(state.first).max(1), ..start };
        let mut evaluator = Evaluator::default();
        // What was raised by a message that is evaluated is raised by it again.
        let is_before = |open: &Transition| {
            (open.place.epoch_s, open.change.alert.raised_by) < (start.epoch_s, start.sequence)
        };
        for open in last.iter().filter(|it| it.is_open() && is_before(it)) {
            evaluator.resume(&open.change.alert, open.decided_at_us.div_euclid(1000));
        }
        Ok(Self { start, evaluated: None, stored_at_us: 0, evaluator, loops: Vec::new() })
    }
}

/// The first snapshot that the broker took at `from_ms` (ms since 1970 UTC) or later.
async fn first_since(keeper: &AlertKeeper, from_ms: i64) -> Result<Option<u64>, Failure> {
    let from = Timestamp::from_millisecond(from_ms.max(0))?;
    let first = Batch {
        count: 1,
        subject: subject::ALL_SNAPSHOTS,
        from_sequence: None,
        from_time: Some(from.to_string()),
    };
    let found = first.get(&keeper.client, stream::SNAPSHOTS).await?;
    Ok(found.first().map(|message| message.sequence))
}

/// The last change of every instance of a partition.
async fn last_changes(jetstream: &Context, partition: u32) -> Result<Vec<Transition>, Failure> {
    let alerts = stream::open_alerts(jetstream).await?;
    let config = pull::Config {
        deliver_policy: DeliverPolicy::LastPerSubject,
        ack_policy: AckPolicy::None,
        filter_subject: subject::alert(partition, "*"),
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let consumer = alerts.create_consumer(config).await?;
    let mut pending = consumer.cached_info().num_pending;
    let (mut messages, mut last) = (consumer.messages().await?, Vec::new());
    while pending > 0 {
        let message = tokio::time::timeout(QUIET, messages.next()).await?;
        let message = message.ok_or("the stream of alerts is no longer read")??;
        last.extend(Transition::from_message(&message.payload));
        pending = message.info()?.pending;
    }
    Ok(last)
}
