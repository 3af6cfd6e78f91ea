//! Hands out what is asked of a host's agent, and keeps what the agent applied. Both are part of a hello, so that hosts over the
//! broker and over HTTP have one way for them.

use std::path::Path;

use async_nats::Client;

use super::{AdmissionError, hello::Welcome};
use crate::{
    HostName,
    agent_settings::{self, Applied, SignedFrame},
    bucket::{Bucket, BucketError},
    key,
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
    ) -> Result<Welcome, BucketError> {
        let token = host.token();
        if let Some(applied) = applied {
            let applied = applied.within_limits();
            // Each host says it after every connection; what is the same takes no room in the broker's log.
            let known = self.applied.get(&token).await?;
            if known.is_none_or(|known| known.value != applied) {
                self.applied.put(&token, &applied).await?;
            }
        }
        // A host that hears of no settings asks again; one that cannot be read is signed anew when something is asked.
        let settings = self.frames.get(&token).await.ok().flatten().map(|entry| entry.value);
        Ok(Welcome { control_key: self.key.clone(), settings, ..welcome })
    }
}
