//! Shares of anything limited (live pages, searches, questions), fair between persons.
//!
//! No person has more than a share at once. Waiting requests are served by turns of persons: a person's next request
//! waits behind the first ones of all others ("start-time fair queueing"). Where waiting is not possible, a place is
//! taken from the person who has the most and given to one who has fewer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{metrics::Bounded, refusal::Refusal};

/// When a request that found no share may find one. Most take less than a second.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How much there is, and how much of it is for one person.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The name of the limited thing, as in "too many searches".
    pub what: &'static str,
    /// At once.
    pub most: usize,
    /// At once for one person.
    pub of_a_person: usize,
    /// The number of requests that may wait; none where waiting is not possible.
    pub waiting: usize,
    /// That wait, of one person.
    pub waiting_of_a_person: usize,
    /// The longest wait.
    pub wait: Duration,
}

/// There is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoShare {
    /// The person has a whole share already.
    #[error("you have {most} {what} already")]
    Own {
        /// How many that is, those that wait included.
        most: usize,
        /// The name of the limited thing.
        what: &'static str,
    },
    /// Others have all there is.
    #[error("there are too many {0}")]
    All(&'static str),
}

/// Something that persons share. A clone is the same.
#[derive(Debug, Clone)]
pub struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: Bounds,
    state: Mutex<State>,
    /// What was refused or withdrawn.
    refused: AtomicU64,
}

/// A person's share, or the wait for it, until it is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Shares,
    person: String,
    number: u64,
    withdrawn: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last share.
    number: u64,
    /// The shares in use, the oldest first.
    held: HashMap<String, BTreeMap<u64, CancellationToken>>,
    in_use: usize,
    /// By number, so that the oldest comes first.
    waiting: BTreeMap<u64, Waiter>,
    /// The round that is being served.
    round: u64,
    /// The last round in which each person has something, of those who have.
    rounds: HashMap<String, u64>,
}

#[derive(Debug)]
struct Waiter {
    person: String,
    round: u64,
    ready: oneshot::Sender<()>,
    withdrawn: CancellationToken,
}

impl Shares {
    /// Shares of something with these limits.
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Inner { bounds, state: Mutex::default(), refused: AtomicU64::default() }))
    }

    /// A share for `person`, as soon as it is their turn.
    ///
    /// # Errors
    /// When they wait for their whole share already, too many others wait, or it takes too long.
    pub async fn take(&self, person: &str) -> Result<Share, NoShare> {
        self.take_within(person, self.0.bounds.wait).await
    }

    /// The same, waiting no longer than this.
    ///
    /// # Errors
    /// When they wait for their whole share already, too many others wait, or it takes too long.
    pub async fn take_within(&self, person: &str, wait: Duration) -> Result<Share, NoShare> {
        let (share, ready) = self.enter(person).inspect_err(|_| self.count_refused())?;
        if let Some(ready) = ready {
            let waited = tokio::time::timeout(wait.min(self.0.bounds.wait), ready).await;
            if !matches!(waited, Ok(Ok(()))) {
                self.count_refused();
                return Err(NoShare::All(self.0.bounds.what));
            }
        }
        Ok(share)
    }

    /// The limits.
    pub fn bounds(&self) -> Bounds {
        self.0.bounds
    }

    /// How full it is: `of` is its name, and `waiting` that of what waits for it, where something may.
    pub fn bounded(&self, of: &'static str, waiting: Option<&'static str>) -> Vec<Bounded> {
        let (in_use, waits) = self.in_use();
        let bounds = &self.0.bounds;
        let refused = self.0.refused.load(Relaxed);
        let room = Bounded { of, in_use: in_use as u64, limit: bounds.most as u64, refused };
        // A request that finds no room to wait is refused all the same, and counted once.
        let waiting =
            waiting.map(|of| Bounded { of, in_use: waits as u64, limit: bounds.waiting as u64, refused: 0 });
        [Some(room), waiting].into_iter().flatten().collect()
    }

    fn count_refused(&self) {
        self.0.refused.fetch_add(1, Relaxed);
    }

    /// How many are in use, and how many wait.
    pub fn in_use(&self) -> (usize, usize) {
        let state = self.0.state.lock();
        (state.in_use, state.waiting.len())
    }

    /// Gives a share to `person` now; where none is free, the oldest one of the person who has the most is withdrawn.
    ///
    /// # Errors
    /// When the person has a whole share, or no other person has more than this one would have then.
    pub fn take_now(&self, person: &str) -> Result<Share, NoShare> {
        self.enter_now(person).inspect_err(|_| self.count_refused())
    }

    fn enter_now(&self, person: &str) -> Result<Share, NoShare> {
        let Bounds { what, most, of_a_person, .. } = self.0.bounds;
        let mut state = self.0.state.lock();
        let own = state.held(person);
        if own >= of_a_person {
            return Err(NoShare::Own { most: of_a_person, what });
        }
        if state.in_use >= most {
            if !state.withdraw_from_more_than(own + 1) {
                return Err(NoShare::All(what));
            }
            self.count_refused();
        }
        let share = self.share(person, &mut state);
        state.hold(person, share.number, share.withdrawn.clone());
        Ok(share)
    }

    /// A share that is in use, or one that waits and what tells that it is its turn.
    fn enter(&self, person: &str) -> Result<(Share, Option<oneshot::Receiver<()>>), NoShare> {
        let Bounds { what, most, of_a_person, waiting, waiting_of_a_person, .. } = self.0.bounds;
        let mut state = self.0.state.lock();
        let is_free = state.in_use < most && state.held(person) < of_a_person;
        let own = state.waiting_of(person);
        if !is_free && own >= waiting_of_a_person {
            return Err(NoShare::Own { most: of_a_person + own, what });
        }
        if !is_free && state.waiting.len() >= waiting && !state.refuse_from_more_than(own + 1) {
            return Err(NoShare::All(what));
        }
        let share = self.share(person, &mut state);
        let round = state.next_round(person);
        if is_free {
            state.hold(person, share.number, share.withdrawn.clone());
            return Ok((share, None));
        }
        let (ready, is_ready) = oneshot::channel();
        let withdrawn = share.withdrawn.clone();
        state.waiting.insert(share.number, Waiter { person: person.to_owned(), round, ready, withdrawn });
        Ok((share, Some(is_ready)))
    }

    fn share(&self, person: &str, state: &mut State) -> Share {
        state.number += 1;
        Share {
            shares: self.clone(),
            person: person.to_owned(),
            number: state.number,
            withdrawn: CancellationToken::new(),
        }
    }
}

impl State {
    fn held(&self, person: &str) -> usize {
        self.held.get(person).map_or(0, BTreeMap::len)
    }

    fn waiting_of(&self, person: &str) -> usize {
        self.waiting.values().filter(|waiter| waiter.person == person).count()
    }

    /// The round of a person's next one: the present one, or the one after the person's last.
    fn next_round(&mut self, person: &str) -> u64 {
        let round = self.rounds.get(person).map_or(self.round, |last| self.round.max(last + 1));
        self.rounds.insert(person.to_owned(), round);
        round
    }

    fn hold(&mut self, person: &str, number: u64, withdrawn: CancellationToken) {
        self.in_use += 1;
        self.held.entry(person.to_owned()).or_default().insert(number, withdrawn);
    }

    /// Takes the oldest share of the person who has the most, if that is more than `count`.
    fn withdraw_from_more_than(&mut self, count: usize) -> bool {
        let most = self.held.iter().max_by_key(|(_, own)| own.len());
        let Some((person, own)) = most.filter(|(_, own)| own.len() > count) else { return false };
        let Some((&number, withdrawn)) = own.first_key_value() else { return false };
        withdrawn.cancel();
        let person = person.clone();
        self.end(&person, number);
        true
    }

    /// Refuses the newest waiting request of the person with the most, if that is more than `count`.
    fn refuse_from_more_than(&mut self, count: usize) -> bool {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        self.waiting.values().for_each(|waiter| *counts.entry(&waiter.person).or_default() += 1);
        let most = counts.into_iter().max_by_key(|(_, own)| *own).filter(|(_, own)| *own > count);
        let Some(person) = most.map(|(person, _)| person.to_owned()) else { return false };
        let newest = self.waiting.iter().rfind(|(_, waiter)| waiter.person == person);
        let newest = newest.map(|(number, _)| *number);
        newest.is_some_and(|number| self.waiting.remove(&number).is_some())
    }

    /// Ends a share, whether it is in use or waits.
    fn end(&mut self, person: &str, number: u64) {
        self.waiting.remove(&number);
        if let Some(own) = self.held.get_mut(person) {
            self.in_use -= usize::from(own.remove(&number).is_some());
            if own.is_empty() {
                self.held.remove(person);
            }
        }
        if self.held(person) == 0 && self.waiting_of(person) == 0 {
            self.rounds.remove(person);
        }
    }

    /// Gives free places to the waiting requests in turn.
    fn serve(&mut self, bounds: &Bounds) {
        while self.in_use < bounds.most {
            let may = |(_, waiter): &(&u64, &Waiter)| self.held(&waiter.person) < bounds.of_a_person;
            let next =
                self.waiting.iter().filter(may).min_by_key(|(number, waiter)| (waiter.round, **number));
            let Some(number) = next.map(|(number, _)| *number) else { return };
            let Some(waiter) = self.waiting.remove(&number) else { return };
            self.round = self.round.max(waiter.round);
            self.hold(&waiter.person, number, waiter.withdrawn);
            // Where the request is gone, the share ends.
            let _ = waiter.ready.send(());
        }
    }
}

impl Share {
    /// Ends when the share was withdrawn.
    pub fn withdrawn(&self) -> WaitForCancellationFutureOwned {
        self.withdrawn.clone().cancelled_owned()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.shares.0.state.lock();
        state.end(&self.person, self.number);
        state.serve(&self.shares.0.bounds);
    }
}

impl From<NoShare> for Refusal {
    fn from(none: NoShare) -> Self {
        let (status, hint) = match none {
            NoShare::Own { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "wait until one of them has ended, or close some")
            }
            NoShare::All(_) => (StatusCode::SERVICE_UNAVAILABLE, "try again in a few seconds"),
        };
        Self::new(status, none.to_string(), hint).for_now(AGAIN_AFTER)
    }
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
