//! What is wrong with a form, by the labels of its page: records and JSON name their fields otherwise.

use crate::refusal::Refusal;

/// A field of a record, and what the page calls it.
pub(super) type Label = (&'static str, &'static str);

/// The fields that say what a route or a silence is about, and its hours.
pub(super) const MATCHER: [Label; 10] = [
    ("severity", "Severity"),
    ("rules", "Rules"),
    ("hosts", "Hosts"),
    ("groups", "Groups"),
    ("matcher", "Rules, Hosts and Groups"),
    ("from", "From"),
    ("until", "Until"),
    ("zone", "Time zone"),
    ("days", "Days"),
    ("why", "Why"),
];

/// The refusal with the label of the field that it names first, as in "zone: expected …".
pub(super) fn labelled(refusal: Refusal, label: impl Fn(&str) -> Option<&'static str>) -> Refusal {
    let hint = match refusal.hint.starts_with("docs/") {
        // What is wrong stands beside the fields already.
        true => "nothing was saved".to_owned(),
        false => refusal.hint,
    };
    let named = refusal.error.split_once(": ").and_then(|(field, problem)| Some((label(field)?, problem)));
    let error = match named {
        Some((label, problem)) => format!("{label}: {problem}"),
        None => refusal.error,
    };
    Refusal { error, hint, ..refusal }
}

/// The label of a field in one of these lists.
pub(super) fn label_in(lists: &[&[Label]], field: &str) -> Option<&'static str> {
    lists.iter().copied().flatten().find(|(known, _)| *known == field).map(|(_, label)| *label)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn a_field_is_called_as_on_its_page_and_anything_else_stays() {
        let label = |field: &str| label_in(&[&MATCHER, &[("for", "For")]], field);
        let of = |error: &str, hint: &str| {
            let refusal = labelled(Refusal::new(StatusCode::BAD_REQUEST, error, hint), label);
            (refusal.error, refusal.hint)
        };
        let saved = "nothing was saved".to_owned();
        assert_eq!(of("zone: expected a zone", "docs/x"), ("Time zone: expected a zone".to_owned(), saved));
        assert_eq!(of("for: is missing", "h"), ("For: is missing".to_owned(), "h".to_owned()));
        for other in ["the route was changed: look", "odd: x", "no field"] {
            assert_eq!(of(other, "h").0, other);
        }
    }
}
