//! What one question may take.

use std::time::Duration;

use super::Deadline;

/// The rows that one question may hold in memory: a month of one host with a sample every 3 s. One takes some 250 bytes.
const MAX_ROWS: usize = 1_000_000;

/// What one question may take. A clone is the same budget: its parts share one deadline, and each may hold all the rows.
#[derive(Debug, Clone)]
pub struct Budget {
    deadline: Deadline,
    max_rows: usize,
}

/// An answer would need more rows in memory than a question may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the question needs more than {max_rows} rows at once")]
pub struct TooManyRows {
    /// The rows that it may hold.
    pub max_rows: usize,
}

/// The rows that part of a question holds.
#[derive(Debug)]
pub(crate) struct RowCount {
    max_rows: usize,
    rows: usize,
}

impl Budget {
    /// As much time as `deadline` has, and the usual number of rows.
    pub fn until(deadline: Deadline) -> Self {
        Self { deadline, max_rows: MAX_ROWS }
    }

    /// No limit, for a program that answers one person's one question.
    pub fn unlimited() -> Self {
        Self { deadline: Deadline::after(Duration::MAX), max_rows: usize::MAX }
    }

    /// The same with another limit of rows.
    pub fn with_max_rows(self, max_rows: usize) -> Self {
        Self { max_rows, ..self }
    }

    /// Until when, and whether the asker is still there.
    pub fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    /// Counts the rows that one part of the question holds.
    pub(crate) fn count_rows(&self) -> RowCount {
        RowCount { max_rows: self.max_rows, rows: 0 }
    }
}

impl RowCount {
    /// Counts `rows` more.
    ///
    /// # Errors
    /// When they are more than the question may hold.
    pub(crate) fn add(&mut self, rows: usize) -> Result<(), TooManyRows> {
        self.rows = self.rows.saturating_add(rows);
        if self.rows > self.max_rows { Err(TooManyRows { max_rows: self.max_rows }) } else { Ok(()) }
    }
}
