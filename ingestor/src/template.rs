//! The queries in `.sql` files: each is a template of askama's, and a struct beside the code that runs it has what its
//! `{{ placeholders }}` stand for. A name that only one of them has does not compile. `$1` and `?` are DuckDB's own
//! parameters.

use askama::Template;

/// The query with every placeholder filled, in one pass: nothing in a filled text is taken for a placeholder.
pub(crate) fn render(query: &impl Template) -> String {
    // Writing to a string fails where a placeholder's own `Display` does, and all are texts and numbers.
    query.render().expect("texts and numbers can be written to a string")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[derive(Template)]
    #[template(source = "SELECT '{{ text }}' || $1", ext = "sql")]
    struct Example<'a> {
        text: &'a str,
    }

    #[test]
    fn a_filled_text_stays_as_it_is() {
        assert_eq!(render(&Example { text: "<a> & {{ text }} $1" }), "SELECT '<a> & {{ text }} $1' || $1");
    }

    fn queries(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| match path.is_dir() {
                true => queries(&path),
                false if path.extension().is_some_and(|extension| extension == "sql") => {
                    vec![fs::read_to_string(path).unwrap()]
                }
                false => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn a_dollar_in_a_query_is_a_numbered_parameter_of_duckdb() {
        let queries = queries(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        assert!(!queries.is_empty());
        for query in queries {
            let mut after = query.split('$').skip(1);
            assert!(after.all(|rest| rest.starts_with(|first: char| first.is_ascii_digit())), "{query}");
        }
    }
}
