//! Which hosts' messages count: what the broker took of a host after that was revoked or forgotten does not, even where it
//! is in the stream already.
//!
//! Both times are the broker's. Only where a host went while this was away and the broker does not remember when, it is the
//! time at which that was noticed, by this machine's clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use async_nats::Client;
use tokio::sync::{mpsc, watch};

use crate::{
    HostName,
    bucket::{BucketError, Told},
    hosts::{self, Admission, HostRecord},
    stream::SNAPSHOT_MAX_AGE,
};

/// Ended hosts that are remembered; ten times the largest fleet this was designed for. Those that ended first make room.
const MAX_ENDED: usize = 100_000;

/// Which hosts were revoked or forgotten, and since when; cheap to clone.
#[derive(Debug, Clone)]
pub struct Standing {
    ended: Arc<RwLock<Ended>>,
    _following: Arc<watch::Sender<()>>,
}

/// Hosts that may say nothing more.
#[derive(Debug, Default)]
struct Ended {
    since_us: BTreeMap<HostName, i64>,
    /// Hosts that may speak, or were revoked: only these can be forgotten.
    known: BTreeSet<String>,
    /// The keys seen since the bucket is read anew; those of `known` that are not among them are gone.
    told: Option<BTreeSet<String>>,
}

impl Standing {
    /// Follows the bucket of hosts, and returns when its present content is known. During later interruptions it keeps
    /// the last known state.
    ///
    /// # Errors
    /// When the broker does not answer or cannot make the bucket.
    pub async fn follow(client: &Client) -> Result<Self, BucketError> {
        let mut feed = hosts::open(client).await?.feed();
        let ended = Arc::new(RwLock::new(Ended::default()));
        while let Some(told) = feed.recv().await {
            let is_up_to_date = matches!(told, Told::UpToDate);
            write(&ended, told);
            if is_up_to_date {
                break;
            }
        }
        let (following, stopped) = watch::channel(());
        tokio::spawn(keep(feed, Arc::clone(&ended), stopped));
        Ok(Self { ended, _following: Arc::new(following) })
    }

    /// Since when `host` may say nothing more, in µs since 1970 UTC by the broker's clock; `None` while it may.
    pub fn ended_at_us(&self, host: &HostName) -> Option<i64> {
        self.ended.read().unwrap_or_else(PoisonError::into_inner).since_us.get(host).copied()
    }

    /// Whether a message that the broker stored for `host` at `stored_at_us` counts.
    pub(crate) fn counts(&self, host: &HostName, stored_at_us: i64) -> bool {
        self.ended_at_us(host).is_none_or(|since_us| stored_at_us < since_us)
    }
}

/// Applies changes until the last copy of the standing is dropped.
async fn keep(
    mut feed: mpsc::Receiver<Told<HostRecord>>,
    ended: Arc<RwLock<Ended>>,
    mut stopped: watch::Receiver<()>,
) {
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            told = feed.recv() => match told {
                Some(told) => write(&ended, told),
                None => return,
            },
        }
    }
}

fn write(ended: &RwLock<Ended>, told: Told<HostRecord>) {
    ended.write().unwrap_or_else(PoisonError::into_inner).apply(told);
}

impl Ended {
    fn apply(&mut self, told: Told<HostRecord>) {
        match told {
            Told::Anew => self.told = Some(BTreeSet::new()),
            Told::UpToDate => self.forget_untold(),
            Told::Change { key, value, at_us } => {
                self.change(&key, value, at_us);
                if let Some(told) = &mut self.told {
                    told.insert(key);
                }
            }
        }
    }

    fn change(&mut self, key: &str, record: Option<HostRecord>, at_us: i64) {
        let Ok(host) = key.parse::<HostName>() else { return };
        match record {
            // One without a key is known by the broker's configuration.
            Some(record) if record.admission == Admission::Admitted => {
                self.since_us.remove(&host);
                self.known.insert(key.to_owned());
            }
            Some(record) if record.admission == Admission::Revoked => {
                self.known.insert(key.to_owned());
                self.end(host, at_us);
            }
            Some(_) => {}
            // Invented names that only waited come and go; a key removed during the first read may have been anything.
            None if self.known.remove(key) || self.told.is_some() => self.end(host, at_us),
            None => {}
        }
    }

    /// A host counts as revoked since the first time; later changes of its record do not matter.
    fn end(&mut self, host: HostName, at_us: i64) {
        self.since_us.entry(host).or_insert(at_us);
        if self.since_us.len() > MAX_ENDED {
            self.make_room(at_us);
        }
    }

    /// Drops hosts that ended so long ago that the stream has nothing of them; if there are none, the tenth that ended
    /// first.
    fn make_room(&mut self, now_us: i64) {
        let kept_us = i64::try_from(SNAPSHOT_MAX_AGE.as_micros()).unwrap_or(i64::MAX);
        let mut times: Vec<i64> = self.since_us.values().copied().collect();
        let (_, tenth_us, _) = times.select_nth_unstable(MAX_ENDED / 10);
        let oldest_us = now_us.saturating_sub(kept_us).max(*tenth_us);
        self.since_us.retain(|_, since_us| *since_us > oldest_us);
    }

    /// Ends hosts that were known before an interruption and are gone after it: they went some time in between.
    fn forget_untold(&mut self) {
        let Some(told) = self.told.take() else { return };
        let gone: Vec<String> = self.known.difference(&told).cloned().collect();
        for key in gone {
            self.known.remove(&key);
            if let Ok(host) = key.parse() {
                self.end(host, crate::now_us());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, admission: Option<Admission>, at_us: i64) -> Told<HostRecord> {
        let value = admission.map(|admission| HostRecord {
            keys: vec!["U".to_owned()],
            admission,
            first_contact_at_us: 0,
            ..HostRecord::in_groups(BTreeSet::new())
        });
        Told::Change { key: key.to_owned(), value, at_us }
    }

    fn since(ended: &Ended, host: &str) -> Option<i64> {
        ended.since_us.get(&host.parse::<HostName>().unwrap()).copied()
    }

    #[test]
    fn a_host_ends_when_it_is_revoked_or_forgotten_first_and_begins_again_when_it_is_admitted() {
        let mut ended = Ended::default();
        ended.apply(Told::Anew);
        ended.apply(change("gone-before", None, 5));
        ended.apply(change("revoked-before", Some(Admission::Revoked), 6));
        ended.apply(change("a", Some(Admission::Admitted), 7));
        ended.apply(change("b", Some(Admission::Admitted), 7));
        ended.apply(Told::UpToDate);
        ended.apply(change("a", Some(Admission::Revoked), 10));
        ended.apply(change("a", Some(Admission::Revoked), 20));
        ended.apply(change("made-up", Some(Admission::Waiting), 20));
        ended.apply(change("made-up", None, 21));
        let found = ["gone-before", "revoked-before", "a", "b", "made-up"].map(|host| since(&ended, host));
        assert_eq!(found, [Some(5), Some(6), Some(10), None, None]);
        ended.apply(change("a", Some(Admission::Admitted), 30));
        ended.apply(change("b", None, 31));
        assert_eq!((since(&ended, "a"), since(&ended, "b")), (None, Some(31)));

        // A host that was removed while this was away is gone all the same.
        ended.apply(Told::Anew);
        ended.apply(change("b", Some(Admission::Admitted), 40));
        ended.apply(Told::UpToDate);
        assert!(since(&ended, "a").is_some() && since(&ended, "b").is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest_stay() {
        let mut ended = Ended::default();
        ended.apply(Told::Anew);
        for number in 0..MAX_ENDED + 10 {
            ended.apply(change(&format!("h{number}"), None, i64::try_from(number).unwrap()));
        }
        assert!(ended.since_us.len() <= MAX_ENDED);
        assert!(since(&ended, &format!("h{}", MAX_ENDED + 9)).is_some() && since(&ended, "h0").is_none());
    }
}
