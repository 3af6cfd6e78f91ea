//! The queries in `.sql` files: each is a template of askama's, and a struct beside the code that runs it has what its
//! `{{ placeholders }}` stand for. A name that only one of them has does not compile. `$1` and `?` are DuckDB's own
//! parameters.

use askama::Template;

/// The query with every placeholder filled, in one pass: nothing in a filled text is taken for a placeholder.
pub(crate) fn render(query: &impl Template) -> String {
    // Writing to a string fails where a placeholder's own `Display` does, and all are texts and numbers.
    query.render().expect("texts and numbers can be written to a string")
}
