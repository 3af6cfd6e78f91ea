//! From the broker into the fleet: the last snapshot of every host, then every new one.

use std::time::Duration;

use async_nats::{Client, jetstream};
use fleetps_nats::{
    Standing,
    decode::MessageDecoder,
    error_chain,
    patience::patiently,
    reader::{Delivered, Delivery, SnapshotReader, Start},
    service_manager::Pulse,
    snapshot::{BadSnapshot, Sent},
    stream,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Fleet, Position};

/// How often the hosts' states are recomputed: the shortest time that a person reads off a page.
const AGE_EVERY: Duration = Duration::from_secs(1);
/// The longest that the intake may take to go round, which it does as often as that.
const ROUND_WITHIN: Duration = Duration::from_secs(120);
/// More messages than this behind, and the reader starts anew with the last snapshot of every host: only the present
/// is wanted here. A start itself may have every host waiting, so a large fleet has a bound of its own.
const MAX_BEHIND: u64 = 20_000;
/// A start may be this many snapshots of every known host behind before it counts as falling behind.
const MAX_BEHIND_PER_HOST: u64 = 4;

/// How far the intake is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Intake {
    /// Whether it has once read everything that was there.
    pub caught_up: bool,
    /// Messages that were no snapshots and were left alone here; the ingestor counts them by reason.
    pub ignored: u64,
    /// Messages that were left alone unread, because their host had sent too much.
    pub skipped: u64,
    /// Messages that were left alone unread, because their host was revoked or forgotten before.
    pub revoked: u64,
    /// How often it was too far behind and started anew.
    pub restarts: u64,
}

impl Intake {
    /// How many messages were left alone, by reason.
    pub fn refused(&self) -> [(&'static str, u64); 3] {
        [("flood", self.skipped), ("no-snapshot", self.ignored), ("revoked", self.revoked)]
    }
}

/// Which hosts are shown, and what of them.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// The rate limit of one host, in bytes a second over a longer time.
    pub host_bytes_per_s: u64,
    /// How long a silent host stays.
    pub down_for: Duration,
}

/// Keeps `fleet` up to date until `shutdown`: hosts that were revoked or forgotten leave it, and those that were not heard
/// of for long.
pub async fn follow(
    client: Client,
    fleet: &Fleet,
    shown: Shown,
    progress: &watch::Sender<Intake>,
    shutdown: CancellationToken,
) {
    let Ok(message_decoder) = MessageDecoder::new(shown.host_bytes_per_s) else {
        tracing::error!("cannot make a decompressor: out of memory? Pages will show no hosts");
        return;
    };
    let following = patiently("the pages", || Standing::follow(&client));
    let standing = match shutdown.run_until_cancelled(following).await {
        None => return,
        Some(Ok(standing)) => standing,
        Some(Err(error)) => {
            tracing::error!("{}; pages will show no hosts", error_chain(&error));
            return;
        }
    };
    let mut message_decoder = message_decoder.with_standing(standing.clone());
    let jetstream = jetstream::new(client);
    if let Ok(stream) = stream::open_snapshots(&jetstream).await
        && stream.cached_info().state.messages == 0
    {
        progress.send_modify(|intake| intake.caught_up = true);
    }
    let new_reader = || SnapshotReader::new(jetstream.clone(), Start::LastOfEachHost, None);
    let mut reader = new_reader();
    let mut age = tokio::time::interval(AGE_EVERY);
    let pulse = Pulse::of("live intake");
    loop {
        pulse.beat(ROUND_WITHIN);
        let delivery = tokio::select! {
            () = shutdown.cancelled() => return,
            _ = age.tick() => {
                let now_us = super::steady_us();
                fleet.age(now_us);
                fleet.leave_out(now_us, shown.down_for, |host| standing.ended_at_us(host).is_some());
                continue;
            }
            delivery = reader.next() => delivery,
        };
        match delivery {
            Delivery::Message(message) => {
                let behind = message.pending;
                let position = Position::new(reader.created_s().unwrap_or_default(), message.sequence);
                take(fleet, &mut message_decoder, &standing, (position, &message), progress);
                if behind == 0 {
                    progress.send_if_modified(|intake| !std::mem::replace(&mut intake.caught_up, true));
                }
                let known = u64::try_from(fleet.host_count()).unwrap_or(u64::MAX);
                if behind > MAX_BEHIND.max(known.saturating_mul(MAX_BEHIND_PER_HOST)) {
                    tracing::warn!(
                        behind,
                        "too far behind the stream; starting again with every host's last snapshot"
                    );
                    progress.send_modify(|intake| intake.restarts += 1);
                    reader = new_reader();
                }
            }
            Delivery::Lost { .. } => {}
            Delivery::Replaced { .. } => reader = new_reader(),
        }
    }
}

fn take(
    fleet: &Fleet,
    message_decoder: &mut MessageDecoder,
    standing: &Standing,
    (position, message): (Position, &Delivered),
    progress: &watch::Sender<Intake>,
) {
    match message_decoder.decode(message) {
        // Snapshots from before it was revoked or forgotten belong to the past.
        Ok((host, _)) if standing.ended_at_us(&host).is_some() => {}
        Ok((host, snapshot)) => {
            let sent = Sent { stored_at_us: message.stored_at_us, age_us: message.age_us };
            fleet.take_at(position, host, &message.payload, snapshot, sent);
        }
        Err(BadSnapshot::Flood) => progress.send_modify(|intake| intake.skipped += 1),
        Err(BadSnapshot::Revoked) => progress.send_modify(|intake| intake.revoked += 1),
        Err(refusal) => {
            // The ingestor counts and records refusals; here they are only for debugging.
            tracing::debug!(subject = ?message.subject, %refusal, "ignored a message that is no snapshot");
            progress.send_modify(|intake| intake.ignored += 1);
        }
    }
}
