//! The alerts, as the ingestors publish them to the stream `ALERT`: those that are open, and what became of others.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use async_nats::Client;
use fleetps_ingestor::alerts::{Change, Severity, Transition};
use fleetps_nats::{HostName, stream};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::followed_stream::{BrokenOff, FollowedStream, keep_reading};
use crate::{metrics::Bounded, notify::Acknowledgement};

/// Changes that are kept, of some 1 KB each in memory: more than half of what the broker keeps. Beyond that the oldest go.
const MAX_CHANGES: usize = 50_000;

/// The alerts that are known.
#[derive(Debug, Default)]
pub struct Alerts {
    known: RwLock<Known>,
    changed: watch::Sender<u64>,
}

/// An alert that is open.
#[derive(Debug, Clone)]
pub struct OpenAlert {
    /// The change that raised it: with the culprits of that moment.
    pub raised: Arc<Transition>,
    /// Its last change.
    pub last: Arc<Transition>,
    /// Who looks after it, where that was asked.
    pub acknowledged: Option<Arc<Acknowledgement>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether all that the stream had was read once.
    is_read: bool,
    /// By the instance of the rule.
    open: HashMap<String, OpenAlert>,
    /// The latest last.
    changes: VecDeque<Arc<Transition>>,
    dropped: u64,
}

impl Known {
    fn take(&mut self, transition: Transition) {
        let (instance, is_open) = (transition.change.alert.instance_id(), transition.is_open());
        let last = Arc::new(transition);
        if is_open {
            let before = self.open.remove(&instance);
            let is_same = |before: &OpenAlert| before.last.change.alert.id == last.change.alert.id;
            let raised = before.filter(is_same).map_or_else(|| Arc::clone(&last), |before| before.raised);
            let open = OpenAlert { raised, last: Arc::clone(&last), acknowledged: None };
            self.open.insert(instance, open);
        } else if last.change.change != Change::TooMany {
            self.open.remove(&instance);
        }
        self.changes.push_back(last);
        if self.changes.len() > MAX_CHANGES {
            self.changes.pop_front();
            self.dropped += 1;
        }
    }
}

impl Alerts {
    /// How full their memory is.
    pub fn bounded(&self) -> Bounded {
        let known = self.known.read();
        let (in_use, limit) = (known.changes.len() as u64, MAX_CHANGES as u64);
        Bounded { of: "alert-changes", in_use, limit, refused: known.dropped }
    }

    /// Whether all that there is was read once.
    pub fn is_read(&self) -> bool {
        self.known.read().is_read
    }

    /// Tells of every change, by a number that grows.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Grows with every change.
    pub fn version(&self) -> u64 {
        *self.changed.borrow()
    }

    /// The open alerts for which `wants` is true, the worst first and then the newest.
    pub fn open(&self, wants: impl Fn(&Transition) -> bool) -> Vec<OpenAlert> {
        let known = self.known.read();
        let mut open: Vec<OpenAlert> =
            known.open.values().filter(|open| wants(&open.last)).cloned().collect();
        drop(known);
        let order = |open: &OpenAlert| {
            let alert = &open.last.change.alert;
            (std::cmp::Reverse(alert.severity), std::cmp::Reverse(alert.raised_at_us), alert.id.clone())
        };
        open.sort_by_cached_key(order);
        open
    }

    /// How many alerts are open on each host for which `sees` says so, and the worst of them.
    pub fn of_hosts(&self, sees: impl Fn(&HostName) -> bool) -> HashMap<HostName, (usize, Severity)> {
        let mut of_hosts: HashMap<HostName, (usize, Severity)> = HashMap::new();
        for open in self.known.read().open.values() {
            let alert = &open.last.change.alert;
            if sees(&alert.host) {
                let (count, worst) = of_hosts.entry(alert.host.clone()).or_default();
                (*count, *worst) = (*count + 1, alert.severity.max(*worst));
            }
        }
        of_hosts
    }

    /// The latest changes for which `wants` is true, newest first, at most `limit`; and how many there are in all.
    pub fn changes(
        &self,
        limit: usize,
        wants: impl Fn(&Transition) -> bool,
    ) -> (Vec<Arc<Transition>>, usize) {
        let known = self.known.read();
        let (mut found, mut total) = (Vec::new(), 0);
        for change in known.changes.iter().rev().filter(|change| wants(change)) {
            total += 1;
            if found.len() < limit {
                found.push(Arc::clone(change));
            }
        }
        (found, total)
    }

    /// Takes a change that was published.
    pub fn take(&self, transition: Transition) {
        self.known.write().take(transition);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Tells who follows that something else about alerts changed: who looks after them.
    pub fn touch(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// Keeps up with the stream until `shutdown`.
    pub async fn follow(&self, client: &Client, shutdown: CancellationToken) {
        keep_reading("the alerts", shutdown, || self.read(client)).await;
    }

    /// Reads the stream from its beginning, until that breaks off. What was known stays until all is read again.
    async fn read(&self, client: &Client) -> Result<(), BrokenOff> {
        let mut alerts = FollowedStream::open(client, stream::ALERTS).await?;
        let mut anew = (alerts.info.state.messages > 0).then(Known::default);
        if anew.is_none() {
            self.replace(Known::default());
        }
        while let Some(message) = alerts.next().await? {
            let is_last = message.info()?.pending == 0;
            // One that is none is of a later version.
            let transition = Transition::from_message(&message.payload);
            match &mut anew {
                Some(known) => {
                    transition.into_iter().for_each(|transition| known.take(transition));
                    if is_last && let Some(known) = anew.take() {
                        self.replace(known);
                    }
                }
                None => transition.into_iter().for_each(|transition| self.take(transition)),
            }
        }
        Ok(())
    }

    fn replace(&self, known: Known) {
        *self.known.write() = Known { is_read: true, ..known };
        self.changed.send_modify(|version| *version += 1);
    }
}
