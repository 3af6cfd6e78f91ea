//! Whether published snapshots are stored. A broker whose disk failed still admits hosts and accepts what they publish;
//! it does not store it, and tells no client. So where nothing is stored for a while, this listens whether something is
//! published.

use std::time::Duration;

use async_nats::{Client, jetstream};
use fleetps_nats::{error_chain, stream, subject};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Check;

/// How often to check whether something was stored, and for how long to listen then. Hosts that could not publish retry
/// within 8 s, so one check may hear none of a few hosts; it then counts neither way.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long after something was published it must be stored: the broker may be busy, but not for longer.
const STORED_WITHIN: Duration = Duration::from_secs(3);
/// This many times in a row a published message must not be stored: a single one may have been a repeat, which is
/// rightly dropped.
const MAX_STRIKES: u32 = 3;

/// Whether snapshots arrive.
#[derive(Debug, Default)]
pub struct Arrivals {
    strikes: Mutex<u32>,
}

impl Arrivals {
    /// The problem, if there is one.
    pub fn check(&self) -> Check {
        match *self.strikes.lock() >= MAX_STRIKES {
            false => Ok(()),
            true => Err("hosts publish snapshots, and the broker stores none of them; is its disk full, or failing? Its log \
                         says more, and starting it again may help once there is room"
                .to_owned()),
        }
    }

    fn take(&self, is_lost: bool) {
        let mut strikes = self.strikes.lock();
        *strikes = if is_lost { strikes.saturating_add(1) } else { 0 };
        if *strikes == MAX_STRIKES {
            tracing::error!("hosts publish snapshots, and the broker stores none of them");
        }
    }
}

/// Keeps `arrivals` true until `shutdown`.
pub(crate) async fn watch_arrivals(client: Client, arrivals: &Arrivals, shutdown: CancellationToken) {
    shutdown.run_until_cancelled(watch(client, arrivals)).await;
}

async fn watch(client: Client, arrivals: &Arrivals) {
    let jetstream = jetstream::new(client.clone());
    let mut before = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let stored = last_sequence(&jetstream).await;
        if stored.is_none() || stored != before {
            before = stored;
            arrivals.take(false);
            continue;
        }
        if is_published(&client).await {
            tokio::time::sleep(STORED_WITHIN).await;
            let now = last_sequence(&jetstream).await;
            arrivals.take(now == before && now.is_some());
        }
    }
}

/// The last sequence of the stream; `None` where the broker does not say: other checks tell that.
async fn last_sequence(jetstream: &jetstream::Context) -> Option<u64> {
    match stream::open_snapshots(jetstream).await {
        Ok(stream) => Some(stream.cached_info().state.last_sequence),
        Err(error) => {
            tracing::debug!("{}", error_chain(&error));
            None
        }
    }
}

/// Whether some host publishes a snapshot before the next look.
async fn is_published(client: &Client) -> bool {
    let Ok(mut messages) = client.subscribe(subject::ALL_SNAPSHOTS).await else { return false };
    tokio::time::timeout(LOOK_EVERY, messages.next()).await.is_ok_and(|message| message.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_that_is_not_stored_is_no_problem_and_several_in_a_row_are() {
        let arrivals = Arrivals::default();
        for lost in [true, true, false, true, true] {
            arrivals.take(lost);
            assert_eq!(arrivals.check(), Ok(()));
        }
        arrivals.take(true);
        assert!(arrivals.check().unwrap_err().contains("stores none"));
        arrivals.take(false);
        assert_eq!(arrivals.check(), Ok(()));
    }
}
