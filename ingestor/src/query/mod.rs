//! What a question about the past may take, and how it is stopped.
//!
//! Anybody who may look may ask for a year of everything, and then close the page. So every question has a [`Budget`]: a
//! [`Deadline`], which also says whether its asker is still there, and a limit of rows in memory. `History::within_budget`
//! carries it, as `History::within` carries the scope, and so every method of `History` keeps to it.
//!
//! **Two ways to stop.** What runs in Rust looks at the deadline by itself, between segments and between rows. What runs in
//! DuckDB is interrupted through the connection's interrupt handle, which the deadline holds while the question has that
//! connection. An interrupt only sets a flag, and DuckDB clears it when a query begins; so a query that was just about to
//! begin misses it. A `Watchdog`, one thread for each engine, therefore interrupts again every 20 ms until the question
//! has given the connection back.
//!
//! **Nobody has to be there.** When a client disconnects, the web server drops the future that waited for the answer, and
//! nothing polls it any more. That drops its [`CancelOnDrop`], which cancels the deadline and interrupts at once; the watchdog
//! does the rest, on a thread that waits for nothing else.
//!
//! **What is stopped says so.** A stopped question fails with [`Stopped`], whatever DuckDB made of the interrupt. It is not
//! asked again, casts no doubt on a segment, and its connection is closed. Rows that do not fit into the budget are
//! [`TooManyRows`]. Memory is limited for the engine as a whole: a query that ran out of it is asked once more while no
//! other such query is, and then fails.

mod budget;
mod deadline;
mod watchdog;

pub(crate) use budget::RowCount;
pub use budget::{Budget, TooManyRows};
pub use deadline::{CancelOnDrop, Deadline, Stopped};
pub(crate) use watchdog::Watchdog;
