//! Notifications: what happened is told once, to those who should know.
//!
//! * **What:** `notification` is plain data; `words` are the sentences that channels share.
//! * **To whom:** `route` chooses channels by severity, group, rule and hour (`matcher`, `schedule`), `silence` keeps back,
//!   `group` makes one message of a burst.
//! * **How:** `channel` is a channel's record, `send` reaches its receiver, `failure` says whether to try again.
//! * **Surely:** `outbox` keeps what is to be sent in the broker, and sends it until the receiver has it.
//!
//! `records` is what people say: channels, routes, silences, acknowledgements.
//!
//! Nothing here knows what an alert is or reads the fleet: `dispatch` decides, and hands over a [`Notification`].

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

use std::time::Duration;

use fleetps_nats::{
    bucket::{Bucket, BucketError, WatchedBucket},
    error_chain,
};

pub use channel::{BUCKET, BadChannel, Channel, MAX_CHANNELS, Means, check_id};
pub use failure::{Again, Failure, Sent};
#[cfg(test)]
pub(crate) use group::MAX_OPEN;
pub use group::{Grouping, Message, Threads, group};
pub use matcher::Matcher;
pub(crate) use notification::is_link;
pub use notification::{Chart, Culprit, Facts, Figure, Kind, Notification, Point, Severity, Subject};
pub use outbox::{Counts, Courier, Outbox, OutboxError, Pace, Record, State};
pub use records::{
    ACKNOWLEDGEMENTS, Acknowledgement, MAX_ACKNOWLEDGEMENTS, MAX_SILENCES, ROUTES, RecordError, Records,
    RouteList, SILENCES,
};
pub use route::{Escalation, KeptBack, MAX_ROUTES, Plan, Planned, Quiet, Route, Rules, Why, plan};
pub(crate) use route::{built_in_route, plan_escalated};
pub use schedule::{Day, Schedule};
pub use send::{Allowed, Sender, check};
pub use silence::{Silence, When, silenced_by};

/// How often it is looked whether there is a channel, where there is none.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The channels, once there is one; and where there was none at first, what `noted` said before that was seen last. Until
/// there is one, nothing is made in the broker.
pub(crate) async fn first_channels<T, F: Future<Output = T>>(
    client: &async_nats::Client,
    noted: impl Fn() -> F,
) -> (WatchedBucket<Channel>, Option<T>) {
    let mut without = None;
    loop {
        let note = noted().await;
        match find_channels(client).await {
            Ok(Some(mut channels)) => {
                if channels.all().is_empty() {
                    without = Some(note);
                }
                while channels.all().is_empty() {
                    channels.changed().await;
                }
                return (channels, without);
            }
            Ok(None) => without = Some(note),
            Err(error) => tracing::debug!("the channels: {}", error_chain(&error)),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn find_channels(client: &async_nats::Client) -> Result<Option<WatchedBucket<Channel>>, BucketError> {
    match Bucket::find(client, BUCKET).await? {
        Some(bucket) => bucket.follow().await.map(Some),
        None => Ok(None),
    }
}
