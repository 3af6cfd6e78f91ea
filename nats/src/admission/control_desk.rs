//! Hands out what is asked of a host's agent, and keeps what the agent applied. Both are part of a hello, so that hosts over the
//! broker and over HTTP have one way for them.

use std::path::Path;

use async_nats::Client;

use super::{AdmissionError, hello::Welcome};
use crate::{
    HostName,
    agent_settings::{self, Applied, SignedFrame},
    bucket::Bucket,
    error_chain, key,
};

/// The buckets, and the public half of the control key.
#[derive(Debug)]
pub(super) struct ControlDesk {
    frames: Bucket<SignedFrame>,
    applied: Bucket<Applied>,
    key: Option<String>,
}

impl ControlDesk {
    /// Opens the buckets. Where there is no control key in `file`, hosts that join pin none.
    pub(super) async fn open(fleet: &Client, file: &Path) -> Result<Self, AdmissionError> {
        let key = match file.exists() {
            true => Some(key::read(file)?.public_key()),
            false => None,
        };
        let (frames, applied) =
            (agent_settings::frames(fleet).await?, agent_settings::applied_bucket(fleet).await?);
        Ok(Self { frames, applied, key })
    }

    /// Keeps what `host` applied, and adds to its welcome what is asked of it.
    pub(super) async fn answer(
        &self,
        host: &HostName,
        applied: Option<Applied>,
        welcome: Welcome,
    ) -> Welcome {
        let token = host.token();
        if let Some(applied) = applied {
            let applied = applied.within_limits();
            // Each host says it after every connection; what is the same takes no room in the broker's log.
            let known = self.applied.get(&token).await.ok().flatten();
            // A report that cannot be kept keeps no host from its key and its settings.
            if known.is_none_or(|known| known.value != applied)
                && let Err(error) = self.applied.put(&token, &applied).await
            {
                tracing::warn!(%host, error = error_chain(&error), "what a host applied is not kept");
            }
        }
        // A host that hears of no settings asks again; one that cannot be read is signed anew when something is asked.
        let settings = self.frames.get(&token).await.ok().flatten().map(|entry| entry.value);
        Welcome { control_key: self.key.clone(), settings, ..welcome }
    }
}
