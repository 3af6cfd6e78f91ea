//! The listener for agents and pages of older systems, which post and read JSON over HTTP and move over unchanged.
//!
//! Four systems are known, by their numbers: `s000` to `s003`, each with its paths, its bodies and its answers.
//! What they have in common is here:
//!
//! * `listener` is an address of its own, off by default: some of their paths are paths of fleetps with another answer, and their
//!   pages read without a key and from other origins. Nothing of that weakens the other listener. It checks the name that it is
//!   called by and the origin of pages, and has the same limits of connections and the same deadlines.
//! * `registry` says which host a post is of, by its key and an `index` of all; `windows` when new hosts are let in.
//! * `body` reads JSON within bounds and `fields` what is in it, `making` makes a snapshot of it, `intake` numbers it and answers once the gate has put it into
//!   the stream.
//! * `reader` is everybody who reads here, with one grant; what they see goes through `ScopedFleet` as for all others.
//!   `stream_reads` has single messages of the stream, `push` the WebSockets.
//! * `import` brings what 001 and 002 kept into the history, from the databases that `sqlite` reads.
//! * `agent_settings` keeps interval and enabled of system 002, `actions` queues those of system 003.

mod actions;
mod body;
mod fault;
mod fields;
mod import;
mod index;
mod intake;
mod listener;
mod making;
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

use std::{sync::Arc, time::Duration};

use async_nats::Client;
use axum::http::StatusCode;
use fleetps_nats::{agent_settings::AgentSettingsBucket, bucket::BucketError};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::{broker, config::LegacySettings, counts::Counts, gate::Gate, state::AppState};
use actions::Actions;
use body::Room;
use fault::Fault;
use index::LegacyHost;
use intake::Posting;
use push::Sockets;
use registry::{NotAdmitted, Registry, Sender};

pub use import::{Import, Report};
pub use listener::LegacyDoor;
pub(crate) use listener::serve;
pub use system::System;
pub use windows::{BUCKET as WINDOWS, KeyHash, Window};

/// What the handlers of this listener share.
pub(crate) struct Legacy {
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
    long_answers: Semaphore,
}

/// Answers of up to 100 MB that are made at once.
const LONG_ANSWERS: usize = 2;
/// How long a page is to wait while others are made.
const LONG_ANSWER_WAIT: Duration = Duration::from_secs(5);

impl Legacy {
    /// A turn to make an answer that may be long.
    ///
    /// # Errors
    /// When as many are being made as may be.
    fn long_answer(&self) -> Result<SemaphorePermit<'_>, Fault> {
        let detail = "too many long answers are being made";
        let busy = |_| Fault::for_now(StatusCode::SERVICE_UNAVAILABLE, "busy", detail, LONG_ANSWER_WAIT);
        self.long_answers.try_acquire().map_err(busy)
    }

    /// The answer to `question`, which asks a bucket of the broker.
    ///
    /// # Errors
    /// At once while there is no connection, after 3 s without an answer, and when the bucket cannot be used.
    async fn ask<T>(&self, question: impl Future<Output = Result<T, BucketError>>) -> Result<T, Fault> {
        let answer = broker::ask(&self.client, question).await.map_err(|_| Fault::unavailable())?;
        answer.map_err(|error| Fault::of_bucket(&error))
    }

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
        let counts = shared.legacy_requests.clone();
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
            long_answers: Semaphore::new(LONG_ANSWERS),
        }))
    }
}
