//! The fields of a process.

use super::{
    Field, PageColumn, Rate, Unit,
    field::Scale::{Ascii, Tenths, UnitsOf},
    places::{Selection, count, places},
    record::record,
};

/// The units in which Linux counts: ticks of CPU time, pages of memory, sectors of disks. What another system counts more
/// finely is cut down to them.
const TICK_MS: u32 = 10;
/// Starts are counted in the same ticks, on every architecture that Rust's standard library runs on.
pub const TICK_US: u64 = TICK_MS as u64 * 1000;
const PAGE_BYTES: u32 = 4096;
const SECTOR_BYTES: u32 = 512;
/// Shared memory is stored in whole MiB: a few pages more or less, which come and go all the time, start no new span.
const MIB: u32 = 1 << 20;

record! {
    /// One process. Its identity is (host, boot id, pid, start ticks); a pid alone is none.
    #[derive(Debug, Clone, PartialEq, Default)]
    Process, PROCESS columns from pid {
        /// Process id.
        pid: u32 => Field::fact(Unit::Count, "UINTEGER").identity().filter("pid").heading("PID")
            .page(PageColumn::new(20, "pid", "PID", "PID").by_default());
        /// Parent's process id; `None` for the first process and orphans of the kernel.
        parent_pid: Option<u32> => Field::fact(Unit::Count, "UINTEGER").filter("parent").heading("PPID")
            .page(PageColumn::new(30, "parent", "Parent", "Parent PID"));
        /// When it started, exactly as the system counts it: ticks of 10 ms since the boot on Linux. No clock moves it.
        /// Absent on systems that keep the time itself. [`Process::key`] is the identity on all.
        start_ticks: Option<u64> => Field::fact(Unit::Count, "BIGINT").identity().since(7).on_request();
        /// When it started by the host's clock, in µs since 1970 UTC: derived from the ticks, and corrected when the clock is.
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
        /// Effective user's name, as the host's `getent` has it, or the id where there is none.
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
        /// The host's systemd unit, as in "nginx.service"; absent inside a container or another pid namespace.
        unit: Option<String> => Field::text().filter("unit").on_request().heading("UNIT")
            .page(PageColumn::new(140, "unit", "Unit", "systemd unit"));
        /// Container that it runs in, or whose monitor it is: the first 12 hexadecimal digits of its id, or its name where the
        /// runtime goes by names (LXC, systemd-nspawn).
        container: Option<String> => Field::text().filter("container").on_request().heading("CONTAINER")
            .page(PageColumn::new(150, "container", "Container", "Container"));
        /// Nice value, from -20 (first) to 19 (last).
        nice: Option<i8> => Field::level(Unit::Count, "TINYINT").since(5).filter("nice").heading("NI")
            .page(PageColumn::new(105, "nice", "Nice", "Nice value"));
        /// Times that its main thread gave up the processor of its own accord, as when it waits (counter). Up to a minute old,
        /// so it has no rate: between two snapshots it mostly stands still, and then a minute's growth comes at once. The
        /// history keeps whole hundreds: a daemon that only waits would start a new span each minute otherwise.
        voluntary_switches: Option<u64> => Field::counter(Unit::Count).since(5)
            .stored("switch_hundreds", "BIGINT", UnitsOf(100)).filter("switches").heading("VCSW")
            .page(PageColumn::new(135, "switches", "Switches", "Voluntary context switches of the main thread"));
        /// Open file descriptors, up to a minute old. Before Linux 6.2 absent for processes of other users unless the agent may
        /// look at them.
        open_files: Option<u32> => Field::level(Unit::Count, "UINTEGER").since(5).filter("files").heading("FILES")
            .page(PageColumn::new(136, "files", "Files", "Open files"));
        /// Kubernetes pod's uid, as in "b4f3dfaf-f987-499d-a04c-2c60eb01958c".
        pod: Option<String> => Field::text().since(7).filter("pod").on_request().heading("POD")
            .page(PageColumn::new(155, "pod", "Pod", "Kubernetes pod"));
        /// Whether the executable was deleted or replaced since the process started it; absent where it cannot be read.
        executable_deleted: Option<bool> => Field::flag().since(7).filter("deleted").on_request().heading("DELETED")
            .page(PageColumn::new(165, "deleted", "Deleted", "Executable deleted or replaced"));
        /// CPU time of children that ended and that it waited for, in ms, without the part that rows of these children have
        /// shown before: what came to light since the snapshot before. So the sum of this over all snapshots, and of what CPU
        /// times grew by, is the machine's, short lives included. No counter: the agent works it out anew when it starts.
        ended_children_cpu_ms: Option<u64> => Field::level(Unit::Milliseconds, "BIGINT").since(7)
            .stored("ended_children_ticks", "UINTEGER", UnitsOf(TICK_MS)).heading("CTIME")
            .page(PageColumn::new(132, "childrencpu", "Ended", "CPU time of ended children").adds_up());
        /// The part of the resident set that other processes may share: mapped files and shared memory. Up to a minute old.
        shared_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT").since(7)
            .stored("shared_mib", "UINTEGER", UnitsOf(MIB)).filter("shared").heading("SHR")
            .page(PageColumn::new(65, "shared", "Shared", "Memory shared with others"));
        /// Its part of the machine's memory in percent, as the sender says it. Only from agents that send neither bytes nor the
        /// size of that memory. The history keeps tenths.
        sent_memory_percent: Option<f32> => Field::level(Unit::Percent, "FLOAT").since(8)
            .stored("sent_memory_tenths", "UINTEGER", Tenths).on_request().heading("%MEM")
            .page(PageColumn::new(67, "sentmemory", "Memory %", "Memory in percent, as sent"));
    }
}

/// The places in [`PROCESS`] of what changes rarely.
pub const FACTS: [usize; count(&PROCESS, Selection::Facts)] = places(&PROCESS, Selection::Facts);
/// The places in [`PROCESS`] of what changes often.
pub const FIGURES: [usize; count(&PROCESS, Selection::Figures)] = places(&PROCESS, Selection::Figures);
/// The places in [`PROCESS`] of the figures that go up and down. CPU percent is not among them: over time, it is the growth
/// of CPU time.
pub const LEVELS: [usize; count(&PROCESS, Selection::Levels)] = places(&PROCESS, Selection::Levels);
/// The places in [`PROCESS`] of the figures that only grow.
pub const COUNTERS: [usize; count(&PROCESS, Selection::Counters)] = places(&PROCESS, Selection::Counters);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn no_two_fields_share_a_name_that_people_use() {
        let unique = |what: &str, mut names: Vec<String>| {
            names.sort();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{what}");
        };
        let rates = || PROCESS.iter().filter_map(|field| field.rate);
        let pages = PROCESS.iter().filter_map(|field| field.page).chain(rates().filter_map(|rate| rate.page));
        let pages: Vec<PageColumn> = pages.collect();
        unique("columns", PROCESS.iter().map(|field| field.column.to_owned()).collect());
        unique("stored columns", PROCESS.iter().map(|field| field.stored.column.to_owned()).collect());
        unique("page columns", pages.iter().map(|page| page.id.to_owned()).collect());
        unique("places in pages", pages.iter().map(|page| page.place.to_string()).collect());
        let words = PROCESS.iter().filter_map(|field| field.filter_word);
        let words = words.chain(rates().filter_map(|rate| rate.filter_word));
        unique("filter words", words.map(str::to_owned).collect());
    }

    /// A field without `since` counts as one of the first version, so that segments which lack it could not be read.
    #[test]
    fn fields_that_are_not_of_the_first_version_say_since_when_they_are() {
        let first: Vec<_> = PROCESS.iter().filter(|field| field.since == 1).map(|field| field.name).collect();
        let expected = [
            "pid",
            "parent_pid",
            "started_at_us",
            "name",
            "executable",
            "command_line",
            "user_name",
            "state",
            "threads",
            "cpu_percent",
            "cpu_time_ms",
            "resident_bytes",
            "virtual_bytes",
            "read_bytes",
            "written_bytes",
            "unit",
            "container",
        ];
        assert_eq!(first, expected, "a new field needs `.since(…)`: the schema version after the latest");
    }

    #[test]
    fn only_counters_have_rates() {
        for field in PROCESS.iter().filter(|field| field.rate.is_some()) {
            assert_eq!(field.kind, Kind::Counter, "{}", field.name);
        }
    }
}
