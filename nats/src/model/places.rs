//! Which fields of a list are of one kind: their places, worked out when compiling.

use super::{Field, FieldRole, Kind, Unit};

/// A selection of fields.
#[derive(Clone, Copy)]
pub(super) enum Selection {
    /// What changes rarely.
    Facts,
    /// What changes often.
    Figures,
    /// Figures that go up and down; not those in percent, which over time follow from a counter.
    Levels,
    /// Figures that only grow.
    Counters,
    /// The levels that are declared [`Field::over_time`].
    LevelsOverTime,
    /// The counters that are declared [`Field::over_time`].
    CountersOverTime,
}

const fn is(selection: Selection, field: &Field) -> bool {
    let is_figure = matches!(field.role, FieldRole::Figure);
    let (is_level, is_counter) = (matches!(field.kind, Kind::Level), matches!(field.kind, Kind::Counter));
    match selection {
        Selection::Facts => matches!(field.role, FieldRole::Fact),
        Selection::Figures => is_figure,
        Selection::Levels => is_figure && is_level && !matches!(field.unit, Unit::Percent),
        Selection::Counters => is_figure && is_counter,
        Selection::LevelsOverTime => field.is_over_time && is_level,
        Selection::CountersOverTime => field.is_over_time && is_counter,
    }
}

/// How many of `fields` are selected.
pub(super) const fn count(fields: &[Field], selection: Selection) -> usize {
    let (mut count, mut place) = (0, 0);
    while place < fields.len() {
        count += is(selection, &fields[place]) as usize;
        place += 1;
    }
    count
}

/// The places of those that are selected; `COUNT` is [`count`].
pub(super) const fn places<const COUNT: usize>(fields: &[Field], selection: Selection) -> [usize; COUNT] {
    let (mut places, mut found, mut place) = ([0; COUNT], 0, 0);
    while place < fields.len() {
        if is(selection, &fields[place]) {
            places[found] = place;
            found += 1;
        }
        place += 1;
    }
    places
}
