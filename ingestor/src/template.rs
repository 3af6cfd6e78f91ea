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
    use std::{
        fs,
        path::{Path, PathBuf},
    };

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

    /// The files of this crate with such an ending, by path.
    fn sources(ending: &str) -> Vec<(PathBuf, String)> {
        fn add(folder: &Path, ending: &str, found: &mut Vec<(PathBuf, String)>) {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    add(&path, ending, found);
                } else if path.extension().is_some_and(|extension| extension == ending) {
                    let text = fs::read_to_string(&path).unwrap();
                    found.push((path, text));
                }
            }
        }
        let mut found = Vec::new();
        add(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), ending, &mut found);
        assert!(!found.is_empty());
        found
    }

    #[test]
    fn a_dollar_in_a_query_is_a_numbered_parameter_of_duckdb() {
        for (path, query) in sources("sql") {
            let mut after = query.split('$').skip(1);
            assert!(
                after.all(|rest| rest.starts_with(|first: char| first.is_ascii_digit())),
                "{}",
                path.display()
            );
        }
    }

    /// A column in the middle of a query would shift all behind it, and types often agree. Only the one column of a query
    /// that has no other may be read as the first.
    #[test]
    fn rows_of_several_columns_are_read_by_name() {
        for (path, source) in sources("rs") {
            let production = source.split("#[cfg(test)]").next().unwrap_or_default();
            let mut reads = production.split("row.get").skip(1).filter_map(|rest| {
                let (_, column) = rest.split_once('(')?;
                Some(column.split([')', ',']).next()?.to_owned())
            });
            let by_place = reads.find(|column| column.parse::<usize>().is_ok_and(|place| place > 0));
            assert_eq!(by_place, None, "{}", path.display());
        }
    }
}
