//! Anybody's SQL over the history, without harm to it or to anything beside it.
//!
//! DuckDB has no users and no rights: whoever gives it SQL may do what its process may. So every question gets a process
//! of its own, which answers it and ends. It is walled in three times:
//!
//! 1. **The process** (`limits`): its address space, processor time and files are limited by the system, it inherits no
//!    environment, and whoever asked kills it at the deadline (`asking`). DuckDB's own memory limit and timeouts do not
//!    hold for every function; these do.
//! 2. **The engine** (`engine`, `lock_down.sql`): every segment is attached read-only first, then every way to a file or
//!    a setting is closed. What is open stays readable; nothing else can be opened, written or loaded.
//! 3. **The gate** (`engine`): the text is handed to DuckDB's function `query()` as a string, which takes exactly one
//!    statement that reads, and refuses everything else in DuckDB's own parser.
//!
//! Whoever may not see every host and command line gets, in the place of the segments, a copy in memory of what may be
//! seen (`seen`), as far back as fits.
//!
//! A process for each question costs about as long as attaching the segments takes, and spares everything that a
//! lasting one would need: nothing is left over from the question before, the answer is over the segments there are
//! now, and there is none to look after while nobody asks.

mod answer;
mod asking;
mod engine;
mod error;
mod limits;
mod seen;
mod serving;

pub use answer::{Answer, Column, Cut, Row};
pub use asking::{AskError, Asker};
pub use limits::{LIMITS, Limits};
pub use serving::serve;
