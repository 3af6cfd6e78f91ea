//! What is loaded into every other database, and what is asked of each.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The tables, and what finds in them what is asked for.
pub const TABLES: &str = include_str!("sql/tables.sql");
pub const INDEXES: &str = include_str!("sql/indexes.sql");
/// The columns in the order of the tables, as a segment has them.
pub const COPIES: [(&str, &str); 3] = [
    (
        "host_sample",
        "SELECT host, boot_id, epoch_ms(captured_at), cpu_percent, load_1, load_5, load_15, memory_total_bytes, \
         memory_used_bytes, swap_used_bytes, process_count, thread_count, disk_read_bytes, disk_written_bytes, \
         network_received_bytes, network_sent_bytes FROM host_sample",
    ),
    (
        "process",
        "SELECT host, boot_id, pid, epoch_us(started_at), parent_pid, name, executable, command_line, user_name, unit, \
         container FROM process",
    ),
    (
        "process_sample",
        "SELECT host, boot_id, pid, epoch_us(started_at), epoch_ms(captured_at), state, threads, cpu_percent, \
         cpu_time_ms, resident_bytes, virtual_bytes, read_bytes, written_bytes FROM process_sample",
    ),
];

/// Something else that answers SQL.
pub trait Peer {
    fn name(&self) -> &'static str;
    /// How long a question takes until its last row is read.
    fn ask(&mut self, sql: &str) -> Duration;
    /// What it takes on disk.
    fn bytes(&self) -> u64;
}

/// Where a table lies as a file.
pub fn csv(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.csv"))
}
