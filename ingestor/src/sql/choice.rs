//! Which segments a question is asked of.
//!
//! A large history is not attached whole: a question says which time and which hosts it is about, or it gets as much as fits,
//! the newest first. The answer says which part of the history that was.
//!
//! The web server's index of the history knows what most segments hold. Of the others, which came after it was made, the name
//! says when the broker took them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::EngineError;
use crate::{
    catalog::{MAX_ATTACHED, Newest, SegmentFile, may_hold, newest},
    history::{Holding, Span},
    segment::SegmentName,
};

/// Which part of the history a question is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// From when, in µs since 1970 UTC, and until before when; absent for as far back as fits.
    span_us: Option<(i64, i64)>,
    /// Segments that hold something of it, by file name.
    with: BTreeSet<String>,
    /// Segments that hold nothing of it.
    without: BTreeSet<String>,
    /// The most that may be attached.
    most: usize,
}

/// How much of the history was attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// How many segments.
    pub segments: usize,
    /// How many there are.
    pub of: usize,
    /// Since when all of what was asked about is attached, in µs since 1970 UTC; absent for all of the past.
    pub from_us: Option<i64>,
    /// Until before when; absent for until the newest segment.
    pub to_us: Option<i64>,
}

impl Default for Choice {
    fn default() -> Self {
        Self { span_us: None, with: BTreeSet::new(), without: BTreeSet::new(), most: MAX_ATTACHED }
    }
}

impl Choice {
    /// What is within `span`, of which the index of the history knows what is `holding` it.
    pub fn of(span: Span, holding: Holding) -> Self {
        let mut choice =
            Self { span_us: Some((span.from_us, span.to_us)), with: holding.with, ..Self::default() };
        // The others are left out by their names already.
        let may_hold = |name: &String| {
            SegmentName::parse(name).is_some_and(|segment| choice.is_about_the_time_of(&segment))
        };
        choice.without = holding.without.into_iter().filter(may_hold).collect();
        choice
    }

    /// The same with another bound.
    #[must_use]
    pub fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Whether the time in a segment's name is about what is asked about.
    pub(super) fn is_about_the_time_of(&self, name: &SegmentName) -> bool {
        self.span_us.is_none_or(|(from_us, to_us)| may_hold(name, Span { from_us, to_us }))
    }

    /// The segments to attach of the `current` ones, and how much that is.
    ///
    /// # Errors
    /// When what is asked about needs more than may be attached.
    pub(super) fn among(&self, current: &[SegmentFile]) -> Result<(BTreeSet<String>, Attached), EngineError> {
        let of = current.len();
        let Some((from_us, to_us)) = self.span_us else { return Ok(self.newest(current)) };
        let is_wanted = |name: &SegmentName, file_name: &String| {
            self.with.contains(file_name)
                || (self.is_about_the_time_of(name) && !self.without.contains(file_name))
        };
        let names = current.iter().map(|segment| (segment.name, segment.name.to_string()));
        let wanted: BTreeSet<String> =
            names.filter(|(name, file_name)| is_wanted(name, file_name)).map(|(_, name)| name).collect();
        match wanted.len() > self.most {
            true => Err(EngineError::TooManySegments { needed: wanted.len(), most: self.most }),
            false => {
                let segments = wanted.len();
                let (from_us, to_us) = (Some(from_us), Some(to_us));
                Ok((wanted, Attached { segments, of, from_us, to_us }))
            }
        }
    }

    /// As many as fit, the newest first.
    fn newest(&self, current: &[SegmentFile]) -> (BTreeSet<String>, Attached) {
        let names = current.iter().map(|segment| segment.name).collect();
        let Newest { names, since_s } = newest(names, self.most);
        let from_us = since_s.map(|since_s| since_s.saturating_mul(1_000_000));
        let attached = Attached { segments: names.len(), of: current.len(), from_us, to_us: None };
        (names.iter().map(SegmentName::to_string).collect(), attached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Level, Shard};

    const DAY_S: i64 = 86_400;

    /// A fresh segment an hour, from the first on.
    fn hours(count: i64) -> Vec<SegmentFile> {
        let name = |hour: i64| SegmentName {
            shard: Shard::WHOLE,
            level: Level::Hour,
            partition: 0,
            epoch_s: 0,
            first_sequence: u64::try_from(hour).unwrap() + 1,
            last_sequence: u64::try_from(hour).unwrap() + 1,
            first_stored_s: hour * 3600,
            schema_version: 1,
        };
        (0..count).map(|hour| SegmentFile { name: name(hour), bytes: 1 }).collect()
    }

    fn holding(with: &[usize], without: &[usize], all: &[SegmentFile]) -> Holding {
        let names = |places: &[usize]| places.iter().map(|place| all[*place].name.to_string()).collect();
        Holding { with: names(with), without: names(without) }
    }

    fn span(from_s: i64, to_s: i64) -> Span {
        Span { from_us: from_s * 1_000_000, to_us: to_s * 1_000_000 }
    }

    fn places(chosen: &BTreeSet<String>, all: &[SegmentFile]) -> Vec<usize> {
        (0..all.len()).filter(|place| chosen.contains(&all[*place].name.to_string())).collect()
    }

    #[test]
    fn a_history_that_fits_is_attached_whole_and_a_larger_one_as_far_back_as_fits() {
        let all = hours(10);
        let (chosen, attached) = Choice::default().among(&all).unwrap();
        assert_eq!(chosen.len(), 10);
        assert_eq!(attached, Attached { segments: 10, of: 10, from_us: None, to_us: None });
        let (chosen, attached) = Choice::default().at_most(3).among(&all).unwrap();
        assert_eq!(places(&chosen, &all), [7, 8, 9]);
        // The last that is left out has messages of up to two hours.
        assert_eq!((attached.segments, attached.from_us), (3, Some((6 + 2) * 3_600_000_000)));
    }

    #[test]
    fn a_time_chooses_by_the_index_and_what_the_index_does_not_know_by_its_name() {
        let all = hours(2 * 24);
        let day = span(0, DAY_S);
        let unknown = Choice::of(day, Holding::default());
        let (chosen, attached) = unknown.among(&all).unwrap();
        assert_eq!(places(&chosen, &all).last(), Some(&30), "by the reach of clocks");
        assert_eq!((attached.segments, attached.of), (31, 48));
        assert_eq!((attached.from_us, attached.to_us), (Some(0), Some(DAY_S * 1_000_000)));
        // A snapshot of that time came a day late, and all but two others hold nothing of the host.
        let without: Vec<usize> = (0..46).filter(|place| ![3, 45].contains(place)).collect();
        let known = Choice::of(day, holding(&[3, 45], &without, &all));
        let (chosen, _) = known.among(&all).unwrap();
        assert_eq!(places(&chosen, &all), [3, 45]);
        let (chosen, _) =
            Choice::of(span(40 * 3600, 41 * 3600), holding(&[], &[40], &all)).among(&all).unwrap();
        assert!(!places(&chosen, &all).contains(&40) && places(&chosen, &all).contains(&47));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_never_left_out() {
        let all = hours(24);
        let refused = Choice::of(span(0, DAY_S), Holding::default()).at_most(23).among(&all).unwrap_err();
        assert!(matches!(refused, EngineError::TooManySegments { needed: 24, most: 23 }), "{refused}");
    }
}
