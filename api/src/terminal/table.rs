//! Rows under their headings, in columns as wide as their content, for a terminal.

use comfy_table::{CellAlignment, Table, presets};

use crate::display::visible;

/// A column of a terminal's table.
pub(super) struct Heading<'a> {
    pub(super) name: &'a str,
    pub(super) is_number: bool,
}

/// The table as text, with everything that could drive the terminal made visible.
pub(super) fn render(headings: &[Heading<'_>], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings.iter().map(|heading| visible(heading.name)));
    for row in rows {
        table.add_row(row.iter().map(|text| visible(text)));
    }
    for (column, heading) in table.column_iter_mut().zip(headings) {
        column.set_padding((0, 2));
        if heading.is_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_and_texts_begin_in_one_column_and_nothing_drives_the_terminal() {
        let headings = [Heading { name: "PID", is_number: true }, Heading { name: "NAME", is_number: false }];
        let rows = [["1", "init"], ["4242", "\u{1b}[31mred\n\u{202e}x"]];
        let text = render(&headings, rows.map(|row| row.map(str::to_owned).to_vec()));
        assert_eq!(text, " PID  NAME\n   1  init\n4242  ␛[31mred␊‹U+202E›x\n");
    }
}
