//! Which segments to let go of: a pure function over what there is.

use crate::{segment::SegmentName, settings::IngestorSettings, shelf::Shelved};

/// The segments that are too old, and then the oldest until the rest is not too much. `segments` are in the order of
/// the stream. The last of each numbering stays, because its name says where to go on.
pub(crate) fn expired(segments: &[Shelved], now_s: i64, settings: &IngestorSettings) -> Vec<SegmentName> {
    let keep_s = i64::try_from(settings.keep_samples.as_secs()).unwrap_or(i64::MAX);
    let oldest_kept_s = now_s.saturating_sub(keep_s);
    let mut bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut removable: Vec<&Shelved> = segments
        .windows(2)
        .filter(|pair| pair[0].name.numbering() == pair[1].name.numbering())
        .map(|pair| &pair[0])
        .collect();
    removable.sort_by_key(|segment| segment.name.first_stored_s);
    let mut expired = Vec::new();
    for segment in removable {
        if bytes > settings.max_history_bytes || segment.name.latest_stored_s() < oldest_kept_s {
            bytes = bytes.saturating_sub(segment.bytes);
            expired.push(segment.name);
        }
    }
    expired
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::segment::Level;

    fn hour(number: u8) -> Shelved {
        let sequence = 1 + u64::from(number) * 10;
        let name = SegmentName {
            level: Level::Hour,
            partition: 0,
            epoch_s: 1,
            first_sequence: sequence,
            last_sequence: sequence + 9,
            first_stored_s: i64::from(number) * 3600,
            schema_version: 2,
        };
        Shelved { name, rows: 10, bytes: 100 }
    }

    fn settings(keep_hours: u64, max_history_bytes: u64) -> IngestorSettings {
        let keep_samples = Duration::from_secs(keep_hours * 3600);
        IngestorSettings { keep_samples, max_history_bytes, ..IngestorSettings::default() }
    }

    #[test]
    fn the_old_go_when_all_of_them_is_too_old() {
        let segments: Vec<_> = (0..10).map(hour).collect();
        let now_s = 10 * 3600;
        assert_eq!(expired(&segments, now_s, &settings(10, 10_000)), []);
        let gone = expired(&segments, now_s, &settings(7, 10_000));
        assert_eq!(gone, [segments[0].name]);
    }

    #[test]
    fn the_oldest_go_when_there_is_too_much() {
        let segments: Vec<_> = (0..10).map(hour).collect();
        let gone = expired(&segments, 0, &settings(1000, 750));
        assert_eq!(gone, segments[..3].iter().map(|segment| segment.name).collect::<Vec<_>>());
    }

    #[test]
    fn the_last_one_stays_whatever_happens() {
        let segments: Vec<_> = (0..3).map(hour).collect();
        let gone = expired(&segments, i64::MAX, &settings(1, 0));
        assert_eq!(gone.len(), 2);
    }
}
