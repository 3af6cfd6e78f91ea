//! Processes through sysinfo, for the systems that are not Linux. It compiles and is tested on Linux too.

use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use std::time::Duration;

use super::raw::{Details, Facts, ProcessSource, RawProcess, StorageBytes, Wanted};
use fleetps_nats::snapshot::Process;

/// Processes as sysinfo reads them; one `System` for the whole run.
pub(super) struct Sysinfo {
    system: System,
    refresh: ProcessRefreshKind,
}

impl Sysinfo {
    /// A source that reads as little as gives the fields; `None` where sysinfo does not know the system.
    pub(super) fn new() -> Option<Self> {
        let refresh = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .with_disk_usage()
            .with_exe(UpdateKind::OnlyIfNotSet)
            .with_cmd(UpdateKind::OnlyIfNotSet)
            .with_user(UpdateKind::OnlyIfNotSet)
            .without_tasks();
        Some(Self { system: System::new().ok()?, refresh })
    }

    fn process(&self, pid: u32) -> Option<&sysinfo::Process> {
        self.system.process(Pid::from_u32(pid))
    }

    fn facts(&self, pid: u32) -> Facts {
        let Some(process) = self.process(pid) else { return Facts::default() };
        Facts {
            executable: process.exe().map(|path| path.to_string_lossy().into_owned()),
            arguments: Some(process.cmd().iter().map(|text| text.to_string_lossy().into_owned()).collect()),
            user_id: process.user_id().map(|id| id.to_string()),
            figures: Process {
                open_files: process.open_files().and_then(|count| u32::try_from(count).ok()),
                ..Process::default()
            },
            ..Facts::default()
        }
    }

    fn storage(&self, pid: u32) -> Option<StorageBytes> {
        let usage = self.process(pid)?.disk_usage();
        Some(StorageBytes { read: usage.total_read_bytes, written: usage.total_written_bytes })
    }
}

impl ProcessSource for Sysinfo {
    fn read(&mut self, into: &mut Vec<RawProcess>) {
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, self.refresh);
        into.clear();
        // Threads of other processes are listed on Linux when something else made sysinfo see them.
        let processes = self.system.processes().values().filter(|process| process.thread_kind().is_none());
        into.extend(processes.map(|process| RawProcess { process: raw(process), ..RawProcess::default() }));
    }

    fn details(&mut self, wanted: &[Wanted], _: Duration, give: &mut dyn FnMut(Details)) {
        for wanted in wanted {
            let facts = wanted.facts.then(|| self.facts(wanted.pid));
            let storage = wanted.storage.then(|| self.storage(wanted.pid));
            give(Details { pid: wanted.pid, token: wanted.token, facts, storage });
        }
    }
}

fn raw(process: &sysinfo::Process) -> Process {
    Process {
        pid: process.pid().as_u32(),
        parent_pid: process.parent().map(Pid::as_u32),
        started_at_us: i64::try_from(process.start_time()).unwrap_or_default().saturating_mul(1_000_000),
        name: process.name().to_string_lossy().into_owned(),
        state: state_letter(process.status()),
        cpu_time_ms: Some(process.accumulated_cpu_time()),
        resident_bytes: Some(process.memory()),
        virtual_bytes: Some(process.virtual_memory()),
        ..Process::default()
    }
}

fn state_letter(status: ProcessStatus) -> char {
    match status {
        ProcessStatus::Run | ProcessStatus::Waking => 'R',
        ProcessStatus::Sleep | ProcessStatus::LockBlocked | ProcessStatus::Suspended => 'S',
        ProcessStatus::UninterruptibleDiskSleep => 'D',
        ProcessStatus::Idle | ProcessStatus::Parked => 'I',
        ProcessStatus::Stop | ProcessStatus::Tracing => 'T',
        ProcessStatus::Zombie => 'Z',
        ProcessStatus::Dead => 'X',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_itself_is_among_the_processes() {
        let mut source = Sysinfo::new().unwrap();
        let mut processes = Vec::new();
        source.read(&mut processes);
        let own = processes.iter().find(|raw| raw.process.pid == std::process::id()).unwrap();
        let own = &own.process;
        assert!(own.resident_bytes.unwrap() > 0 && own.started_at_us > 0);
        assert!(source.facts(own.pid).executable.unwrap().contains("fleetps"));
    }
}
