//! The streams, and what hosts can do to them.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use fleetps_nats::stream;

use crate::support::{start, within};

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_remembers_message_ids_for_no_longer_than_it_must_in_streams_of_earlier_versions_too() {
    let fixture = start().await;
    let jetstream = fixture.jetstream().await;
    let window = async || {
        let stream = within(stream::open_snapshots(&jetstream)).await.unwrap();
        stream.cached_info().config.clone()
    };
    let config = window().await;
    assert_eq!(config.duplicate_window, Duration::from_millis(100));
    let earlier = Config { duplicate_window: Duration::from_secs(120), ..config };
    within(jetstream.update_stream(earlier)).await.unwrap();
    assert_eq!(window().await.duplicate_window, Duration::from_secs(120));
    fixture.jetstream().await;
    assert_eq!(window().await.duplicate_window, Duration::from_millis(100));
}
