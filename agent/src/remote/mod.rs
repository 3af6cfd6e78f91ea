//! Settings that the fleet asks of this host.
//!
//! A frame ([`fleetps_nats::agent_settings`]) comes with the answer to a hello, on the host's own subject, or with the
//! answer to a post. It is believed when the control key that this host pinned has signed it, for this host, and when
//! it is newer than the one in force. A believed frame goes to the sampling thread at once and to a file in the state
//! folder, from which the next run takes it, whether or not the broker is there. `effective` merges it with the host's
//! own settings.
//!
//! A host trusts the key of the last frame that it believed, at first the one that it pinned, and keys that follow it
//! ([`fleetps_nats::agent_settings::Succession`]): an older key has no say any more (`trust`).
//!
//! Without a pinned key nothing is believed, and the agent does not even listen.

mod effective;
mod store;

use std::{
    cmp::Ordering,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use fleetps_nats::{
    HostName,
    agent_settings::{Applied, AskedOfAgent, Kind, NotBelieved, SignedFrame, Watch},
};
use tokio::sync::watch;

use crate::{
    settings::{AgentSettings, RemoteSettings},
    settings_in_force::SettingsInForce,
    trust::Trust,
};
use effective::{effective, in_force, own};
use store::Store;

pub use effective::Sampling;

/// The file of the frame in force, in the state folder.
const FILE: &str = "remote-settings.json";
/// The file that says which control key is trusted, in the state folder.
const TRUSTED: &str = "trusted-key.json";

/// What the sampling thread is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// To sample in another way from now on.
    Sample(Box<Sampling>),
    /// To sample more often for a while.
    Watch(Watch),
    /// To show those who watch soon what a command has changed.
    Refresh,
    /// To end.
    Stop,
}

/// The settings in force on this host; cheap to clone.
#[derive(Debug, Clone)]
pub struct Remote(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    host: HostName,
    own: AgentSettings,
    settings: RemoteSettings,
    store: Store,
    trust: Arc<Trust>,
    state: Mutex<State>,
    applied: watch::Sender<Applied>,
}

#[derive(Debug, Default)]
struct State {
    /// The last frame that was believed.
    frame: Option<SignedFrame>,
    /// The last frame that came before the sampling thread ran, unchecked.
    early: Option<SignedFrame>,
    /// The revision of the last wish of somebody who watches, 0 for none.
    watched: i64,
    /// Where the sampling thread hears of it; absent before it runs.
    orders: Option<mpsc::Sender<Order>>,
}

impl Remote {
    /// The settings of `host`, whose own are `own`.
    pub fn new(host: HostName, own_settings: AgentSettings, settings: RemoteSettings) -> Self {
        let applied = Applied {
            in_force: in_force(&effective(&own_settings, &settings.pinned, None)),
            pinned: settings.pinned.iter().copied().collect(),
            own: own(&own_settings),
            is_controlled: settings.control_key.is_some(),
            ..Applied::default()
        };
        let store = Store::new(own_settings.state.join(FILE));
        let trust = Arc::new(Trust::kept_in(Some(own_settings.state.join(TRUSTED))));
        let (state, applied) = (Mutex::default(), watch::Sender::new(applied));
        Self(Arc::new(Shared { host, own: own_settings, settings, store, trust, state, applied }))
    }

    /// How this host is sampled at the start: by the last frame that was believed, also in an earlier run. Blocks, as files may.
    pub(crate) fn begin(&self, orders: mpsc::Sender<Order>) -> Sampling {
        let kept = self.is_controlled().then(|| {
            self.0.trust.read();
            self.0.store.read()
        });
        let kept = kept.flatten();
        let mut state = self.state();
        if let Some(frame) = kept {
            match self.open(&frame) {
                Ok(_) => {
                    // A wish to watch from before it is none of this run.
                    state.watched = frame.revision();
                    state.frame = Some(frame);
                }
                Err(error) => tracing::warn!(%error, "the settings kept by an earlier run are not believed"),
            }
        }
        if let Some(early) = state.early.take().filter(|early| Some(early.revision()) > self.revision(&state))
        {
            let believed = self.believe(early, &mut state);
            self.note(believed);
        }
        state.orders = Some(orders);
        let asked = state.frame.as_ref().and_then(|frame| self.open(frame).ok());
        effective(&self.0.own, &self.0.settings.pinned, asked.map(|asked| (asked, self.revision(&state))))
    }

    /// The sampling thread does what it was told.
    pub(crate) fn confirm(&self, sampling: &Sampling) {
        self.0.applied.send_modify(|applied| {
            (applied.revision, applied.in_force) = (sampling.revision, in_force(sampling));
        });
    }

    /// Says to the fleet that this host is sampled for those who watch as seldom as this; `None` for as often as they wish.
    pub(crate) fn slowed(&self, to: Option<Duration>) {
        let slowed_to_s = to.map(|interval| interval.as_secs_f64().ceil() as u64);
        self.0.applied.send_if_modified(|applied| {
            let is_new = applied.slowed_to_s != slowed_to_s;
            applied.slowed_to_s = slowed_to_s;
            is_new
        });
    }

    /// Takes a frame as it travels; says in the log and to the fleet where it is not believed.
    pub fn take(&self, bytes: &[u8]) {
        if self.is_controlled() {
            match SignedFrame::read(bytes) {
                Ok(frame) if frame.kind() == Kind::Watch => self.watch(&frame),
                read => self.note(read.and_then(|frame| self.accept(frame))),
            }
        }
    }

    /// Takes the wish of somebody who watches. One that is no newer than the last is no fault: the clocks of two servers differ.
    fn watch(&self, frame: &SignedFrame) {
        let mut state = self.state();
        if state.orders.is_none() {
            // Which key an earlier run trusted is not read yet, and nobody samples either.
            return;
        }
        let read = || {
            let body = self.open_kind(Kind::Watch, frame)?;
            serde_json::from_str::<Watch>(body).map_err(|_| NotBelieved::Body)
        };
        match read() {
            Ok(watch) => {
                if frame.revision() > state.watched {
                    state.watched = frame.revision();
                    let interval = watch.interval().max(self.0.settings.watched_interval);
                    let watch = Watch::new(interval, watch.lease());
                    // The thread may have ended, and the program is about to.
                    let _ = state.orders.as_ref().map(|orders| orders.send(Order::Watch(watch)));
                }
            }
            Err(error) => self.note(Err(error)),
        }
    }

    /// Something on this host has just changed that those who watch wait for.
    pub(crate) fn refresh(&self) {
        // The thread may have ended, and the program is about to.
        let _ = self.state().orders.as_ref().map(|orders| orders.send(Order::Refresh));
    }

    fn note(&self, accepted: Result<(), NotBelieved>) {
        let problem = accepted.err().map(|error| error.to_string());
        if let Some(problem) = &problem {
            tracing::warn!(problem, "settings from elsewhere are not believed");
        }
        self.0.applied.send_if_modified(|applied| {
            let is_new = applied.problem != problem;
            applied.problem = problem;
            is_new
        });
    }

    fn accept(&self, frame: SignedFrame) -> Result<(), NotBelieved> {
        let mut state = self.state();
        if state.orders.is_none() {
            // Which key an earlier run trusted is not read yet.
            state.early = Some(frame);
            return Ok(());
        }
        self.believe(frame, &mut state)
    }

    fn believe(&self, frame: SignedFrame, state: &mut State) -> Result<(), NotBelieved> {
        let asked = self.open(&frame)?;
        match state.frame.as_ref().map(|known| frame.revision().cmp(&known.revision())) {
            Some(Ordering::Less) => return Err(NotBelieved::Old),
            // It came by two ways.
            Some(Ordering::Equal) => return Ok(()),
            Some(Ordering::Greater) | None => {}
        }
        tracing::info!(revision = frame.revision(), "other settings are asked of this host");
        let sampling = effective(&self.0.own, &self.0.settings.pinned, Some((asked, Some(frame.revision()))));
        self.0.store.write(frame.to_bytes());
        state.frame = Some(frame);
        if let Some(orders) = &state.orders {
            // The thread may have ended, and the program is about to.
            let _ = orders.send(Order::Sample(Box::new(sampling)));
        }
        Ok(())
    }

    fn open(&self, frame: &SignedFrame) -> Result<AskedOfAgent, NotBelieved> {
        let body = self.open_kind(Kind::Settings, frame)?;
        let asked: AskedOfAgent = serde_json::from_str(body).map_err(|_| NotBelieved::Body)?;
        asked.check().map_err(|_| NotBelieved::Body)?;
        Ok(asked)
    }

    /// The body of a frame that is believed. The key that signed it is trusted from then on, and no older one.
    fn open_kind<'a>(&self, kind: Kind, frame: &'a SignedFrame) -> Result<&'a str, NotBelieved> {
        let pinned = self.0.settings.control_key.as_deref().ok_or(NotBelieved::OtherKey)?;
        let trusted = self.0.trust.of(pinned);
        let body = frame.open(kind, &self.0.host, &trusted)?;
        if self.0.trust.believed(pinned, &trusted, frame.key()) {
            let trust = Arc::clone(&self.0.trust);
            // The state folder may lie on a mount that hangs.
            let keeping = thread::Builder::new().name("keep-key".to_owned()).spawn(move || trust.keep());
            if let Err(error) = keeping {
                tracing::warn!(%error, "which control key is trusted is not kept for the next run");
            }
        }
        Ok(body)
    }

    fn revision(&self, state: &State) -> Option<i64> {
        state.frame.as_ref().map(SignedFrame::revision)
    }

    /// Plain data: a panic elsewhere leaves nothing half done in it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SettingsInForce for Remote {
    fn is_controlled(&self) -> bool {
        self.0.settings.control_key.is_some()
    }

    fn applied(&self) -> watch::Receiver<Applied> {
        self.0.applied.subscribe()
    }

    fn take_answer(&self, frame: Option<SignedFrame>) {
        let Some(frame) = frame.filter(|_| self.is_controlled()) else { return };
        // An answer may have been on its way while a newer frame came by message.
        if frame.revision() > self.last_revision() {
            let accepted = self.accept(frame);
            self.note(accepted);
        }
    }

    fn last_revision(&self) -> i64 {
        let state = self.state();
        self.revision(&state).unwrap_or_default()
    }
}

/// The file that a run of the agent with this state folder keeps the frame in force in.
pub fn kept_in(state: &std::path::Path) -> PathBuf {
    state.join(FILE)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
