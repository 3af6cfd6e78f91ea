//! The time of the stream, by which hosts fall silent.

use serde::{Deserialize, Serialize};

/// When a host may be silent, a tick is published within a second. A message that comes so much later than that came after a
/// hole: no ingestor published the tick, or the broker took nothing.
const HOLE_MS: i64 = 5_000;
/// After a hole every host is given this much time to come back before its silence counts: agents reconnect within half a
/// minute, one after the other.
const RECONNECT_MS: i64 = 30_000;

/// The broker's time, message by message. In ms since 1970 UTC.
///
/// That a host sent nothing while the broker was away, or while no ingestor read the stream, says nothing about the host. So
/// silence counts only from `counted_from_ms` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamClock {
    /// When the broker took the last message; the highest so far.
    pub now_ms: Option<i64>,
    /// Since when silence counts, after the last hole.
    pub counted_from_ms: Option<i64>,
}

impl StreamClock {
    /// Advances to a message; true when there was a hole before it. `awaited_ms` is when the first host may be silent, so that a
    /// message must come by then.
    pub(super) fn advance(&mut self, stored_ms: i64, awaited_ms: Option<i64>) -> bool {
        self.now_ms = Some(self.now_ms.map_or(stored_ms, |now_ms| now_ms.max(stored_ms)));
        let is_hole = awaited_ms.is_some_and(|awaited_ms| stored_ms.saturating_sub(awaited_ms) > HOLE_MS);
        if is_hole {
            self.counted_from_ms = Some(stored_ms.saturating_add(RECONNECT_MS));
        }
        is_hole
    }

    /// When a host falls silent that was heard last at `heard_ms` and may be quiet for `quiet_ms`.
    pub(crate) fn silent_at_ms(&self, heard_ms: i64, quiet_ms: i64) -> i64 {
        heard_ms.max(self.counted_from_ms.unwrap_or(i64::MIN)).saturating_add(quiet_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_in_the_stream_gives_every_host_time_to_come_back() {
        let mut clock = StreamClock::default();
        assert!(!clock.advance(1_000, None));
        assert_eq!(clock.silent_at_ms(500, 3_000), 3_500);
        assert!(!clock.advance(8_500, Some(3_500)));
        assert!(clock.advance(60_000, Some(3_500)));
        assert_eq!(clock.silent_at_ms(500, 3_000), 93_000);
        assert_eq!(clock.silent_at_ms(95_000, 3_000), 98_000);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_hole_and_no_silence() {
        let mut clock = StreamClock::default();
        clock.advance(100_000, None);
        assert!(!clock.advance(10_000, Some(103_000)));
        assert_eq!(clock.now_ms, Some(100_000));
    }
}
