//! The columns that a page's process table can have: the fields and rates that declare one, in the table's order.

use super::{PageColumn, process::PROCESS};

/// A column of the process table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TableColumn {
    /// The declaration of the column.
    pub page: PageColumn,
    /// The place of its field in [`PROCESS`].
    pub place: usize,
    /// Whether it shows the field's growth per second, not the field itself.
    pub is_rate: bool,
}

const fn count() -> usize {
    let (mut count, mut place) = (0, 0);
    while place < PROCESS.len() {
        count += PROCESS[place].page.is_some() as usize;
        if let Some(rate) = PROCESS[place].rate {
            count += rate.page.is_some() as usize;
        }
        place += 1;
    }
    count
}

/// All columns of the process table, in its order.
pub const TABLE: [TableColumn; count()] = sorted();

const fn sorted() -> [TableColumn; count()] {
    let nothing = PageColumn::new(u16::MAX, "", "", "");
    let mut table = [TableColumn { page: nothing, place: 0, is_rate: false }; count()];
    let (mut filled, mut place) = (0, 0);
    while place < PROCESS.len() {
        if let Some(page) = PROCESS[place].page {
            table = with(table, filled, TableColumn { page, place, is_rate: false });
            filled += 1;
        }
        if let Some(rate) = PROCESS[place].rate
            && let Some(page) = rate.page
        {
            table = with(table, filled, TableColumn { page, place, is_rate: true });
            filled += 1;
        }
        place += 1;
    }
    table
}

/// The table with a column more, behind those that come before it.
const fn with(
    mut table: [TableColumn; count()],
    filled: usize,
    column: TableColumn,
) -> [TableColumn; count()] {
    let mut at = filled;
    while at > 0 && table[at - 1].page.place > column.page.place {
        table[at] = table[at - 1];
        at -= 1;
    }
    table[at] = column;
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_the_order_of_their_places() {
        assert!(TABLE.is_sorted_by_key(|column| column.page.place));
        let first: Vec<_> = TABLE.iter().take(5).map(|column| column.page.id).collect();
        assert_eq!(first, ["name", "pid", "parent", "user", "cpu"]);
    }
}
