//! The difference between two views of one page, as small as possible.

use std::{collections::HashMap, time::Duration};

use askama::Template;
use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::{
    View,
    table::{Cell, Place, Row, Table},
};

/// The shortest time between two patches of one page: several hosts' snapshots go into one, and a page is still up
/// to date within a tenth of a second.
pub(crate) const MIN_BETWEEN: Duration = Duration::from_millis(50);
/// A view that takes long to render is rendered less often, so that one page takes at most a tenth of a processor.
pub(crate) const PAUSE: u32 = 10;
/// The shortest time between two new orders of rows: what moves more often cannot be read. A little under two seconds,
/// so that a host that samples every two is sorted with every sample.
pub(crate) const MIN_BETWEEN_ORDERS: Duration = Duration::from_millis(1_800);

/// The changes for an open page.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Patch {
    /// Which moment the page shows then.
    pub version: String,
    /// Whether this is the whole page: rows that are not in it are gone, and none of them is news.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// Whether the page is to ask for itself instead, because all of it would be a long patch.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Fields outside the tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldPatch>,
    /// Tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TablePatch>,
}

/// A field's name, text, class, time and link.
#[derive(Debug, Serialize)]
pub(crate) struct FieldPatch(&'static str, String, &'static str, Option<String>, Option<String>);

impl FieldPatch {
    fn of(name: &'static str, cell: &Cell) -> Self {
        Self(
            name,
            cell.text.clone(),
            cell.shade,
            cell.time.clone(),
            cell.href.as_ref().map(ToString::to_string),
        )
    }
}

/// A changed cell.
#[derive(Debug)]
pub(crate) struct CellPatch {
    row: String,
    column: usize,
    cell: Cell,
}

/// A row's id, the column's number, text, shade, note, time, outline; empty values at the end are left out.
impl Serialize for CellPatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Cell { text, shade, note, time, outline, .. } = &self.cell;
        let [time, outline] = [time, outline].map(|text| text.as_deref().unwrap_or_default());
        let texts = [text, *shade, note, time, outline];
        let last = texts.iter().rposition(|text| !text.is_empty()).unwrap_or_default();
        let mut list = serializer.serialize_seq(None)?;
        list.serialize_element(&self.row)?;
        list.serialize_element(&self.column)?;
        for text in &texts[..=last] {
            list.serialize_element(text)?;
        }
        list.end()
    }
}

/// The changes of one table.
#[derive(Debug, Default, Serialize)]
pub(crate) struct TablePatch {
    id: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cells: Vec<CellPatch>,
    /// New rows, and rows whose shape is another now, as HTML.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rows: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<String>>,
    /// The text of the link to more rows; empty at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<String>,
}

impl Patch {
    /// From `before`, which the page shows, to `after`; `None` when nothing is to be done.
    pub(crate) fn between(before: &View, after: &View) -> Option<Self> {
        let tables: Vec<TablePatch> =
            after.tables.iter().filter_map(|table| between_tables(find(before, table.id), table)).collect();
        let fields: Vec<FieldPatch> = after
            .fields
            .iter()
            .filter(|(name, cell)| !before.fields.iter().any(|(n, c)| n == name && c.says_the_same(cell)))
            .map(|(name, cell)| FieldPatch::of(name, cell))
            .collect();
        let nothing = tables.is_empty() && fields.is_empty();
        (!nothing).then(|| Self { version: after.version.clone(), fields, tables, ..Self::default() })
    }

    /// Nothing, for a page that is to ask for itself.
    pub(crate) fn again(view: &View) -> Self {
        Self { version: view.version.clone(), again: true, ..Self::default() }
    }

    /// Everything, for a page that shows an unknown moment.
    pub(crate) fn whole(view: &View) -> Self {
        let mut patch = Self::between(&View::default(), view).unwrap_or_default();
        patch.version.clone_from(&view.version);
        for table in &view.tables {
            if !patch.tables.iter().any(|patched| patched.id == table.id) {
                patch.tables.push(TablePatch { id: table.id, ..TablePatch::default() });
            }
        }
        patch.whole = true;
        patch
    }
}

fn find<'a>(view: &'a View, id: &str) -> Option<&'a Table> {
    view.tables.iter().find(|table| table.id == id)
}

fn between_tables(before: Option<&Table>, after: &Table) -> Option<TablePatch> {
    let no_rows = Vec::new();
    let rows_before = before.map_or(&no_rows, |table| &table.rows);
    let mut known: HashMap<&str, &Row> = rows_before.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut patch = TablePatch { id: after.id, ..TablePatch::default() };
    for row in &after.rows {
        match known.remove(row.id.as_str()) {
            Some(shown) if same_shape(shown, row) => cells_between(shown, row, &mut patch.cells),
            _ => patch.rows.push((row.id.clone(), row.render().unwrap_or_default())),
        }
    }
    patch.gone = known.into_keys().map(str::to_owned).collect();
    let same_order = rows_before.iter().map(|row| &row.id).eq(after.rows.iter().map(|row| &row.id));
    patch.order = (!same_order).then(|| after.rows.iter().map(|row| row.id.clone()).collect());
    let more_text = |table: &Table| table.more.as_ref().map(|link| link.text.clone()).unwrap_or_default();
    let more = more_text(after);
    patch.more = (before.map(more_text).unwrap_or_default() != more).then_some(more);
    let nothing = patch.cells.is_empty()
        && patch.rows.is_empty()
        && patch.gone.is_empty()
        && patch.order.is_none()
        && patch.more.is_none();
    (!nothing).then_some(patch)
}

/// Siblings come and go around a row without changing it: pages count those themselves.
fn same_shape(shown: &Row, row: &Row) -> bool {
    let lasting = |place: &Option<Place>| place.as_ref().map(|place| (place.level, place.toggle.clone()));
    shown.class == row.class
        && lasting(&shown.place) == lasting(&row.place)
        && shown.cells.len() == row.cells.len()
        && shown.cells.iter().zip(&row.cells).all(|(before, after)| before.same_shape(after))
}

fn cells_between(shown: &Row, row: &Row, patches: &mut Vec<CellPatch>) {
    for (column, (before, after)) in shown.cells.iter().zip(&row.cells).enumerate() {
        if !before.says_the_same(after) {
            patches.push(CellPatch { row: row.id.clone(), column, cell: after.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, cpu: &str) -> Row {
        let cells = vec![Cell::new("name", "<b>"), Cell::new("cpu", cpu)];
        Row { id: id.to_owned(), cells, ..Row::default() }
    }

    fn view(rows: Vec<Row>, up: &str) -> View {
        let table = Table { id: "rows", rows, ..Table::default() };
        View { version: up.to_owned(), fields: vec![("up", Cell::field(up))], tables: vec![table] }
    }

    fn json(patch: Option<Patch>) -> serde_json::Value {
        serde_json::to_value(patch).unwrap()
    }

    #[test]
    fn only_what_changed_is_said() {
        let before = view(vec![row("a", "1.0"), row("b", "2.0")], "2");
        assert_eq!(json(Patch::between(&before, &before)), serde_json::Value::Null);
        let after = view(vec![row("a", "1.5"), row("b", "2.0")], "2");
        let expected = serde_json::json!(
            {"version": "2", "tables": [{"id": "rows", "cells": [["a", 1, "1.5"]]}]}
        );
        assert_eq!(json(Patch::between(&before, &after)), expected);
    }

    #[test]
    fn new_rows_come_as_escaped_html_and_gone_ones_by_name() {
        let before = view(vec![row("a", "1.0"), row("b", "2.0")], "2");
        let after = view(vec![row("c", "9.0"), row("a", "1.0")], "3");
        let patch = json(Patch::between(&before, &after));
        assert_eq!(patch["fields"], serde_json::json!([["up", "3", "", null, null]]));
        let table = &patch["tables"][0];
        assert_eq!(table["gone"], serde_json::json!(["b"]));
        assert_eq!(table["order"], serde_json::json!(["c", "a"]));
        let html = table["rows"][0][1].as_str().unwrap();
        assert!(html.contains("&#60;b&#62;") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn a_whole_page_names_every_table_even_an_empty_one() {
        let patch = serde_json::to_value(Patch::whole(&view(Vec::new(), "0"))).unwrap();
        assert_eq!(patch["whole"], true);
        assert_eq!(patch["tables"][0]["id"], "rows");
    }
}
