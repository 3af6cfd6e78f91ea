//! Ends the connections of hosts that are no longer welcome.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{disconnect, roll::Unwelcome, service::Shared};
use crate::{
    HostName,
    bucket::Told,
    hosts::{Admission, HostRecord},
};

/// A connection that was being admitted while its host was revoked is ended by looking again after this, which is longer
/// than the broker waits for an answer.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Shared {
    /// Keeps the roll of all hosts up to date, and disconnects hosts that are revoked or must change their key.
    pub(super) async fn follow_hosts(
        self: Arc<Self>,
        mut changes: mpsc::Receiver<Told<HostRecord>>,
        known: oneshot::Sender<()>,
    ) {
        let mut known = Some(known);
        while let Some(told) = changes.recv().await {
            let is_up_to_date = matches!(told, Told::UpToDate);
            let unwelcome = self.rules.roll().apply(told);
            if let Some(known) = known.take_if(|_| is_up_to_date) {
                let _ = known.send(());
            }
            for host in unwelcome {
                tokio::spawn(Arc::clone(&self).end_connections_of(host));
            }
        }
    }

    /// Ends a host's connections until a look finds none, or the host is admitted again. Hosts that were perhaps never
    /// admitted in this run (there may be many after a start) share `ending`, and delay no revocation.
    async fn end_connections_of(self: Arc<Self>, Unwelcome { host, was_welcome }: Unwelcome) {
        let _place = if was_welcome { None } else { self.ending.acquire().await.ok() };
        let mut is_first = true;
        loop {
            let ended = self.disconnect(&host).await;
            if ended == Some(0) && !is_first {
                return;
            }
            is_first = false;
            tokio::time::sleep(LOOK_AGAIN).await;
            if self.is_admitted(&host).await {
                return;
            }
        }
    }

    async fn is_admitted(&self, host: &HostName) -> bool {
        let known = self.rules.hosts.get(host.as_str()).await;
        known.is_ok_and(|known| known.is_some_and(|entry| entry.value.admission == Admission::Admitted))
    }

    /// Ends the connections that `host` has now, and says how many; `None` when the broker does not say.
    pub(super) async fn disconnect(&self, host: &HostName) -> Option<usize> {
        match disconnect::disconnect(&self.system, host).await {
            Ok(0) => Some(0),
            Ok(count) => {
                tracing::info!(host = %host, count, "ended its connections");
                Some(count)
            }
            Err(error) => {
                tracing::error!(host = %host, error = %error, "its connections could not be ended; trying again");
                None
            }
        }
    }
}
