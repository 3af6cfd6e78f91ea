//! Keeps the streams as they must be: there, and no larger than the broker's disk has room for.

use std::time::Duration;

use async_nats::jetstream;
use fleetps_nats::{
    disk::Disk,
    error_chain,
    stream::{self, StreamError},
    units::format_bytes,
};
use tokio_util::sync::CancellationToken;

use crate::settings::IngestorSettings;

/// How often it is looked: each of the three questions costs the broker some microseconds.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The stream is never made smaller than this: what comes in while a segment is sealed.
const LEAST_BYTES: u64 = 4 << 20;

/// Creates missing streams; the stream of snapshots may take `max_bytes`.
pub(crate) async fn ensure(jetstream: &jetstream::Context, max_bytes: u64) -> Result<(), StreamError> {
    stream::ensure(jetstream, i64::try_from(max_bytes).unwrap_or(i64::MAX)).await
}

/// Maintains the streams until `stop`: recreates them where the broker lost them, because without them no agent can
/// publish, and shrinks the stream of snapshots where other programs fill the broker's disk.
pub(crate) async fn keep(jetstream: jetstream::Context, settings: IngestorSettings, stop: CancellationToken) {
    let mut said = String::new();
    // Events are told from the beginning; where that fails, the first look says so.
    let _ = stop.run_until_cancelled(stream::ensure_events(&jetstream)).await;
    let _ = stop.run_until_cancelled(stream::ensure_alerts(&jetstream)).await;
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        let Some(Err(error)) = stop.run_until_cancelled(look(&jetstream, &settings)).await else {
            said.clear();
            continue;
        };
        let text = error_chain(&error);
        if text != said {
            tracing::warn!("the streams cannot be looked after: {text}; trying again every {LOOK_EVERY:?}");
            said = text;
        }
    }
}

async fn look(jetstream: &jetstream::Context, settings: &IngestorSettings) -> Result<(), StreamError> {
    let disk = settings.broker.as_deref().and_then(Disk::of);
    let present = match disk {
        Some(_) => match stream::open_snapshots(jetstream).await {
            Ok(stream) => {
                let info = stream.cached_info();
                Some(Present { max_bytes: info.config.max_bytes.unsigned_abs(), bytes: info.state.bytes })
            }
            // It is recreated below.
            Err(error) if error.is_missing() => None,
            // Its size is not known, so it stays as it is.
            Err(error) => return Err(error),
        },
        None => None,
    };
    let limit = settings.max_stream_bytes;
    let room = present.zip(disk).map_or(limit, |(present, disk)| room(limit, present, &disk));
    if let Some(present) = present.filter(|present| present.max_bytes != room) {
        let (before, now) = (format_bytes(present.max_bytes), format_bytes(room));
        tracing::warn!("the stream may take {now} instead of {before}, because of the room on its disk");
    }
    ensure(jetstream, room).await?;
    stream::ensure_events(jetstream).await?;
    stream::ensure_alerts(jetstream).await
}

/// How large the stream is and may be.
#[derive(Debug, Clone, Copy)]
struct Present {
    max_bytes: u64,
    bytes: u64,
}

/// The stream's size limit from now on: `limit`, or, where the reserve of its disk is in use, its present size less
/// that use. It then drops its oldest messages, which are stored unless sealing waits for room as well. It grows again
/// only where there is twice the room.
fn room(limit: u64, present: Present, disk: &Disk) -> u64 {
    let reserve = disk.reserve_bytes();
    if disk.free_bytes < reserve {
        let smaller = present.bytes.saturating_sub(reserve - disk.free_bytes).max(LEAST_BYTES);
        smaller.min(present.max_bytes).min(limit)
    } else if disk.free_bytes < 2 * reserve {
        present.max_bytes.min(limit)
    } else {
        limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_stream_gives_room_back_where_the_disk_is_full_and_takes_it_again_where_there_is_plenty() {
        let present = Present { max_bytes: 800 * MIB, bytes: 500 * MIB };
        let disk = |free| Disk {
            total_bytes: 2000 * MIB,
            free_bytes: free * MIB,
            is_out_of_files: false,
            is_read_only: false,
        };
        let limit = 800 * MIB;
        assert_eq!(room(limit, present, &disk(300)), limit);
        assert_eq!(room(limit, present, &disk(150)), 800 * MIB);
        assert_eq!(room(limit, present, &disk(40)), 440 * MIB);
        let smaller = Present { max_bytes: 440 * MIB, bytes: 440 * MIB };
        assert_eq!(room(limit, smaller, &disk(150)), 440 * MIB);
        assert_eq!(room(limit, Present { bytes: 2 * MIB, ..present }, &disk(0)), LEAST_BYTES);
        assert_eq!(room(limit, smaller, &disk(300)), limit);
        assert_eq!(room(MIB, Present { max_bytes: MIB, bytes: MIB }, &disk(0)), MIB);
    }
}
