//! Watching sharpens: while somebody watches a host live, its agent is asked to sample every second, and what it sends
//! besides goes to the live pages only.
//!
//! A wish is a lease that is renewed while anybody watches, whoever and through whatever; without it the agent goes
//! back to its usual interval by itself. The samples are in no stream, so what the history has does not depend on who
//! looks.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_nats::{Client, Message};
use fleetps_nats::{
    HostName, agent_settings::Watch, decode::MessageDecoder, now_us, reader::Delivered, snapshot::Sent,
    subject,
};
use futures_util::StreamExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{control::Control, live::Fleet};

/// How often a watched host is sampled; a host may say that it is less often.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a wish holds: two renewals may be lost.
const LEASE: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(5);
/// How soon a host is asked that somebody began to watch.
const LOOK: Duration = Duration::from_millis(500);
/// How soon it is tried again to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// Asks the hosts that are watched for more samples, and takes these, until `shutdown`. `host_bytes_per_s` limits what
/// one host may send besides its snapshots, as it does for these.
pub(crate) async fn sharpen(
    client: Client,
    control: Control,
    fleet: Arc<Fleet>,
    host_bytes_per_s: u64,
    shutdown: CancellationToken,
) {
    let working = async {
        tokio::join!(ask(control, &fleet), listen(&client, &fleet, host_bytes_per_s));
    };
    shutdown.run_until_cancelled(working).await;
}

async fn ask(control: Control, fleet: &Fleet) {
    let mut asked: HashMap<HostName, Instant> = HashMap::new();
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let (watched, now) = (fleet.watched_hosts(), Instant::now());
        asked.retain(|_, at| now.duration_since(*at) < LEASE);
        for host in watched {
            if asked.get(&host).is_some_and(|at| now.duration_since(*at) < RENEW) {
                continue;
            }
            if let Err(error) = control.watch(&host, Watch::new(INTERVAL, LEASE)).await {
                tracing::debug!(%host, %error, "a host is not asked for more samples now");
            }
            asked.insert(host, now);
        }
    }
}

async fn listen(client: &Client, fleet: &Fleet, host_bytes_per_s: u64) {
    let Ok(mut decoder) = MessageDecoder::new(host_bytes_per_s) else {
        tracing::error!(
            "cannot make a decompressor: out of memory? Watched hosts are shown at their usual interval"
        );
        return;
    };
    loop {
        match client.subscribe(subject::ALL_SHARP).await {
            Ok(mut messages) => {
                while let Some(message) = messages.next().await {
                    take(fleet, &mut decoder, &message);
                }
            }
            Err(error) => tracing::debug!(%error, "cannot listen to hosts that are watched"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Takes a message where somebody watches its host on this server; others may watch it on another.
fn take(fleet: &Fleet, decoder: &mut MessageDecoder, message: &Message) {
    let Some(host) = subject::host_of_sharp(&message.subject) else { return };
    if !fleet.is_watched(&host) {
        return;
    }
    // It did not wait on the way.
    let sent = Sent { stored_at_us: now_us(), age_us: Some(0) };
    let delivered = Delivered {
        sequence: 0,
        subject: subject::snapshot(&host),
        payload: message.payload.clone(),
        header_bytes: 0,
        stored_at_us: sent.stored_at_us,
        age_us: sent.age_us,
        pending: 0,
    };
    match decoder.decode(&delivered) {
        Ok((host, snapshot)) => fleet.take_sharp(host, &message.payload, snapshot, sent),
        Err(refusal) => tracing::debug!(%host, %refusal, "ignored a sample of a host that is watched"),
    }
}
