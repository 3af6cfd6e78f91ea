//! `/api/v1/alerts/channels` and `/api/v1/alerts/deliveries`: where notifications go, and what became of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::{Answer, Time, shape},
    extract::{ChannelId, DeliveryId, JsonBody, JsonShape, Query},
    notify::{Channel, Means, Record, State},
    query::{
        parameter::{self, Count, is_default},
        parameters,
    },
    refusal::Refusal,
    scoped_fleet::{ChannelEntry, ScopedFleet},
    view::channels::{Delivery, state},
};

/// Deliveries in an answer by default: about ten screens.
const DEFAULT_DELIVERIES: usize = 200;
/// The most at once: all that are kept.
const MAX_DELIVERIES: usize = 11_000;

/// The channels that notifications go to, by id.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Channels {
    channels: Vec<ChannelRow>,
}

/// A channel that notifications go to.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Channel")]
pub(crate) struct ChannelRow {
    id: String,
    /// Grows with every change.
    revision: u64,
    /// What people call it.
    name: String,
    /// The channel that is told instead what this one could not deliver.
    fallback: Option<String>,
    /// Whether it has a secret: a password, a token, a key, or the address of a Slack webhook. It is never shown.
    has_secret: bool,
    /// How it is reached, without its secret.
    means: Means,
}

/// What became of a test message.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ChannelTest {
    /// `queued` while nothing has taken it from the outbox.
    #[schemars(extend("enum" = ["queued", "sending", "waiting", "sent", "undeliverable"]))]
    state: &'static str,
    /// Why the last attempt failed; empty where none did.
    reason: String,
    attempts: u32,
}

/// What became of notifications, undeliverable ones first, and of these the latest change.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Deliveries {
    /// How many there are, without `limit`.
    total: usize,
    deliveries: Vec<DeliveryRow>,
}

/// A notification on its way to a channel, or what became of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
struct DeliveryRow {
    id: String,
    channel: String,
    /// The notification in one line.
    headline: String,
    #[schemars(extend("enum" = ["sending", "waiting", "sent", "undeliverable"]))]
    state: &'static str,
    attempts: u32,
    /// Why the last attempt failed; empty where none did.
    reason: String,
    /// The last change.
    at: Time,
    /// When it is tried again.
    next_at: Option<Time>,
}

/// That it is on its way.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SentAgain {
    id: String,
}

shape!(Channels);
shape!(ChannelRow);
shape!(ChannelTest);
shape!(Deliveries);
shape!(SentAgain);

/// A channel as it is sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelBody {
    /// What people call it.
    name: String,
    /// How it is reached. Without its secret it keeps the one that it has, as long as it leads to the same receiver.
    means: Means,
    /// The id of the channel that is told instead what this one could not deliver.
    #[serde(default)]
    fallback: Option<String>,
    /// The revision that it replaces; another one is refused. 0 for a channel that is to be new.
    #[serde(default)]
    revision: Option<u64>,
}

impl JsonShape for ChannelBody {
    const NAME: &'static str = "channel";
    const EXAMPLE: &'static str = "{\"name\": \"Pager\", \"means\": {\"kind\": \"webhook\", \"url\": \"https://hooks.example.com/x\", \"secret\": \"…\"}}";
}

/// The query of deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DeliveriesQuery {
    /// Only to this channel.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub channel: String,
    /// The most deliveries.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub limit: Count<DEFAULT_DELIVERIES, MAX_DELIVERIES, 1>,
}

parameters! {
    DeliveriesQuery {
        channel: "Only to the channel of this id.",
        limit: "The most deliveries.",
    }
}

fn row(entry: ChannelEntry) -> ChannelRow {
    let ChannelEntry { id, revision, has_secret, channel: Channel { name, means, fallback } } = entry;
    ChannelRow { id, revision, name, fallback, has_secret, means }
}

fn delivery(Delivery { id, record }: Delivery) -> DeliveryRow {
    let next_at = match record.state {
        State::Waiting { not_before_us } => Some(Time(not_before_us)),
        _ => None,
    };
    let state = state(&record.state).0;
    let Record { channel, headline, attempts, reason, at_us, .. } = record;
    DeliveryRow { id, channel, headline, state, attempts, reason, at: Time(at_us), next_at }
}

/// `GET /api/v1/alerts/channels`: all channels.
pub(crate) async fn list(scoped: ScopedFleet) -> Result<Answer<Channels>, Refusal> {
    let channels = scoped.channels().await?.into_iter().map(row).collect();
    Ok(Answer::of(&Channels { channels }))
}

/// `GET /api/v1/alerts/channels/{id}`: one channel.
pub(crate) async fn one(
    scoped: ScopedFleet,
    ChannelId(id): ChannelId,
) -> Result<Answer<ChannelRow>, Refusal> {
    Ok(Answer::of(&row(scoped.channel(&id).await?)))
}

/// `PUT /api/v1/alerts/channels/{id}`: saves a channel.
pub(crate) async fn save(
    scoped: ScopedFleet,
    ChannelId(id): ChannelId,
    JsonBody(ChannelBody { name, means, fallback, revision }): JsonBody<ChannelBody>,
) -> Result<Answer<ChannelRow>, Refusal> {
    let saved = scoped.save_channel(&id, Channel { name, means, fallback }, revision).await?;
    Ok(Answer::of(&row(saved)))
}

/// `DELETE /api/v1/alerts/channels/{id}`: removes a channel; answers with those that there are then.
pub(crate) async fn remove(
    scoped: ScopedFleet,
    ChannelId(id): ChannelId,
) -> Result<Answer<Channels>, Refusal> {
    scoped.remove_channel(&id, None).await?;
    list(scoped).await
}

/// `POST /api/v1/alerts/channels/{id}/test`: sends a test message.
pub(crate) async fn test(
    scoped: ScopedFleet,
    ChannelId(id): ChannelId,
) -> Result<Answer<ChannelTest>, Refusal> {
    let record = scoped.test_channel(&id).await?;
    let test = match record {
        Some(record) => {
            ChannelTest { state: state(&record.state).0, reason: record.reason, attempts: record.attempts }
        }
        None => ChannelTest { state: "queued", reason: String::new(), attempts: 0 },
    };
    Ok(Answer::of(&test))
}

/// `GET /api/v1/alerts/deliveries`: what became of notifications.
pub(crate) async fn deliveries(
    scoped: ScopedFleet,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Answer<Deliveries>, Refusal> {
    let (deliveries, total) = scoped.deliveries(&query.channel, query.limit.get()).await?;
    Ok(Answer::of(&Deliveries { total, deliveries: deliveries.into_iter().map(delivery).collect() }))
}

/// `POST /api/v1/alerts/deliveries/{id}/again`: sends again what could not be delivered.
pub(crate) async fn again(
    scoped: ScopedFleet,
    DeliveryId(id): DeliveryId,
) -> Result<Answer<SentAgain>, Refusal> {
    scoped.deliver_again(&id).await?;
    Ok(Answer::of(&SentAgain { id }))
}
