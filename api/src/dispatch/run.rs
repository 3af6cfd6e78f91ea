//! Follows the stream of alerts, decides its bursts, and hands over what is to be sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::Client;
use fleetps_ingestor::alerts::Transition;
use fleetps_nats::{connection::reconnect_delay, error_chain, now_us, patience::patiently};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    DispatchSettings, Dispatching, Failure, World,
    alert_stream::{AlertReader, AlertStream},
    burst::{Pending, Read},
    decide::{By, Decided, decide, escalate},
    explain, hand_over,
    heartbeat::beat,
    ledger::{Held, Ledger, LedgerStore, Saved, Waiting},
    links::Links,
    people::People,
    strays::Strays,
    translate::{Beside, is_late, told},
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
/// How often acknowledgements of alerts that are over are removed, and alerts forgotten whose end the stream lost.
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
        if let Err(error) = records.forget_acknowledgements(&open_alerts(&alerts)).await {
            tracing::info!("old acknowledgements stay: {}", error_chain(&error));
        }
    }
}

/// The ids of the alerts that are open.
fn open_alerts(alerts: &Alerts) -> BTreeSet<String> {
    alerts.open(|_| true).into_iter().map(|open| open.last.change.alert.id.clone()).collect()
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
        let mut strays = Strays::new(Instant::now());
        let mut read_until = held.ledger.position;
        loop {
            self.hand_over(&store, &mut held).await?;
            changed.mark_unchanged();
            self.stream.read(&held.ledger, &mut read_until, &mut pending).await?;
            let burst = pending.burst(self.grouping, Instant::now());
            let due = self.due(&held.ledger, now_us());
            self.say(&held.ledger, &pending);
            let is_idle = burst == 0 && due.is_empty();
            if burst > 0 {
                held = self.decide(&store, held, &pending, burst).await?;
            } else if !due.is_empty() {
                held = self.escalate(&store, held, due, &pending).await?;
            } else if pending.first().is_none() {
                held = self.tidy(&store, held, &mut strays).await?;
            }
            // Not before: looking alone tells nobody anything.
            self.dispatching.0.now.write().looked = Some(Instant::now());
            *failures = 0;
            if is_idle {
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
        let mut ledger = match () {
            () if without == Some(revision) || ledger.made.is_empty() => Ledger::beginning(made, end),
            // The broker lost it, and ingestors append to a new one.
            () if ledger.made != made => Ledger { made, position: 0, ..ledger },
            // It lost its end in a power failure.
            () if ledger.position > last_sequence => Ledger { position: last_sequence, ..ledger },
            () => return Ok(Held { ledger, revision }),
        };
        loop {
            match store.save(&ledger, revision).await? {
                Saved::As(revision) => return Ok(Held { ledger, revision }),
                Saved::Raced => return Err("another server began to tell of alerts".into()),
                Saved::TooLarge => self.shrink(&mut ledger),
            }
        }
    }

    /// Forgets alerts that channels were told of and that are not open any more, although nobody was told of their end: the stream
    /// lost it.
    async fn tidy(&self, store: &LedgerStore, held: Held, strays: &mut Strays) -> Result<Held, Failure> {
        let now = Instant::now();
        if !strays.is_due(now, TIDY_EVERY) || !self.world.alerts.is_read() {
            return Ok(held);
        }
        let gone = strays.again(held.ledger.not_open(&open_alerts(&self.world.alerts)), now);
        if gone.is_empty() {
            return Ok(held);
        }
        tracing::info!(
            alerts = gone.len(),
            "alerts are over without an end in the stream, and are forgotten"
        );
        let mut ledger = held.ledger;
        ledger.forget(&gone);
        self.write(store, ledger, held.revision).await
    }

    /// Writes a ledger, smaller where it does not fit: what holds then, also where another server was faster.
    async fn write(&self, store: &LedgerStore, mut ledger: Ledger, revision: u64) -> Result<Held, Failure> {
        loop {
            match store.save(&ledger, revision).await? {
                Saved::As(revision) => return Ok(Held { ledger, revision }),
                Saved::Raced => return Ok(store.load().await?.unwrap_or_default()),
                Saved::TooLarge => self.shrink(&mut ledger),
            }
        }
    }

    /// Makes a ledger that does not fit smaller.
    fn shrink(&self, ledger: &mut Ledger) {
        let forgotten = ledger.shrink();
        tracing::warn!(forgotten, "too many alerts are open; the end of some is not told");
        self.dispatching.0.forgotten.fetch_add(forgotten, Ordering::Relaxed);
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
        let over = self.over(&reads, pending);
        let of = |read: &Read| {
            let alert = &read.transition.change.alert;
            let (groups, note) = (groups.of(&alert.host), self.people.note(&alert.rule));
            told(
                read.sequence,
                &read.transition,
                &Beside {
                    groups,
                    note: &note,
                    moment: moments.get(&alert.host),
                    is_over: over.contains(&alert.id),
                },
            )
        };
        let all: Vec<_> = reads.iter().map(of).collect();
        loop {
            let Some(last) = reads.get(burst.saturating_sub(1)) else { return Ok(held) };
            let decided = self.by(|by| decide(&held.ledger, all[..burst].to_vec(), last.sequence, by))?;
            match self.save(store, &held, decided, burst == 1).await? {
                Some(held) => return Ok(held),
                // Some of it fits, whatever the messages say.
                None => burst = burst.div_ceil(2),
            }
        }
    }

    /// The alerts of late transitions that are over by now. One that is not known to be over counts as open: to be told of what is
    /// over is less harm than not to be told of what goes on.
    fn over(&self, reads: &[Read], pending: &Pending) -> BTreeSet<String> {
        let now_us = now_us();
        let late = reads.iter().map(|read| &read.transition).filter(|it| is_late(it, now_us));
        let late: BTreeSet<&str> = late.map(|transition| transition.change.alert.id.as_str()).collect();
        if late.is_empty() {
            return BTreeSet::new();
        }
        let is_of_them = |transition: &Transition| late.contains(transition.change.alert.id.as_str());
        let (changes, _) = self.world.alerts.changes(usize::MAX, is_of_them);
        let mut is_open: BTreeMap<&str, bool> = BTreeMap::new();
        for change in &changes {
            // The newest is first, and holds.
            is_open.entry(change.change.alert.id.as_str()).or_insert_with(|| change.is_open());
        }
        let is_over = |alert: &&str| pending.ends(alert) || is_open.get(*alert) == Some(&false);
        late.iter().copied().filter(is_over).map(str::to_owned).collect()
    }

    /// Decides what nobody acknowledged in time. An alert whose end is read and not decided yet is over.
    async fn escalate(
        &self,
        store: &LedgerStore,
        held: Held,
        mut due: Vec<Waiting>,
        pending: &Pending,
    ) -> Result<Held, Failure> {
        let mut told = Vec::new();
        let needs_somebody = |waiting: &&Waiting| {
            self.people.acknowledged.get(&waiting.alert).is_none() && !pending.ends(&waiting.alert)
        };
        for waiting in due.iter().filter(needs_somebody) {
            if let Some(notification) = self.escalated(waiting).await? {
                told.push((notification, waiting.channels.clone()));
            }
        }
        loop {
            let decided = self.by(|by| escalate(&held.ledger, &due, told.clone(), by))?;
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
        let beside = Beside { groups: groups.of(&alert.host), note: &note, moment: None, is_over: false };
        let raised = told(waiting.sequence, &transition, &beside).notification;
        let id = format!("{}-escalated-{}", waiting.alert, waiting.due_us);
        Ok(Some(Notification { id, kind: Kind::Escalated, at_us: waiting.due_us, ..raised }))
    }

    fn by(&self, decision: impl FnOnce(&By<'_>) -> Decided) -> Result<Decided, Failure> {
        let (rules, channels) = (self.people.rules(self.grouping)?, self.people.channel_ids());
        Ok(decision(&By { rules: &rules, channels: &channels, links: &self.links, now_us: now_us() }))
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
        let Decided { mut ledger, kept_back, not_escalated, forgotten } = decided;
        // Those before wait for room in the outbox, and were explained and counted already.
        let before = held.ledger.outgoing.len();
        explain::explain(&self.world, ledger.outgoing.get_mut(before..).unwrap_or_default()).await;
        loop {
            match store.save(&ledger, held.revision).await? {
                Saved::As(revision) => {
                    let counts = &self.dispatching.0;
                    let dispatched = ledger.outgoing.len().saturating_sub(before);
                    counts.dispatched.fetch_add(dispatched as u64, Ordering::Relaxed);
                    counts.forgotten.fetch_add(forgotten, Ordering::Relaxed);
                    counts.not_escalated.fetch_add(not_escalated, Ordering::Relaxed);
                    self.dispatching.count_kept_back(&kept_back);
                    return Ok(Some(Held { ledger, revision }));
                }
                Saved::Raced => return Ok(Some(store.load().await?.unwrap_or_default())),
                Saved::TooLarge if !is_least => return Ok(None),
                Saved::TooLarge => self.shrink(&mut ledger),
            }
        }
    }

    /// Puts into the outbox what it may not have yet, and then notes that it has. What it has no room for stays in the ledger for
    /// the next time, and so does everything behind an error, which is returned.
    async fn hand_over(&self, store: &LedgerStore, held: &mut Held) -> Result<(), Failure> {
        let before = hand_over::size(&held.ledger.outgoing);
        let mut left = hand_over::put(&self.outbox, &self.people.channels, &held.ledger.outgoing).await;
        let given_up = left.bound();
        if left.error.is_none() {
            self.dispatching.0.now.write().note_refused(!left.full.is_empty());
        }
        if hand_over::size(&left.messages) < before {
            let ledger = Ledger { outgoing: left.messages, ..held.ledger.clone() };
            *held = self.write(store, ledger, held.revision).await?;
        }
        // Not before: until they are written off, they are tried again.
        if given_up > 0 {
            tracing::error!(given_up, channels = ?left.full, "the outbox is full: messages are not sent");
            self.dispatching.0.forgotten.fetch_add(given_up, Ordering::Relaxed);
        }
        left.error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Says how it goes, for pages and metrics.
    fn say(&self, ledger: &Ledger, pending: &Pending) {
        let mut now = self.dispatching.0.now.write();
        now.pending = pending.len();
        now.note_first(pending.first().map(|read| (read.sequence, read.read_at)));
        now.escalations = ledger.escalations.len();
        if now.muted != ledger.muted {
            now.muted = ledger.muted.clone();
        }
    }
}
