//! The channels that notifications go to, and what became of these: for administrators of every host, because a notification
//! may be about any.
//!
//! Secrets go one way. What is read here has none; a channel that is saved without one keeps the one that it had, as long as
//! it leads to the same receiver.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use fleetps_nats::{audit::Outcome, bucket::Entry, error_chain, now_us};
use tokio::time::Instant;

use super::ScopedFleet;
use crate::{
    authz::{Decision, Permission, permission_of},
    broker, display,
    notify::{
        BadChannel, Channel, MAX_CHANNELS, Notification, Outbox, Record, RecordError, Records, Route, State,
    },
    refusal::Refusal,
    view::channels::Delivery,
};

/// How long somebody who tries a channel waits for what becomes of it: a receiver of HTTP has 10 s.
const TEST_WAIT: Duration = Duration::from_secs(12);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The longest id of a delivery: a channel's, a dot and a hash.
const MAX_DELIVERY_ID: usize = 80;

/// A channel, without its secret.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChannelEntry {
    /// Its id.
    pub id: String,
    /// Grows with every change.
    pub revision: u64,
    /// Whether it has a secret.
    pub has_secret: bool,
    /// The channel.
    pub channel: Channel,
}

impl ScopedFleet {
    /// Whether the person may manage channels.
    pub(crate) fn may_manage_channels(&self) -> bool {
        permission_of(&self.person, Permission::ManageChannels, None) == Decision::Allowed
    }

    /// The channels, by id.
    ///
    /// # Errors
    /// When the person may not, or the broker does not answer.
    pub(crate) async fn channels(&self) -> Result<Vec<ChannelEntry>, Refusal> {
        let entry = |(id, entry): (String, Entry<Channel>)| {
            let has_secret = entry.value.has_secret();
            ChannelEntry { id, revision: entry.revision, has_secret, channel: entry.value.without_secrets() }
        };
        Ok(self.whole_channels().await?.into_iter().map(entry).collect())
    }

    /// One channel.
    ///
    /// # Errors
    /// When there is none of this id, the person may not, or the broker does not answer.
    pub(crate) async fn channel(&self, id: &str) -> Result<ChannelEntry, Refusal> {
        let found = self.channels().await?.into_iter().find(|channel| channel.id == id);
        found.ok_or_else(|| no_such_channel(id))
    }

    /// Saves a channel, and writes down what it was and became, without secrets. `replaces` is the revision that it replaces,
    /// where another one is to be refused: 0 for a channel that is to be new.
    ///
    /// # Errors
    /// When a field is wrong, it becomes a heartbeat although alerts go to it, the person may not, it was changed meanwhile, or
    /// the broker refuses.
    pub(crate) async fn save_channel(
        &self,
        id: &str,
        channel: Channel,
        replaces: Option<u64>,
    ) -> Result<ChannelEntry, Refusal> {
        let all = self.whole_channels().await?;
        check_fallback(id, &channel, &all)?;
        let before = all.get(id);
        let revision = before.map(|before| before.revision);
        if replaces.is_some_and(|replaces| replaces != revision.unwrap_or_default()) {
            return Err(conflict(id));
        }
        if !channel.hears_of_alerts() && before.is_none_or(|before| before.value.hears_of_alerts()) {
            self.must_be_unused(id, &all).await?;
        }
        let secret = if channel.has_secret() { ", with a new secret" } else { "" };
        let was = before.map_or_else(|| "none".to_owned(), |before| in_words(&before.value));
        let what = format!("{id}: {was} → {}{secret}", in_words(&channel));
        let records = self.records()?;
        let saving = records.save_channel(id, channel, revision);
        if !self.ask_records("save the channel", saving).await? {
            return Err(conflict(id));
        }
        self.shared.audit_log.note(&self.person, "channel.save", None, what, Outcome::Done);
        self.channel(id).await
    }

    /// Why nothing can be delivered to a channel as it is, as far as the settings of this server say.
    pub(crate) fn obstacle_of(&self, channel: &Channel) -> Option<String> {
        self.shared.notify_allowed.as_ref()?.obstacle_to(channel)
    }

    /// Removes a channel of this revision, where one is named, and writes it down. What waits for it is not sent.
    ///
    /// # Errors
    /// When there is none, another one falls back to it or a route leads to it, it was changed meanwhile, the person may not, or
    /// the broker refuses.
    pub(crate) async fn remove_channel(&self, id: &str, replaces: Option<u64>) -> Result<(), Refusal> {
        let all = self.whole_channels().await?;
        let before = all.get(id).ok_or_else(|| no_such_channel(id))?;
        self.must_be_unused(id, &all).await?;
        if replaces.is_some_and(|replaces| replaces != before.revision) {
            return Err(conflict(id));
        }
        let records = self.records()?;
        let removing = records.remove_channel(id, before.revision);
        if !self.ask_records("remove the channel", removing).await? {
            return Err(conflict(id));
        }
        let what = format!("{id}: {}", in_words(&before.value));
        self.shared.audit_log.note(&self.person, "channel.remove", None, what, Outcome::Done);
        Ok(())
    }

    /// Refuses to take a channel away from alerts while another one falls back to it or a route leads to it.
    async fn must_be_unused(&self, id: &str, all: &BTreeMap<String, Entry<Channel>>) -> Result<(), Refusal> {
        let falls_back =
            |(_, other): &(&String, &Entry<Channel>)| other.value.fallback.as_deref() == Some(id);
        if let Some((other, _)) = all.iter().find(falls_back) {
            let error = format!("the channel {other} falls back to {id}");
            let hint = "give that one another fallback, or none, before";
            return Err(Refusal::new(StatusCode::CONFLICT, error, hint));
        }
        if self.routes().await?.routes.iter().any(|route| leads_to(route, id)) {
            let error = format!("a route leads to {id}");
            let hint = "change the routes before, at /alerts/routes";
            return Err(Refusal::new(StatusCode::CONFLICT, error, hint));
        }
        Ok(())
    }

    /// Puts a message that says that nothing is wrong into the outbox for a channel, and waits a little for what becomes of it:
    /// `None` where nobody has taken it in that time.
    ///
    /// # Errors
    /// When there is no such channel, the person may not, or the outbox does not take it.
    pub(crate) async fn test_channel(&self, id: &str) -> Result<Option<Record>, Refusal> {
        self.channel(id).await?;
        let outbox = self.outbox().await?;
        let now_us = now_us();
        let test =
            Notification::test(format!("test-{id}-{now_us}"), &self.person.name, String::new(), now_us);
        self.ask_broker("write to the outbox", outbox.put(id, &test, None)).await?;
        let what = format!("{id}: a test message");
        self.shared.audit_log.note(&self.person, "channel.test", None, what, Outcome::Done);
        let until = Instant::now() + TEST_WAIT;
        loop {
            let record = self.ask_broker("read the outbox", outbox.became_of(id, &test.id)).await?;
            let is_tried =
                record.as_ref().is_some_and(|record| !matches!(record.state, State::Sending { .. }));
            if is_tried || Instant::now() >= until {
                return Ok(record);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What became of notifications, those that could not be delivered first, and of these the latest change: of one channel
    /// where one is named, at most `limit`; and how many there are in all.
    ///
    /// # Errors
    /// When the person may not, or the broker does not answer.
    pub(crate) async fn deliveries(
        &self,
        channel: &str,
        limit: usize,
    ) -> Result<(Vec<Delivery>, usize), Refusal> {
        let outbox = self.outbox().await?;
        let mut records = self.ask_broker("read the outbox", outbox.records()).await?;
        records.retain(|(_, record)| channel.is_empty() || record.channel == channel);
        records.sort_by_key(|(_, record)| !matches!(record.state, State::Undeliverable { .. }));
        let total = records.len();
        let shown = records.into_iter().take(limit);
        Ok((shown.map(|(id, record)| Delivery { id, record }).collect(), total))
    }

    /// Sends again what could not be delivered.
    ///
    /// # Errors
    /// When nothing of this id is undeliverable, its channel was removed, the person may not, or the outbox does not take it.
    pub(crate) async fn deliver_again(&self, id: &str) -> Result<(), Refusal> {
        let outbox = self.outbox().await?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let is_id = (1..=MAX_DELIVERY_ID).contains(&id.len())
            && id.bytes().all(is_plain)
            && !id.starts_with('.')
            && !id.ends_with('.');
        // Nobody takes from the outbox what is for a channel that was removed.
        if let Some((channel, _)) = id.split_once('.').filter(|_| is_id)
            && !self.whole_channels().await?.contains_key(channel)
        {
            return Err(no_such_channel(channel));
        }
        if !is_id || !self.ask_broker("write to the outbox", outbox.send_again(id)).await? {
            let error = format!("no undeliverable message has the id {:?}", display::cut(id, 64));
            let hint =
                "it may be on its way already; /alerts/channels and /api/v1/alerts/deliveries list them";
            return Err(Refusal::new(StatusCode::NOT_FOUND, error, hint));
        }
        self.shared.audit_log.note(&self.person, "channel.send-again", None, id.to_owned(), Outcome::Done);
        Ok(())
    }

    async fn whole_channels(&self) -> Result<BTreeMap<String, Entry<Channel>>, Refusal> {
        self.may_manage()?;
        self.ask_broker("read the channels", self.records()?.channels()).await
    }

    async fn outbox(&self) -> Result<Outbox, Refusal> {
        self.may_manage()?;
        let client = self.shared.broker.as_ref().ok_or_else(Refusal::no_broker)?;
        self.ask_broker("open the outbox", Outbox::open(client)).await
    }

    /// Refuses who may not manage channels.
    pub(super) fn may_manage(&self) -> Result<(), Refusal> {
        if self.may_manage_channels() {
            return Ok(());
        }
        let hint = "an administrator of every host may";
        Err(Refusal::new(StatusCode::FORBIDDEN, "you may not manage channels of notifications", hint))
    }

    /// What the broker keeps of notifications. Each caller has asked whether the person may see or change it.
    pub(super) fn records(&self) -> Result<Records, Refusal> {
        self.shared.broker.clone().map(Records::new).ok_or_else(Refusal::no_broker)
    }

    /// The answer of the broker to `question`.
    pub(super) async fn ask_broker<T, E: std::error::Error + 'static>(
        &self,
        doing: &'static str,
        question: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Refusal> {
        let client = self.shared.broker.as_ref().ok_or_else(Refusal::no_broker)?;
        let answer = broker::ask(client, question).await?;
        answer.map_err(|error| Refusal::fault(&format!("could not {doing}"), &error_chain(&error)))
    }

    /// The same for a change of records.
    pub(super) async fn ask_records<T>(
        &self,
        doing: &'static str,
        change: impl Future<Output = Result<T, RecordError>>,
    ) -> Result<T, Refusal> {
        let client = self.shared.broker.as_ref().ok_or_else(Refusal::no_broker)?;
        broker::ask(client, change).await?.map_err(|error| match error {
            RecordError::Bad(bad) => bad_record(bad),
            RecordError::Full { .. } => {
                Refusal::new(StatusCode::CONFLICT, error.to_string(), "remove one that nobody needs")
            }
            RecordError::Broker(_) | RecordError::Outbox(_) => {
                Refusal::fault(&format!("could not {doing}"), &error_chain(&error))
            }
        })
    }
}

/// The refusal of a channel, a route or a silence with a wrong field.
pub(super) fn bad_record(error: BadChannel) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, error.to_string(), "docs/notifications.md has every field")
}

/// Why alerts cannot go to the channel `id`, which is a heartbeat.
pub(super) fn hears_nothing(id: &str) -> String {
    format!("a heartbeat hears of no alert, and {} is one", display::cut(id, 64))
}

/// A fallback is another channel that there is and that hears of alerts.
fn check_fallback(
    id: &str,
    channel: &Channel,
    all: &BTreeMap<String, Entry<Channel>>,
) -> Result<(), Refusal> {
    let Some(fallback) = &channel.fallback else { return Ok(()) };
    let problem = match all.get(fallback).filter(|_| fallback != id) {
        Some(other) if other.value.hears_of_alerts() => return Ok(()),
        Some(_) => hears_nothing(fallback),
        None => "expected the id of another channel".to_owned(),
    };
    Err(bad_record(BadChannel { field: "fallback", problem }))
}

fn leads_to(route: &Route, id: &str) -> bool {
    let escalated = route.escalate.iter().flat_map(|escalation| &escalation.channels);
    route.channels.iter().chain(escalated).any(|channel| channel == id)
}

fn conflict(id: &str) -> Refusal {
    let error = format!("the channel {} was changed meanwhile", display::cut(id, 64));
    let hint = format!("look at it again and repeat the change; there are at most {MAX_CHANNELS} channels");
    Refusal::new(StatusCode::CONFLICT, error, hint)
}

fn no_such_channel(id: &str) -> Refusal {
    let id = display::cut(id, 64);
    let hint = "the channels are listed at /alerts/channels and /api/v1/alerts/channels";
    Refusal::new(StatusCode::NOT_FOUND, format!("no channel is called {id:?}"), hint)
}

/// A channel for the audit: without its secret.
fn in_words(channel: &Channel) -> String {
    let fallback = channel.fallback.as_ref().map(|id| format!(", falls back to {id}")).unwrap_or_default();
    format!("{} ({} to {}{fallback})", channel.name, channel.means.kind(), channel.means.target())
}
