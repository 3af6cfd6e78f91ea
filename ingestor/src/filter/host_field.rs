//! The fields of a host in the filter language.

use super::field::{Field, Kind};

/// The fields, each at its place.
const HOST: [Field; 13] = [
    Field::of_host("host", Kind::Text, 0),
    Field::of_host("os", Kind::Text, 1),
    Field::of_host("state", Kind::Text, 2),
    GROUP,
    Field::of_host("cpu", Kind::Percent, 4),
    Field::of_host("mem", Kind::Bytes, 5),
    Field::of_host("mem%", Kind::Percent, 6),
    Field::of_host("ram", Kind::Bytes, 7),
    Field::of_host("load", Kind::Percent, 8),
    Field::of_host("processes", Kind::Count, 9),
    Field::of_host("alerts", Kind::Count, 10),
    Field::of_host("seen", Kind::Age, 11),
    Field::of_host("agent", Kind::Text, 12),
];
/// The groups of a host: each with its value, and the name of each that has one.
pub(super) const GROUP: Field = Field::of_host("group", Kind::Group, 3);

/// The field that people call `word`.
pub(super) fn find(word: &str) -> Option<Field> {
    HOST.into_iter().find(|field| field.word.eq_ignore_ascii_case(word))
}

/// The words for everything that a filter over hosts can ask about, for people.
pub fn words() -> String {
    HOST.into_iter().map(|field| field.word).collect::<Vec<_>>().join(", ")
}
