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
    bucket::{Bucket, WatchedBucket},
    error_chain,
};

pub use channel::{BUCKET, BadChannel, Channel, MAX_CHANNELS, Means, check_id};
pub use failure::{Again, Failure, Sent};
#[cfg(test)]
pub use group::MAX_OPEN;
pub use group::{Grouping, Message, Threads, group};
pub use matcher::Matcher;
pub use notification::{
    Chart, Culprit, Facts, Figure, Kind, Notification, Point, Severity, Subject, is_link,
};
pub use outbox::{Counts, Courier, Outbox, OutboxError, Pace, Record, State};
pub use records::{
    ACKNOWLEDGEMENTS, Acknowledgement, MAX_ACKNOWLEDGEMENTS, MAX_SILENCES, ROUTES, RecordError, Records,
    RouteList, SILENCES,
};
pub use route::{
    Escalation, KeptBack, MAX_ROUTES, Plan, Planned, Quiet, Route, Rules, Why, built_in_route, plan,
    plan_escalated,
};
pub use schedule::{Day, Schedule};
pub use send::{Allowed, Sender, check};
pub use silence::{Silence, When, silenced_by};

/// How often it is looked whether there is a channel, where there is none.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The channels, once there is one, and whether there was none at first. Until then nothing is made in the broker.
pub async fn first_channels(client: &async_nats::Client) -> (WatchedBucket<Channel>, bool) {
    let mut there_was_none = false;
    loop {
        match Bucket::<Channel>::find(client, BUCKET).await {
            Ok(Some(bucket)) => match bucket.follow().await {
                Ok(mut channels) => {
                    while channels.all().is_empty() {
                        there_was_none = true;
                        channels.changed().await;
                    }
                    return (channels, there_was_none);
                }
                Err(error) => tracing::debug!("the channels: {}", error_chain(&error)),
            },
            Ok(None) => there_was_none = true,
            Err(error) => tracing::debug!("the channels: {}", error_chain(&error)),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
