//! What is asked of agents: kept for hosts and groups, resolved to each host, signed, and sent.
//!
//! Whoever asks only writes to the bucket of what is asked. Every web server with the control key follows that bucket
//! and the groups of hosts, and signs a new frame for each host of which something else is asked now; of two servers
//! that do so at once, the later one finds that nothing is left to do. So a change of a group or of its members reaches
//! the hosts as one of the host itself does, and what was asked while no server ran is sent when one starts.

mod shown;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_nats::{Client, client::PublishError};
use fleetps_nats::{
    HostName,
    agent_settings::{
        self, AgentSettingsBucket, Applied, AskedOfAgent, ControlKey, Kind, Resolved, SignedFrame, Watch,
    },
    bucket::{Bucket, BucketError, Entry, WatchedBucket},
    error_chain, now_us, subject,
};
use futures_util::{StreamExt, stream};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::authz::{Groups, HostGroups};

pub(crate) use shown::{SettingsOfHost, Target};

/// How soon the broker is asked again after it did not say what is asked of agents.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Frames that are signed and sent at a time: a group may have thousands of hosts, and the broker answers each within a
/// millisecond.
const SENT_AT_ONCE: usize = 32;

/// What is asked of agents, and what they say; a clone is the same. Nothing is known before the broker has answered once.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<RwLock<Option<Open>>>);

#[derive(Debug, Clone)]
struct Open {
    client: Client,
    asked: AgentSettingsBucket,
    frames: Bucket<SignedFrame>,
    sent: WatchedBucket<SignedFrame>,
    applied: WatchedBucket<Applied>,
    key: Option<ControlKey>,
}

/// A frame could not be sent.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error("it cannot be signed")]
    Sign(#[from] nkeys::error::Error),
    #[error("it cannot be written")]
    Write(#[from] serde_json::Error),
    #[error("others sign for this host all the time")]
    Busy,
}

/// A report of a host counts where its frame is not signed later than this from now: a revision is a time of signing, and what a
/// host says is its own word.
const BELIEVED_AHEAD_US: i64 = 24 * 3600 * 1_000_000;

impl Control {
    /// Follows what is asked until `shutdown`, and sends it where there is a `key`.
    pub async fn follow(
        self,
        client: Client,
        key: Option<ControlKey>,
        groups: Groups,
        shutdown: CancellationToken,
    ) {
        let following = async {
            let open = loop {
                match Open::open(&client, key.clone()).await {
                    Ok(open) => break open,
                    Err(error) => tracing::warn!(
                        "cannot read what is asked of agents: {}; trying again",
                        error_chain(&error)
                    ),
                }
                tokio::time::sleep(ASK_AGAIN).await;
            };
            *self.0.write() = Some(open.clone());
            open.send_all(groups).await;
        };
        shutdown.run_until_cancelled(following).await;
        shutdown.cancelled().await;
        self.0.write().take();
    }

    /// What is asked of `host`, which is in `groups`, and what it does; absent before the broker has answered.
    pub fn of(&self, host: &HostName, groups: &HostGroups) -> Option<SettingsOfHost> {
        let open = self.0.read().clone()?;
        let applied = open.applied.get(&host.token()).map(|applied| (*applied).clone());
        let sent = open.sent.get(&host.token()).map(|frame| frame.revision());
        Some(SettingsOfHost {
            own: open.asked.of(host),
            resolved: open.asked.resolve(host, groups),
            applied,
            sent,
            can_sign: open.key.is_some(),
        })
    }

    /// What is asked of the hosts of `group`; absent before the broker has answered.
    pub fn of_group(&self, group: &str) -> Option<AskedOfAgent> {
        self.0.read().as_ref().map(|open| open.asked.of_group(group))
    }

    /// Asks `host` for more samples, where it takes such wishes.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn watch(&self, host: &HostName, watch: Watch) -> Result<(), PublishError> {
        let Some(open) = self.0.read().clone() else { return Ok(()) };
        let is_controlled = open.applied.get(&host.token()).is_some_and(|applied| applied.is_controlled);
        let Some(key) = open.key.filter(|_| is_controlled) else { return Ok(()) };
        let body = serde_json::to_string(&watch).unwrap_or_default();
        match key.sign(Kind::Watch, host, 0, body) {
            Ok(frame) => open.client.publish(subject::settings(host), frame.to_bytes().into()).await,
            // A key without its private half was refused at the start.
            Err(_) => Ok(()),
        }
    }

    /// Whether this server can ask anything of hosts; `None` before the broker has answered.
    pub fn can_sign(&self) -> Option<bool> {
        self.0.read().as_ref().map(|open| open.key.is_some())
    }

    /// The frame for `host`, unless that has the one of this `revision` or a later one.
    pub fn frame_after(&self, host: &HostName, revision: i64) -> Option<SignedFrame> {
        let frame = self.0.read().as_ref()?.sent.get(&host.token())?;
        (frame.revision() > revision).then(|| (*frame).clone())
    }

    /// Asks `target` for something else; returns what was asked of it before and what is now. `None` when nothing is
    /// known yet, or others change the same all the time.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn ask(
        &self,
        target: &Target,
        change: impl Fn(&mut AskedOfAgent),
    ) -> Result<Option<(AskedOfAgent, AskedOfAgent)>, BucketError> {
        let Some(open) = self.0.read().clone() else { return Ok(None) };
        let before = parking_lot::Mutex::new(AskedOfAgent::default());
        let noting = |asked: &mut AskedOfAgent| {
            *before.lock() = asked.clone();
            change(asked);
        };
        let now = match target {
            Target::Host(host) => open.asked.change(host, noting).await?,
            Target::Group(group) => open.asked.change_group(group, noting).await?,
        };
        Ok(now.map(|now| (before.into_inner(), now)))
    }
}

impl Open {
    async fn open(client: &Client, key: Option<ControlKey>) -> Result<Self, BucketError> {
        let frames = agent_settings::frames(client).await?;
        Ok(Self {
            client: client.clone(),
            asked: AgentSettingsBucket::open(client).await?,
            sent: frames.follow().await?,
            frames,
            applied: agent_settings::applied_bucket(client).await?.follow().await?,
            key,
        })
    }

    /// Sends each host what is asked of it, now and after every change.
    async fn send_all(mut self, groups: Groups) {
        let Some(key) = self.key.clone() else { return };
        let mut regrouped = groups.watch();
        // Without its groups, a host would be asked for less than it is asked for.
        while !groups.is_known() {
            if regrouped.changed().await.is_err() {
                return;
            }
        }
        loop {
            let (open, tagged, signer) = (self.clone(), groups.now(), key.clone());
            let finding = tokio::task::spawn_blocking(move || {
                let mut hosts: BTreeSet<HostName> = tagged.hosts().cloned().collect();
                hosts.extend(open.asked.hosts());
                let resolved = hosts.into_iter().map(|host| {
                    let resolved = open.asked.resolve(&host, tagged.of(&host));
                    (host, resolved)
                });
                resolved.filter(|(host, resolved)| open.is_new(host, resolved, &signer)).collect::<Vec<_>>()
            });
            let to_send = finding.await.unwrap_or_default();
            let sending = stream::iter(to_send).map(|(host, resolved)| self.send(host, resolved, &key));
            let failed = sending.buffer_unordered(SENT_AT_ONCE).filter(|sent| std::future::ready(!sent));
            if failed.count().await > 0 {
                tokio::time::sleep(ASK_AGAIN).await;
                continue;
            }
            tokio::select! {
                () = self.asked.changed() => {}
                // What this or another server sent may be older than what is asked by now, and a host may have a frame that the fleet
                // no longer has.
                () = self.sent.changed() => {}
                () = self.applied.changed() => {}
                changed = regrouped.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Whether `host` has no frame that asks for this. One of which nothing is asked and never was needs none.
    fn is_new(&self, host: &HostName, resolved: &Resolved, key: &ControlKey) -> bool {
        let in_force = self.in_force(host);
        match self.sent.get(&host.token()) {
            Some(frame) => !says(&frame, &resolved.asked, key) || in_force > Some(frame.revision()),
            None => !resolved.asked.is_empty() || in_force.is_some() || self.trusts_an_older(host, key),
        }
    }

    /// Whether `host` may trust a key that this one follows: with its first frame of this one it no longer does.
    fn trusts_an_older(&self, host: &HostName, key: &ControlKey) -> bool {
        key.has_followed() && self.applied.get(&host.token()).is_some_and(|applied| applied.is_controlled)
    }

    /// The revision of the frame that `host` says is in force there. It may have one that the fleet no longer has: the host was
    /// forgotten and joined again, or the broker was restored from a backup.
    fn in_force(&self, host: &HostName) -> Option<i64> {
        let revision = self.applied.get(&host.token())?.revision?;
        (revision <= now_us().saturating_add(BELIEVED_AHEAD_US)).then_some(revision)
    }

    /// Whether it was sent, or a later change will be.
    async fn send(&self, host: HostName, resolved: Resolved, key: &ControlKey) -> bool {
        let sent = self.try_to_send(&host, &resolved.asked, key).await;
        sent.inspect_err(|error| {
            tracing::warn!(%host, error = error_chain(error), "what is asked of a host was not sent; trying again");
        })
        .is_ok()
    }

    async fn try_to_send(
        &self,
        host: &HostName,
        asked: &AskedOfAgent,
        key: &ControlKey,
    ) -> Result<(), NotSent> {
        let token = host.token();
        let known = match self.frames.get(&token).await {
            Ok(known) => Some(known),
            Err(error) if error.is_unreadable() => None,
            Err(error) => return Err(error.into()),
        };
        let revision = known.as_ref().and_then(|known| known.as_ref()).map(|known| known.value.revision());
        let in_force = self.in_force(host);
        if in_force <= revision && known.iter().flatten().any(|known| says(&known.value, asked, key)) {
            return Ok(());
        }
        let after = revision.max(in_force).unwrap_or_default();
        let frame = key.sign(Kind::Settings, host, after, serde_json::to_string(asked)?)?;
        let is_written = match known {
            Some(Some(Entry { revision, .. })) => self.frames.update(&token, &frame, revision).await?,
            Some(None) => self.frames.create(&token, &frame).await?,
            // What is there and cannot be read is no frame, and is written over.
            None => self.frames.put(&token, &frame).await.map(|()| true)?,
        };
        if !is_written {
            return Err(NotSent::Busy);
        }
        // A host that does not hear it asks when it connects, and every few minutes.
        if let Err(error) = self.client.publish(subject::settings(host), frame.to_bytes().into()).await {
            tracing::debug!(%host, %error, "a host is not told of other settings now");
        }
        Ok(())
    }
}

/// Whether `frame` asks for this, signed with this key.
fn says(frame: &SignedFrame, asked: &AskedOfAgent, key: &ControlKey) -> bool {
    frame.key() == key.public()
        && serde_json::from_str::<AskedOfAgent>(frame.body()).is_ok_and(|said| said == *asked)
}
