//! What a question may take. All of it is stated in every answer.

use std::time::Duration;

use serde::Serialize;

/// What a question may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Rows of an answer: more are cut off.
    pub rows: usize,
    /// Bytes of the texts of an answer: rows beyond are cut off.
    pub bytes: usize,
    /// After this the question is stopped.
    pub seconds: u64,
    /// What DuckDB may keep in memory.
    pub memory_bytes: u64,
    /// What the system lets the process have in all; absent where the system has no such limit.
    pub address_space_bytes: Option<u64>,
}

impl Limits {
    /// After this the question is stopped.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// The limits in force.
pub const LIMITS: Limits = Limits {
    // More than a person reads; a person who wants all of it opens the files with DuckDB.
    rows: 10_000,
    // A page that a browser still shows without trouble.
    bytes: 8 << 20,
    // Longer than a question over the default retention takes (the fleet's busiest over 7 days: seconds).
    seconds: 10,
    // Enough to sort and join a day of a hundred hosts; small beside the pipeline on the same machine.
    memory_bytes: 512 << 20,
    // The memory, and beside it the program, the stacks and the allocator's reserves (280 MB before the first question).
    address_space_bytes: if cfg!(target_os = "linux") { Some(1536 << 20) } else { None },
};

/// The longest question: far more than people write.
pub(super) const MAX_QUESTION_BYTES: usize = 64 << 10;
/// Process rows that are copied for a person who may not see everything: two seconds of the deadline, and 270 MB until
/// they are compressed.
pub(super) const MAX_SEEN_ROWS: u64 = 2_000_000;
/// Threads of DuckDB: more help a question little, and the pipeline needs the other half of the machine.
pub(super) fn threads() -> i64 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if processors >= 4 { 2 } else { 1 }
}

/// Puts this process under the system's limits. [`LIMITS`] says what is left to DuckDB alone on other systems than
/// Linux.
///
/// # Errors
/// When the system refuses a limit.
#[cfg(target_os = "linux")]
pub(super) fn contain() -> std::io::Result<()> {
    use rustix::process::{self, Resource, Rlimit, Signal};
    let limit =
        |resource, most| process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    // Dies with the parent's thread that waits for the answer: after it, nothing reads the answer.
    process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if let Some(bytes) = LIMITS.address_space_bytes {
        limit(Resource::As, bytes)?;
    }
    // Two threads for the whole time, twice over: the deadline is the limit, and this is for when nothing enforces it.
    limit(Resource::Cpu, 4 * LIMITS.seconds)?;
    // No file can be written, even if the engine is tricked; no memory is dumped.
    limit(Resource::Fsize, 0)?;
    limit(Resource::Core, 0)?;
    // Not less, but more: each segment is an open file, and there may be more than the usual 1,024.
    let files = process::getrlimit(Resource::Nofile);
    process::setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })?;
    // The pipeline goes first: at 5, it gets three times the processor where both want it. A system that does not want
    // that is no reason not to answer.
    let _ = process::nice(5);
    Ok(())
}

/// Other systems have no such limits for a process to put on itself.
#[cfg(not(target_os = "linux"))]
pub(super) fn contain() -> std::io::Result<()> {
    Ok(())
}
