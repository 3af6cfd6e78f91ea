//! The listener for agents and pages of older systems, which post and read JSON over HTTP and move over unchanged.
//!
//! Four systems are known, by their numbers: `s000` to `s003`, each with its paths, its bodies and its answers byte for byte.
//! What they have in common is here:
//!
//! * `listener` is an address of its own, off by default: some of their paths are paths of fleetps with another answer, and their
//!   pages read without a key and from other origins. Nothing of that weakens the other listener. It checks the name that it is
//!   called by and the origin of pages, and has the same limits of connections and the same deadlines.
//! * `registry` says which host a post is of, by its key; `windows` when new hosts are let in.
//! * `body` reads JSON within bounds, `intake` makes a snapshot of it, and the gate puts it into the stream before the answer.
//! * `reader` is everybody who reads here, with one grant; what they see goes through `ScopedFleet` as for all others.
//!   `stream_reads` has single messages of the stream, `push` the WebSockets.
//! * `import` brings what 001 and 002 kept into the history, from the databases that `sqlite` reads.
//! * `agent_settings` keeps interval and enabled of system 002, `actions` queues those of system 003.

mod actions;
mod body;
mod counts;
mod fault;
mod import;
mod intake;
mod listener;
mod pages;
mod push;
mod reader;
mod registry;
mod s000;
mod s001;
mod s002;
mod s003;
mod sqlite;
mod stream_reads;
mod system;
mod time;
mod windows;

use std::sync::Arc;

use async_nats::Client;
use fleetps_nats::{agent_settings::AgentSettingsBucket, bucket::BucketError};
use tokio_util::sync::CancellationToken;

use crate::{config::LegacySettings, gate::Gate, state::AppState};
use actions::Actions;
use body::Room;
use fault::Fault;
use intake::Posting;
use push::Sockets;
use registry::{LegacyHost, NotAdmitted, Registry, Sender};

pub use counts::Counts;
pub use import::{Import, Report};
pub use listener::{LegacyDoor, serve};
pub use system::System;
pub use windows::{BUCKET as WINDOWS, KeyHash, Window};

/// What the handlers of this listener share.
pub struct Legacy {
    client: Client,
    shared: AppState,
    settings: LegacySettings,
    gate: Gate,
    registry: Arc<Registry>,
    posting: Posting,
    room: Room,
    counts: Counts,
    sockets: Sockets,
    actions: Actions,
    agent_settings: AgentSettingsBucket,
}

impl Legacy {
    /// Opens what it needs of the broker, and follows it until `shutdown`.
    ///
    /// # Errors
    /// When the broker does not answer.
    async fn open(
        client: Client,
        shared: AppState,
        settings: LegacySettings,
        gate: Gate,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, BucketError> {
        let counts = Counts::default();
        let registry = Registry::open(
            &client,
            Arc::clone(&shared.fleet),
            shared.audit_log.clone(),
            counts.clone(),
            shutdown.clone(),
        )
        .await?;
        let actions = Actions::open(&client).await?;
        let agent_settings = AgentSettingsBucket::open(&client).await?;
        Ok(Arc::new(Self {
            client,
            shared,
            settings,
            gate,
            registry,
            posting: Posting::new(),
            room: Room::default(),
            counts,
            sockets: Sockets::new(shutdown),
            actions,
            agent_settings,
        }))
    }
}
