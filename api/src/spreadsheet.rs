//! Tables as text that a spreadsheet opens and never runs.
//!
//! A spreadsheet runs a text that begins as a formula does, and texts come from hosts. Such a text gets an apostrophe
//! in front, which marks it as text. Programs ignore blanks and invisible characters before a formula, so these are
//! ignored here too.

use serde_json::Value as Json;

use crate::display::is_treacherous;

/// The first characters of formulas, in every width; programs take the wide ones for the others.
const FORMULA_STARTS: [char; 13] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '﹦', '﹢', '﹣', '﹫', '−'];

/// Rows of cells under their `columns`.
pub(crate) fn table<Row: IntoIterator<Item = String>>(
    columns: &[&str],
    rows: impl IntoIterator<Item = Row>,
) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = writer.write_record(columns.iter().map(|column| text_cell(column)));
    for row in rows {
        let _ = writer.write_record(row);
    }
    writer.into_inner().unwrap_or_default()
}

/// A value as a cell; what is not known is empty.
pub(crate) fn cell(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text_cell(text),
        other => other.to_string(),
    }
}

fn text_cell(text: &str) -> String {
    let passed_over = |letter: char| letter.is_whitespace() || letter.is_control() || is_treacherous(letter);
    let shown = text.trim_start_matches(passed_over);
    // A tab or a line end at the start would be another cell to some programs.
    let is_formula = shown.starts_with(FORMULA_STARTS) || text.starts_with(char::is_control);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn no_cell_shows_a_formula_whatever_stands_before_it(
            before in "[ \t\r\n\u{0}\u{a0}\u{ad}\u{200b}\u{202e}\u{2003}\u{2060}\u{3000}\u{feff}]{0,4}",
            start in prop::sample::select(FORMULA_STARTS.to_vec()),
            after in ".{0,8}",
        ) {
            let text = format!("{before}{start}{after}");
            let body = table(&[&text], [[cell(&json!(text))]]);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(body.as_slice());
            for record in reader.records() {
                prop_assert_eq!(&record.unwrap()[0], format!("'{text}"));
            }
        }

        #[test]
        fn an_ordinary_text_stays_as_it_is(text in "[a-zA-Z0-9/_.äß][ -~äß]{0,20}") {
            prop_assert_eq!(cell(&json!(text)), text);
        }
    }

    #[test]
    fn a_text_that_begins_as_a_formula_is_marked_as_text_and_a_number_is_not() {
        for (value, expected) in [
            (json!("=1+1"), "'=1+1"),
            (json!("-rf"), "'-rf"),
            (json!("@SUM(A1)"), "'@SUM(A1)"),
            (json!("\tx"), "'\tx"),
            (json!("nginx: =1"), "nginx: =1"),
            (json!(-5), "-5"),
            (json!(null), ""),
            (json!(true), "true"),
        ] {
            assert_eq!(cell(&value), expected);
        }
    }
}
