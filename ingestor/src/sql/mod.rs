//! A person's SQL over the history, without harm to the history or to this process.
//!
//! DuckDB has no users and no rights: SQL may do what its process may. So every question gets a process of its own,
//! which answers it and ends. It has three walls:
//!
//! 1. **The process** (`limits`): the system limits its address space, processor time and files, it inherits no environment,
//!    and its parent kills it at the deadline (`client`). DuckDB's own memory limit and timeouts do not hold for every
//!    function; these do.
//! 2. **The engine** (`engine`, `lock_down.sql`): every segment is attached read-only first, then every way to a file or a
//!    setting is closed. Open files stay readable; nothing else can be opened, written or loaded.
//! 3. **The gate** (`engine`): DuckDB's function `query()` gets the text as a string. It takes exactly one statement that reads,
//!    and refuses everything else in DuckDB's own parser.
//!
//! A history of thousands of segments is not attached whole, but what a question is about (`choice`).
//!
//! A person who may not see every host and command line gets, instead of the segments, a copy in memory of the visible
//! rows (`scoped_copy`), as far back as fits.
//!
//! A process for each question costs about as long as attaching the segments takes, and saves everything that a lasting
//! one would need: nothing is left over from the question before, the answer is over the current segments, and no idle
//! process has to be kept.

mod answer;
mod choice;
mod client;
mod engine;
mod error;
mod limits;
mod scoped_copy;
mod worker;

pub use answer::{Answer, Column, Cut, Row};
pub use choice::{Attached, Choice};
pub use client::{AskError, SqlClient};
pub use limits::{LIMITS, Limits};
pub use worker::serve;
