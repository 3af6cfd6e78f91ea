//! Notifications: what happened is told once, to those who should know.
//!
//! * **What:** `notification` is plain data; `words` are the sentences that channels share.
//! * **To whom:** `route` chooses channels by severity, group, rule and hour (`matcher`, `schedule`), `silence` keeps back,
//!   `group` makes one message of a burst.
//! * **How:** `channel` is a channel's record, `send` reaches its receiver, `failure` says whether to try again.
//! * **Surely:** `outbox` keeps what is to be sent in the broker, and sends it until the receiver has it.
//!
//! Nothing here knows what an alert is or reads the fleet: whoever decides hands over a [`Notification`].

mod channel;
#[cfg(test)]
mod examples;
mod failure;
mod group;
mod matcher;
mod notification;
mod outbox;
mod records;
mod route;
mod schedule;
mod send;
mod silence;
mod words;

use fleetps_nats::{bucket::Bucket, patience::patiently};
use tokio_util::sync::CancellationToken;

pub use channel::{BUCKET, BadChannel, Channel, MAX_CHANNELS, Means, check_id};
pub use failure::{Again, Failure, Sent};
pub use group::{Grouping, Message, Threads, group};
pub use matcher::Matcher;
pub use notification::{Chart, Culprit, Facts, Figure, Kind, Notification, Point, Severity, Subject};
pub use outbox::{Counts, Courier, Outbox, OutboxError, Pace, Record, State};
pub use records::{
    ACKNOWLEDGEMENTS, Acknowledgement, MAX_ACKNOWLEDGEMENTS, MAX_SILENCES, ROUTES, RecordError, Records,
    RouteList, SILENCES,
};
pub use route::{Escalation, KeptBack, MAX_ROUTES, Plan, Planned, Quiet, Route, Rules, Why, plan};
pub use schedule::{Day, Schedule};
pub use send::{Allowed, Sender, check};
pub use silence::{Silence, When, silenced_by};

/// Delivers what is in the outbox of the broker of `client` until `ended`, to the channels that are there; `allowed` is
/// what they may do. Waits for a broker that is away.
pub async fn run(client: async_nats::Client, allowed: Allowed, ended: CancellationToken) {
    let open = async {
        let outbox = patiently("notifications", || Outbox::open(&client)).await?;
        let follow = || async { Bucket::<Channel>::open(&client, BUCKET).await?.follow().await };
        let channels = patiently("notifications", follow).await?;
        anyhow::Ok((outbox, channels))
    };
    match ended.run_until_cancelled(open).await {
        Some(Ok((outbox, channels))) => {
            Courier::new(outbox, Sender::new(allowed), Pace::default()).run(channels, ended).await;
        }
        Some(Err(error)) => {
            tracing::error!("no notification is sent: {error:#}");
            ended.cancelled().await;
        }
        None => {}
    }
}
