//! Which entries are sealed, merged and removed next: pure functions over the present segments.

use std::time::Duration;

use fleetps_nats::audit::{Chained, Link};
use jiff::{Timestamp, tz::TimeZone};

use crate::audit::AuditName;

/// This many segments of one day are merged although more may come: a question over twenty small files is quick.
const MERGE_COUNT: usize = 20;

/// The entries after `sealed`, which is the first of `entries`; `None` where the first is another one, or there is
/// none.
pub(super) fn behind(sealed: &Link, mut entries: Vec<Chained>) -> Option<Vec<Chained>> {
    if sealed.sequence == 0 {
        return Some(entries);
    }
    // Where the stream begins later, it was too full; nothing says that it is another one.
    let is_the_same = entries.first()?.sequence > sealed.sequence || entries.first()?.hash == sealed.hash;
    entries.retain(|entry| entry.sequence > sealed.sequence);
    is_the_same.then_some(entries)
}

/// Neighbours to merge: a day's when the day is over or there are many, a month's when the month is over.
pub(super) fn next_merge(names: &[AuditName], now_s: i64) -> Option<&[AuditName]> {
    let day =
        |seconds: i64| Timestamp::from_second(seconds).unwrap_or_default().to_zoned(TimeZone::UTC).date();
    let today = day(now_s);
    let mut runs = names.chunk_by(|name, next| {
        let (this_day, next_day) = (day(name.first_at_s), day(next.first_at_s));
        let month_is_over = this_day.first_of_month() < today.first_of_month();
        name.is_followed_by(next)
            && (this_day == next_day
                || month_is_over && this_day.first_of_month() == next_day.first_of_month())
    });
    runs.find(|run| {
        let is_over = run.last().is_some_and(|last| day(last.first_at_s) < today);
        run.len() >= MERGE_COUNT || (is_over && run.len() >= 2)
    })
}

/// The oldest segment, when the next one began so long ago that all of its entries are too old.
pub(super) fn expired(names: &[AuditName], now_s: i64, keep: Duration) -> Option<AuditName> {
    let [oldest, next, ..] = names else { return None };
    let kept_from_s = now_s.saturating_sub_unsigned(keep.as_secs());
    // A clock that stood in the past for a while makes nothing older than what came before.
    let stored_s = next.first_at_s.max(oldest.first_at_s).max(next.epoch_s);
    (stored_s < kept_from_s).then_some(*oldest)
}

#[cfg(test)]
mod tests {
    use fleetps_nats::audit::{AuditEntry, Outcome};

    use super::*;

    const DAY_S: i64 = 86_400;
    /// 2026-11-21T00:00:00Z.
    const TODAY_S: i64 = 1_795_219_200;

    fn chained(sequence: u64, hash: &str) -> Chained {
        let entry = AuditEntry {
            at_us: 0,
            who: String::new(),
            from: None,
            action: String::new(),
            host: None,
            what: String::new(),
            outcome: Outcome::Done,
        };
        Chained { sequence, previous: String::new(), hash: hash.to_owned(), entry }
    }

    fn name(first_sequence: u64, last_sequence: u64, first_at_s: i64) -> AuditName {
        AuditName { epoch_s: 1, first_sequence, last_sequence, first_at_s }
    }

    #[test]
    fn entries_behind_the_sealed_one_are_new_as_long_as_it_is_the_same() {
        let sealed = Link { sequence: 7, hash: "seven".to_owned() };
        let sequences = |entries: Option<Vec<Chained>>| {
            entries.map(|entries| entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>())
        };
        for (in_stream, expected) in [
            (vec![chained(7, "seven"), chained(8, "eight")], Some(vec![8])),
            (vec![chained(7, "seven")], Some(vec![])),
            // The stream was too full, and begins later.
            (vec![chained(9, "nine")], Some(vec![9])),
            // It lost its end, and went on from there.
            (vec![chained(7, "other"), chained(8, "eight")], None),
            (vec![], None),
        ] {
            assert_eq!(sequences(behind(&sealed, in_stream)), expected);
        }
        assert_eq!(sequences(behind(&Link::before_the_first(), vec![])), Some(vec![]));
    }

    #[test]
    fn a_day_is_merged_when_it_is_over_and_a_month_when_it_is_over() {
        let yesterday = [name(1, 5, TODAY_S - 20), name(6, 9, TODAY_S - 10)];
        let today = [name(10, 11, TODAY_S + 10), name(12, 12, TODAY_S + 20)];
        let all = [yesterday, today].concat();
        assert_eq!(next_merge(&all, TODAY_S + 30), Some(&yesterday[..]));
        assert_eq!(next_merge(&today, TODAY_S + 30), None);
        let october = [name(1, 5, TODAY_S - 40 * DAY_S), name(6, 9, TODAY_S - 35 * DAY_S)];
        assert_eq!(
            next_merge(&[october.to_vec(), today.to_vec()].concat(), TODAY_S + 30),
            Some(&october[..])
        );
        let days = [name(1, 5, TODAY_S - 4 * DAY_S), name(6, 9, TODAY_S - 3 * DAY_S)];
        assert_eq!(next_merge(&days, TODAY_S + 30), None);
    }

    #[test]
    fn many_of_one_day_are_merged_before_it_is_over_and_a_gap_is_never_merged_over() {
        let count = MERGE_COUNT as u64;
        let mut many: Vec<_> = (1..=count).map(|sequence| name(sequence, sequence, TODAY_S)).collect();
        assert_eq!(next_merge(&many, TODAY_S), Some(&many[..]));
        many.remove(5);
        many.push(name(count + 1, count + 1, TODAY_S));
        assert_eq!(next_merge(&many, TODAY_S), None);
    }

    #[test]
    fn a_clock_that_stood_in_the_past_for_a_while_makes_nothing_too_old() {
        let keep = Duration::from_secs(400 * DAY_S as u64);
        let mut names = [name(1, 5, TODAY_S - DAY_S), name(6, 9, 0), name(10, 11, TODAY_S)];
        assert_eq!(expired(&names, TODAY_S, keep), None);
        names.iter_mut().for_each(|name| name.epoch_s = TODAY_S - 2 * DAY_S);
        assert_eq!(expired(&names[1..], TODAY_S, keep), None);
    }

    #[test]
    fn a_segment_goes_when_the_next_one_began_too_long_ago() {
        let keep = Duration::from_secs(400 * DAY_S as u64);
        let names = [name(1, 5, TODAY_S - 500 * DAY_S), name(6, 9, TODAY_S - 400 * DAY_S)];
        assert_eq!(expired(&names, TODAY_S, keep), None);
        assert_eq!(expired(&names, TODAY_S + 1, keep), Some(names[0]));
        assert_eq!(expired(&names[1..], TODAY_S + 500 * DAY_S, keep), None);
    }
}
