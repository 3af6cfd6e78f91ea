//! The fields of a process.

use super::{
    Field, PageColumn, Rate, Unit,
    field::Scale::{Ascii, Tenths, UnitsOf},
    record::record,
};

/// The units in which Linux counts: ticks of CPU time, pages of memory, sectors of disks. What another system counts more
/// finely is cut down to them.
const TICK_MS: u32 = 10;
const PAGE_BYTES: u32 = 4096;
const SECTOR_BYTES: u32 = 512;

record! {
    /// One process. Its identity is (host, boot id, pid, start time); a pid alone is none.
    #[derive(Debug, Clone, PartialEq, Default)]
    Process, PROCESS columns from pid {
        /// Process id.
        pid: u32 => Field::fact(Unit::Count, "UINTEGER").identity().filter("pid").heading("PID")
            .page(PageColumn::new(20, "pid", "PID", "PID").by_default());
        /// Parent's process id; `None` for the first process and orphans of the kernel.
        parent_pid: Option<u32> => Field::fact(Unit::Count, "UINTEGER").filter("parent").heading("PPID")
            .page(PageColumn::new(30, "parent", "Parent", "Parent PID"));
        /// When it started, in µs since 1970 UTC; the same value in every snapshot of this boot.
        started_at_us: i64 => Field::time("started_at").identity().heading("AGE")
            .page(PageColumn::new(120, "age", "Age", "Age").by_default());
        /// Name, as the kernel has it.
        name: String => Field::text().filter("name").heading("NAME")
            .page(PageColumn::new(10, "name", "Process", "Process").by_default());
        /// Path of the executable.
        executable: Option<String> => Field::text().on_request().heading("EXECUTABLE")
            .page(PageColumn::new(160, "executable", "Executable", "Executable"));
        /// Command line, arguments joined by spaces, scrubbed on the host; absent when withheld.
        command_line: Option<String> => Field::text().filter("cmd").heading("COMMAND")
            .page(PageColumn::new(170, "command", "Command", "Command line").by_default());
        /// User's name, or the id where there is none.
        user_name: Option<String> => Field::text().filter("user").heading("USER")
            .page(PageColumn::new(40, "user", "User", "User").by_default());
        /// State as `ps` letters: R running, S sleeping, D waiting for disk, I idle, T stopped, Z zombie, X dead, ? unknown.
        state: char => Field::letter().stored("state_code", "UTINYINT", Ascii).filter("state").heading("S")
            .page(PageColumn::new(110, "state", "St", "State").by_default());
        /// Threads.
        threads: Option<u32> => Field::level(Unit::Count, "UINTEGER").filter("threads").heading("THREADS")
            .page(PageColumn::new(100, "threads", "Thr", "Threads").by_default().adds_up());
        /// CPU use over the last interval, in percent of one core, as in `top`. A tenth is a tick in 10 s; the rest is noise,
        /// which would take bytes to keep.
        cpu_percent: Option<f32> => Field::level(Unit::Percent, "FLOAT").stored("cpu_tenths", "UINTEGER", Tenths)
            .filter("cpu").heading("%CPU")
            .page(PageColumn::new(50, "cpu", "CPU", "CPU").by_default().adds_up());
        /// CPU time, in ms (counter).
        cpu_time_ms: Option<u64> => Field::counter(Unit::Milliseconds).stored("cpu_ticks", "BIGINT", UnitsOf(TICK_MS))
            .heading("TIME").page(PageColumn::new(130, "cputime", "CPU time", "CPU time").adds_up());
        /// Resident set. Stored in 32 bits: there is no machine with 16 TiB yet.
        resident_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT")
            .stored("resident_pages", "UINTEGER", UnitsOf(PAGE_BYTES)).filter("mem").heading("RSS")
            .page(PageColumn::new(60, "memory", "Memory", "Memory (resident)").by_default().adds_up());
        /// Virtual size.
        virtual_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT")
            .stored("virtual_pages", "BIGINT", UnitsOf(PAGE_BYTES)).heading("VSZ")
            .page(PageColumn::new(70, "virtual", "Virtual", "Virtual size"));
        /// Bytes read from storage (counter).
        read_bytes: Option<u64> => Field::counter(Unit::Bytes).stored("read_sectors", "BIGINT", UnitsOf(SECTOR_BYTES))
            .heading("READ").rate(Rate::new("read_bytes_per_s", "read_per_s").filter("read").heading("READ/S")
                .page(PageColumn::new(80, "read", "Read", "Read per second").by_default().adds_up()));
        /// Bytes written to storage (counter).
        written_bytes: Option<u64> => Field::counter(Unit::Bytes)
            .stored("written_sectors", "BIGINT", UnitsOf(SECTOR_BYTES)).heading("WRITTEN")
            .rate(Rate::new("written_bytes_per_s", "written_per_s").filter("written").heading("WRITTEN/S")
                .page(PageColumn::new(90, "written", "Write", "Written per second").by_default().adds_up()));
        /// systemd unit, as in "nginx.service".
        unit: Option<String> => Field::text().filter("unit").on_request().heading("UNIT")
            .page(PageColumn::new(140, "unit", "Unit", "systemd unit"));
        /// Container id, the first 12 hexadecimal digits.
        container: Option<String> => Field::text().filter("container").on_request().heading("CONTAINER")
            .page(PageColumn::new(150, "container", "Container", "Container"));
    }
}
