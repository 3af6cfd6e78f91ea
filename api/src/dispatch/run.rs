//! Follows the stream of alerts, decides its bursts, and hands over what is to be sent.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::Client;
use fleetps_nats::{connection::reconnect_delay, error_chain, now_us, patience::patiently};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    DispatchSettings, Dispatching, Failure, World,
    alert_stream::{AlertReader, AlertStream},
    burst::{Pending, Read},
    decide::{By, Decided, decide, escalate},
    explain,
    heartbeat::beat,
    ledger::{Held, Ledger, LedgerStore, Saved, Waiting},
    links::Links,
    people::People,
    translate::{Beside, told},
};
use crate::{
    authz::TaggedHosts,
    live::Alerts,
    notify::{Courier, Grouping, Kind, Notification, Outbox, Records, Sender, first_channels},
};

/// How often the stream is looked at although nothing tells of a change.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often it is asked which groups there are, until that is known.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Escalations that are decided at once: each asks the broker for its alert.
const MAX_DUE: usize = 500;
/// How often it is counted what waits in the outbox.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// How often acknowledgements of alerts that are over are removed.
const TIDY_EVERY: Duration = Duration::from_secs(3600);

/// Tells people what becomes of alerts, until `ended`: makes notifications of the stream of alerts, and sends what is in the
/// outbox. Does nothing until there is a channel. Waits for a broker that is away.
pub async fn run(
    dispatching: Dispatching,
    world: World,
    settings: DispatchSettings,
    client: Client,
    ended: CancellationToken,
) {
    let begin = async {
        let (channels, without) = first_channels(&client, || LedgerStore::revision(client.clone())).await;
        let outbox = patiently("notifications", || Outbox::open(&client)).await?;
        dispatching.0.now.write().outbox = Some(outbox.clone());
        let people = People::follow(&client, channels).await?;
        anyhow::Ok((outbox, people, without))
    };
    let (outbox, people, without) = match ended.run_until_cancelled(begin).await {
        Some(Ok(begun)) => begun,
        Some(Err(error)) => {
            tracing::error!("no notification is sent: {error:#}");
            return ended.cancelled().await;
        }
        None => return,
    };
    let sender = Sender::new(settings.allowed.clone());
    let channels = people.channels.clone();
    let courier = Courier::new(outbox.clone(), sender.clone(), settings.pace);
    let beating = beat(dispatching.clone(), world.clone(), channels.clone(), sender, settings.beat_every);
    let counting = keep_counting(dispatching.clone(), outbox.clone());
    let tidying = keep_tidy(world.alerts.clone(), Records::new(client.clone()));
    let dispatcher = Dispatcher {
        stream: AlertReader::new(client.clone()),
        client,
        outbox,
        links: Links::to(&settings.address),
        grouping: settings.grouping,
        people,
        world,
        dispatching,
    };
    let beside = async { tokio::join!(dispatcher.keep(without), beating, counting, tidying) };
    tokio::join!(courier.run(channels, ended.clone()), ended.run_until_cancelled(beside));
}

/// Counts what waits in the outbox.
async fn keep_counting(dispatching: Dispatching, outbox: Outbox) {
    loop {
        if let Ok((waiting, oldest_us)) = outbox.waiting().await {
            let mut now = dispatching.0.now.write();
            (now.waiting, now.oldest_us) = (waiting, oldest_us);
        }
        tokio::time::sleep(COUNT_EVERY).await;
    }
}

/// Removes acknowledgements of alerts that are over.
async fn keep_tidy(alerts: Arc<Alerts>, records: Records) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        if !alerts.is_read() {
            continue;
        }
        let open = alerts.open(|_| true).into_iter().map(|open| open.last.change.alert.id.clone()).collect();
        if let Err(error) = records.forget_acknowledgements(&open).await {
            tracing::info!("old acknowledgements stay: {}", error_chain(&error));
        }
    }
}

/// Decides and hands over.
struct Dispatcher {
    client: Client,
    stream: AlertReader,
    outbox: Outbox,
    links: Links,
    grouping: Grouping,
    people: People,
    world: World,
    dispatching: Dispatching,
}

impl Dispatcher {
    /// Dispatches, and begins anew whenever that breaks off. What happened without a channel is not told: where there was none
    /// while the ledger had the revision `without`, and nobody wrote it since.
    async fn keep(self, without: Option<u64>) {
        let mut failures = 0;
        loop {
            let Err(error) = self.follow(without, &mut failures).await;
            let error = error_chain(&*error);
            if failures == 0 {
                tracing::warn!("alerts wait to be told: {error}; trying again");
            }
            tokio::time::sleep(reconnect_delay(failures)).await;
            failures += 1;
        }
    }

    /// Dispatches until something goes wrong.
    async fn follow(
        &self,
        without: Option<u64>,
        failures: &mut usize,
    ) -> Result<std::convert::Infallible, Failure> {
        self.groups_known().await;
        let store = LedgerStore::open(&self.client).await?;
        let mut changed = self.world.alerts.watch();
        let mut held = self.begin(&store, without).await?;
        let mut pending = Pending::default();
        let mut read_until = held.ledger.position;
        loop {
            self.hand_over(&store, &mut held).await?;
            changed.mark_unchanged();
            self.stream.read(&held.ledger, &mut read_until, &mut pending).await?;
            *failures = 0;
            let burst = pending.burst(self.grouping, Instant::now());
            let due = self.due(&held.ledger, now_us());
            self.say(&held.ledger, &pending);
            if burst > 0 {
                held = self.decide(&store, held, &pending, burst).await?;
            } else if !due.is_empty() {
                held = self.escalate(&store, held, due).await?;
            } else {
                let wake = self.wakes_at(&held.ledger, &pending);
                tokio::select! {
                    _ = changed.changed() => {}
                    () = tokio::time::sleep_until(wake) => {}
                }
            }
            pending.drop_until(held.ledger.position);
            read_until = read_until.max(held.ledger.position);
        }
    }

    /// Without groups an alert would go to the wrong people.
    async fn groups_known(&self) {
        let mut changed = self.world.groups.watch();
        while !self.world.groups.is_known() {
            let _or_soon = tokio::time::timeout(ASK_EVERY, changed.changed()).await;
        }
    }

    /// Where to go on.
    async fn begin(&self, store: &LedgerStore, without: Option<u64>) -> Result<Held, Failure> {
        let (AlertStream { made, last_sequence }, is_new) = self.stream.once_there().await?;
        let Held { ledger, revision } = store.load().await?.unwrap_or_default();
        let end = if is_new { 0 } else { last_sequence };
        let ledger = match () {
            () if without == Some(revision) || ledger.made.is_empty() => Ledger::beginning(made, end),
            // The broker lost it, and ingestors append to a new one.
            () if ledger.made != made => Ledger { made, position: 0, ..ledger },
            // It lost its end in a power failure.
            () if ledger.position > last_sequence => Ledger { position: last_sequence, ..ledger },
            () => return Ok(Held { ledger, revision }),
        };
        match store.save(&ledger, revision).await? {
            Saved::As(revision) => Ok(Held { ledger, revision }),
            Saved::Raced | Saved::TooLarge => Err("another server began to tell of alerts".into()),
        }
    }

    /// The escalations that are due.
    fn due(&self, ledger: &Ledger, now_us: i64) -> Vec<Waiting> {
        ledger.escalations.iter().filter(|waiting| waiting.due_us <= now_us).take(MAX_DUE).cloned().collect()
    }

    /// When to look again although nothing tells of a change.
    fn wakes_at(&self, ledger: &Ledger, pending: &Pending) -> Instant {
        let now = Instant::now();
        let due_us = ledger.escalations.iter().map(|waiting| waiting.due_us).min();
        let due = due_us.map(|due_us| {
            now + Duration::from_micros(u64::try_from(due_us.saturating_sub(now_us())).unwrap_or_default())
        });
        let times = [Some(now + LOOK_EVERY), pending.ends_at(self.grouping), due];
        times.into_iter().flatten().min().unwrap_or(now)
    }

    /// Decides the first `burst` pending transitions.
    async fn decide(
        &self,
        store: &LedgerStore,
        held: Held,
        pending: &Pending,
        mut burst: usize,
    ) -> Result<Held, Failure> {
        let reads = pending.take(burst);
        let moments = explain::moments(&self.world.fleet, &reads).await;
        let groups = self.world.groups.now();
        let of = |read: &Read| {
            let alert = &read.transition.change.alert;
            let (groups, note) = (groups.of(&alert.host), self.people.note(&alert.rule));
            told(
                read.sequence,
                &read.transition,
                &Beside { groups, note: &note, moment: moments.get(&alert.host) },
            )
        };
        let all: Vec<_> = reads.iter().map(of).collect();
        loop {
            let Some(last) = reads.get(burst.saturating_sub(1)) else { return Ok(held) };
            let decided = self.by(|by| decide(&held.ledger, all[..burst].to_vec(), last.sequence, by));
            match self.save(store, &held, decided, burst == 1).await? {
                Some(held) => return Ok(held),
                // Some of it fits, whatever the messages say.
                None => burst = burst.div_ceil(2),
            }
        }
    }

    /// Decides what nobody acknowledged in time.
    async fn escalate(&self, store: &LedgerStore, held: Held, due: Vec<Waiting>) -> Result<Held, Failure> {
        let (mut told, mut due) = (Vec::new(), due);
        for waiting in due.iter().filter(|waiting| self.people.acknowledged.get(&waiting.alert).is_none()) {
            if let Some(notification) = self.escalated(waiting).await? {
                told.push((notification, waiting.channels.clone()));
            }
        }
        loop {
            let decided = self.by(|by| escalate(&held.ledger, &due, told.clone(), by));
            match self.save(store, &held, decided, due.len() == 1).await? {
                Some(held) => return Ok(held),
                // The others are due at the next look.
                None => due.truncate(due.len().div_ceil(2)),
            }
        }
    }

    /// What is said of an alert that nobody acknowledged; `None` where the stream no longer has it.
    async fn escalated(&self, waiting: &Waiting) -> Result<Option<Notification>, Failure> {
        let Some(transition) = self.stream.at(waiting.sequence).await? else { return Ok(None) };
        let alert = &transition.change.alert;
        let (groups, note): (Arc<TaggedHosts>, _) = (self.world.groups.now(), self.people.note(&alert.rule));
        let beside = Beside { groups: groups.of(&alert.host), note: &note, moment: None };
        let raised = told(waiting.sequence, &transition, &beside).notification;
        let id = format!("{}-escalated-{}", waiting.alert, waiting.due_us);
        Ok(Some(Notification { id, kind: Kind::Escalated, at_us: waiting.due_us, ..raised }))
    }

    fn by(&self, decision: impl FnOnce(&By<'_>) -> Decided) -> Decided {
        let (rules, channels) = (self.people.rules(self.grouping), self.people.channel_ids());
        decision(&By { rules: &rules, channels: &channels, links: &self.links, now_us: now_us() })
    }

    /// Writes what is decided: what holds then, also where another server was faster; `None` where it does not fit and may be
    /// divided. What cannot be is made smaller.
    async fn save(
        &self,
        store: &LedgerStore,
        held: &Held,
        decided: Decided,
        is_least: bool,
    ) -> Result<Option<Held>, Failure> {
        let Decided { mut ledger, kept_back, not_escalated } = decided;
        explain::explain(&self.world, &mut ledger.outgoing).await;
        loop {
            match store.save(&ledger, held.revision).await? {
                Saved::As(revision) => {
                    let counts = &self.dispatching.0;
                    counts.dispatched.fetch_add(ledger.outgoing.len() as u64, Ordering::Relaxed);
                    counts.not_escalated.fetch_add(not_escalated, Ordering::Relaxed);
                    self.dispatching.count_kept_back(&kept_back);
                    return Ok(Some(Held { ledger, revision }));
                }
                Saved::Raced => return Ok(Some(store.load().await?.unwrap_or_default())),
                Saved::TooLarge if !is_least => return Ok(None),
                Saved::TooLarge => {
                    let forgotten = ledger.shrink();
                    tracing::warn!(forgotten, "too many alerts are open; the end of some is not told");
                    self.dispatching.0.forgotten.fetch_add(forgotten, Ordering::Relaxed);
                }
            }
        }
    }

    /// Puts into the outbox what it may not have yet, and then notes that it has.
    async fn hand_over(&self, store: &LedgerStore, held: &mut Held) -> Result<(), Failure> {
        if held.ledger.outgoing.is_empty() {
            return Ok(());
        }
        for message in &held.ledger.outgoing {
            // One that was removed meanwhile is told nothing more.
            if self.people.channels.get(&message.channel).is_some() {
                self.outbox.put(&message.channel, &message.notification, message.not_before_us).await?;
            }
        }
        let ledger = Ledger { outgoing: Vec::new(), ..held.ledger.clone() };
        *held = match store.save(&ledger, held.revision).await? {
            Saved::As(revision) => Held { ledger, revision },
            Saved::Raced | Saved::TooLarge => store.load().await?.unwrap_or_default(),
        };
        Ok(())
    }

    /// Says how it goes, for pages and metrics.
    fn say(&self, ledger: &Ledger, pending: &Pending) {
        let mut now = self.dispatching.0.now.write();
        now.looked = Some(Instant::now());
        (now.pending, now.pending_since) = (pending.len(), pending.first().map(|read| read.read_at));
        now.escalations = ledger.escalations.len();
        if now.muted != ledger.muted {
            now.muted = ledger.muted.clone();
        }
    }
}
