//! Commands to hosts: to start and stop units, and to signal processes.
//!
//! * `order` is what a person asks for, `record` is one command to one host with every `step` that it took, `store` keeps the records in the broker;
//! * `driver` sends one command and follows it, over the `line` to its host; `settle` finds out what became of one whose
//!   host was lost; `plan` does several; `room` bounds how many there are at once;
//! * `look` asks how a unit is, which changes nothing, so that nothing of it is signed or written down;
//! * `left_over` takes over what a server that has ended did not finish.
//!
//! A host executes a command only with a ticket that its own helper gave out (`fleetps_nats::command`). So nothing here can
//! execute one twice or late: this side decides who may ask, writes everything down first, and says what is known.

mod driver;
mod left_over;
mod line;
mod look;
mod order;
mod plan;
mod record;
mod room;
mod settle;
mod step;
mod store;

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::Client;
use fleetps_nats::{
    HostName,
    agent_settings::ControlKey,
    audit::{AuditEntry, Outcome},
    command::{CommandId, Sight, UnitName},
    error_chain, now_us,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use look::NotLooked;
pub(crate) use order::{NotAsked, Order, OrderTarget};
pub(crate) use plan::Pace;
pub(crate) use record::{CommandRecord, PlanPlace, Was, without_command_line};
pub(crate) use step::{State, Step};
pub(crate) use store::StoreError;

use crate::{audit_log::AuditLog, metrics::Bounded};
use driver::Driver;
use room::{MAX_UNDER_WAY, Place, Room};
use store::Store;

/// Records of a plan that are written at a time.
const WRITTEN_AT_ONCE: usize = 32;
/// How soon the broker is asked again after it did not say which commands there are.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often old records are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Commands; a clone is the same. Nothing can be asked before the broker has answered once.
#[derive(Clone, Default)]
pub struct Commands(Arc<RwLock<Option<Open>>>);

impl fmt::Debug for Commands {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Commands").field(&self.0.read().is_some()).finish()
    }
}

#[derive(Clone)]
struct Open {
    store: Store,
    driver: Driver,
    /// The run of this server.
    server: String,
    room: Room,
    /// Orders for which there was no room.
    refused: Arc<AtomicU64>,
    shutdown: CancellationToken,
}

impl Commands {
    /// Follows the commands until `shutdown`, and sends them where there is a `key`.
    pub async fn follow(
        self,
        client: Client,
        key: Option<ControlKey>,
        audit: AuditLog,
        shutdown: CancellationToken,
    ) {
        let Some(server) = CommandId::new().ok().map(String::from) else { return };
        let opening = async {
            loop {
                match Store::open(&client).await {
                    Ok(store) => return store,
                    Err(error) => tracing::warn!(
                        "cannot read the commands to hosts: {}; trying again",
                        error_chain(&error)
                    ),
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        let Some(store) = shutdown.run_until_cancelled(opening).await else { return };
        let driver = Driver { client, key, store: store.clone(), audit };
        let (room, refused, shutdown_too) = (Room::default(), Arc::default(), shutdown.clone());
        let open = Open { store, driver, server, room, refused, shutdown: shutdown_too };
        *self.0.write() = Some(open.clone());
        let following = async {
            tokio::join!(open.store.follow(), open.tidy(), open.beat(), open.take_over());
        };
        shutdown.run_until_cancelled(following).await;
        shutdown.cancelled().await;
        self.0.write().take();
    }

    /// Whether this server can command hosts; `None` before the broker has answered.
    pub fn can_sign(&self) -> Option<bool> {
        self.0.read().as_ref().map(|open| open.driver.key.is_some())
    }

    /// Every command that is known, the latest asked first.
    pub fn all(&self) -> Vec<Arc<CommandRecord>> {
        self.0.read().as_ref().map(|open| open.store.all()).unwrap_or_default()
    }

    /// The commands that people ask for by this id: one, or those of a plan in their order.
    pub fn asked_as(&self, id: &CommandId) -> Vec<Arc<CommandRecord>> {
        self.0.read().as_ref().map(|open| open.store.asked_as(id)).unwrap_or_default()
    }

    /// Tells of every change; `None` before the broker has answered.
    pub fn watch(&self) -> Option<watch::Receiver<u64>> {
        self.0.read().as_ref().map(|open| open.store.watch())
    }

    /// How many commands are under way.
    pub fn bounded(&self) -> Option<Bounded> {
        let open = self.0.read().clone()?;
        let (in_use, limit) = (open.room.in_use() as u64, MAX_UNDER_WAY as u64);
        Some(Bounded { of: "commands", in_use, limit, refused: open.refused.load(Relaxed) })
    }

    /// Begins what is asked for, and returns the id to ask for it by. Everything else goes on in the background. It is a task of
    /// its own: what was begun is finished, also when the client that asks hangs up.
    ///
    /// # Errors
    /// When it cannot be signed or written down, or there is too much. Nothing is sent then.
    pub async fn order(&self, order: Order) -> Result<CommandId, NotAsked> {
        let open = self.0.read().clone().ok_or(NotAsked::NotKnown)?;
        tokio::spawn(async move { open.order(order).await }).await?
    }

    /// How a unit of `host` is, as its control helper says.
    ///
    /// # Errors
    /// When the host is not there, does not let it be asked, or the broker is away.
    pub async fn look(&self, host: &HostName, unit: UnitName) -> Result<Sight, NotLooked> {
        let client = self.0.read().as_ref().map(|open| open.driver.client.clone());
        look::look(&client.ok_or(NotLooked::NotKnown)?, host, unit).await
    }

    /// Cancels those of these commands that were not sent yet, and returns how many these were; also when the client that asks
    /// hangs up. Their records name who does it, and the audit the address, too.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn cancel(&self, ids: Vec<CommandId>, by: &str, from: IpAddr) -> Result<usize, NotAsked> {
        let open = self.0.read().clone().ok_or(NotAsked::NotKnown)?;
        let by = by.to_owned();
        Ok(tokio::spawn(async move { open.cancel(&ids, &by, from).await }).await??)
    }
}

impl Open {
    async fn order(&self, order: Order) -> Result<CommandId, NotAsked> {
        if self.driver.key.is_none() {
            return Err(NotAsked::NoKey);
        }
        let records = self.records(&order)?;
        let places = self.take_room(&order.who, &records).inspect_err(|_| {
            self.refused.fetch_add(1, Relaxed);
        })?;
        let asked_as = records.first().map(|record| record.asked_as().clone()).ok_or(NotAsked::NotKnown)?;
        if let Err(error) = self.write(&records).await {
            self.withdraw(records, places);
            return Err(error);
        }
        let commands: Vec<_> = records.into_iter().map(|record| record.id).zip(places).collect();
        let (driver, pace) = (self.driver.clone(), order.pace);
        self.in_background(async move { driver.carry_out(commands, pace).await });
        Ok(asked_as)
    }

    async fn cancel(&self, ids: &[CommandId], by: &str, from: IpAddr) -> Result<usize, StoreError> {
        let mut cancelled = 0;
        for id in ids {
            let said = format!("It was not sent: {by} cancelled it.");
            let step = Step::now(State::Cancelled).by(by).saying(said);
            if let Some(record) = self.store.change(id, |record| record.cancel(step.clone())).await? {
                // The audit names who cancels, and not who asked.
                self.driver.note(&CommandRecord { who: by.to_owned(), from, ..record }, &step);
                cancelled += 1;
            }
        }
        Ok(cancelled)
    }

    fn take_room(&self, who: &str, records: &[CommandRecord]) -> Result<Vec<Place>, NotAsked> {
        let ids: Vec<CommandId> = records.iter().map(|record| record.id.clone()).collect();
        let places = self.room.take(who, &ids)?;
        match self.store.len() + ids.len() > store::MAX_RECORDS {
            true => Err(NotAsked::Full),
            false => Ok(places),
        }
    }

    /// The records of an order, before anything was done.
    fn records(&self, order: &Order) -> Result<Vec<CommandRecord>, NotAsked> {
        let plan = if order.targets.len() > 1 { Some(CommandId::new()?) } else { None };
        let state = if plan.is_some() { State::Waiting } else { State::Asked };
        let asked_at_us = now_us();
        let record = |(number, target): (usize, &OrderTarget)| {
            let OrderTarget { host, what, was } = target.clone();
            let place = |id: &CommandId| PlanPlace { id: id.clone(), number, of: order.targets.len() };
            Ok(CommandRecord {
                id: CommandId::new()?,
                host,
                what,
                who: order.who.clone(),
                from: order.from,
                why: order.why.clone(),
                asked_at_us,
                plan: plan.as_ref().map(place),
                was,
                steps: vec![Step::now(state)],
                is_over: false,
                server: self.server.clone(),
                version: 0,
            })
        };
        order.targets.iter().enumerate().map(record).collect()
    }

    /// Writes the records down, and of a plan that there is one.
    async fn write(&self, records: &[CommandRecord]) -> Result<(), NotAsked> {
        let store = self.store.clone();
        let writing = stream::iter(records.to_vec()).map(|record| {
            let store = store.clone();
            async move { store.create(record).await }
        });
        writing.buffer_unordered(WRITTEN_AT_ONCE).try_collect::<()>().await?;
        let Some((first, plan)) = records.first().and_then(|first| Some((first, first.plan.as_ref()?)))
        else {
            return Ok(());
        };
        let entry = driver::entry(first, "command.plan", plan_words(first, plan, records), Outcome::Done);
        let entry = AuditEntry { host: None, ..entry };
        self.driver.audit.write(entry).await.map(|_| ()).map_err(NotAsked::Audit)
    }

    /// Ends records of an order that could not be written down as a whole, as soon as the broker takes that.
    fn withdraw(&self, records: Vec<CommandRecord>, places: Vec<Place>) {
        let driver = self.driver.clone();
        self.in_background(async move {
            for (record, _place) in records.iter().zip(places) {
                let said = "It was not sent: it could not be written down as a whole.";
                driver.cancel(record, Step::now(State::Cancelled).saying(said)).await;
            }
        });
    }

    /// Does `work` until it is done or the server ends; another server then finds what is left over.
    fn in_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move { shutdown.run_until_cancelled(work).await });
    }

    /// Removes old records, for as long as this is awaited.
    async fn tidy(&self) {
        loop {
            if let Err(error) = self.store.tidy(now_us()).await {
                tracing::warn!(
                    error = error_chain(&error),
                    "old commands could not be removed; trying again later"
                );
            }
            tokio::time::sleep(TIDY_EVERY).await;
        }
    }
}

/// A plan as the audit has it. The hosts come last: where there are many, an entry is cut within them.
fn plan_words(first: &CommandRecord, plan: &PlanPlace, records: &[CommandRecord]) -> String {
    let hosts: Vec<&str> = records.iter().map(|record| record.host.as_str()).collect();
    let why = if first.why.is_empty() { String::new() } else { format!("; why: {}", first.why) };
    let of = plan.of;
    format!("plan {}: {}, {of} commands{why}; hosts: {}", plan.id, first.what, hosts.join(" "))
}
