//! The ends of systemd's jobs, as its signals say.
//!
//! The signal may come before the reply that names the job, so all that come are kept from before the job begins. A task of its
//! own always takes them: signals that nobody takes would stop the whole connection.

use std::{collections::VecDeque, time::Duration};

use futures_util::StreamExt;
use tokio::{sync::watch, task::JoinHandle};
use zbus::{MatchRule, MessageStream, OwnedObjectPath, message::Type};

use super::{
    bus::{MANAGER, Manager},
    refusal::Refusal,
};

/// Jobs of others that may end while one is waited for; the oldest is forgotten.
const MAX_ENDS: usize = 1024;

/// Jobs that have ended, with their results, the newest last.
type Ends = VecDeque<(OwnedObjectPath, String)>;

/// Follows the ends of jobs until it is dropped.
#[derive(Debug)]
pub(super) struct Jobs {
    ends: watch::Receiver<Ends>,
    task: JoinHandle<()>,
}

impl Jobs {
    /// Begins to follow.
    pub(super) async fn follow(manager: &Manager) -> Result<Self, Refusal> {
        let rule = MatchRule::builder().msg_type(Type::Signal).sender(manager.owner());
        let rule = rule.interface(MANAGER).member("JobRemoved").build();
        let rule = rule.map_err(|error| Refusal::internal(error.to_string()))?;
        let stream = MessageStream::for_match_rule(rule, manager.connection(), None).await;
        let stream = stream.map_err(|error| Refusal::internal(error.to_string()))?;
        manager.subscribe().await?;
        let (told, ends) = watch::channel(Ends::new());
        Ok(Self { ends, task: tokio::spawn(drain(stream, told)) })
    }

    /// The result of the job at `path`, such as `done`; `None` when it has not ended within `patience`, or the bus is gone.
    pub(super) async fn result(&mut self, path: &OwnedObjectPath, patience: Duration) -> Option<String> {
        let of_path =
            |ends: &Ends| ends.iter().find(|(job, _)| job == path).map(|(_, result)| result.clone());
        let waiting = self.ends.wait_for(|ends| of_path(ends).is_some());
        let ends = tokio::time::timeout(patience, waiting).await.ok()?.ok()?;
        of_path(&ends)
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn drain(mut signals: MessageStream, told: watch::Sender<Ends>) {
    while let Some(Ok(signal)) = signals.next().await {
        let body = signal.body();
        // Number, job, unit, result.
        let Ok((_, job, _, result)) = body.deserialize::<(u32, OwnedObjectPath, &str, &str)>() else {
            continue;
        };
        let result = result.to_owned();
        told.send_modify(|ends| {
            if ends.len() >= MAX_ENDS {
                ends.pop_front();
            }
            ends.push_back((job, result));
        });
    }
}
