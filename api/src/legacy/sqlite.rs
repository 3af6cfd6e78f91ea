//! The databases of the systems 001 and 002, as their back ends wrote them with SQLite.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row, Statement, types::ValueRef};
use sha2::{Digest, Sha256};

use super::{System, time::read_time};

/// Processes taken of one snapshot, as of one that is posted.
const MAX_PROCESSES: usize = fleetps_nats::snapshot::MAX_PROCESSES;
/// Bytes in a mebibyte, in which both keep the memory of processes.
const MIB: f64 = 1_048_576.0;
/// Bytes in a gibibyte, in which 001 keeps sizes of machines.
const GIB: f64 = 1_073_741_824.0;

/// A database cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// SQLite cannot read it.
    #[error("cannot read this as an SQLite database; is it one, and does nothing write it at present?")]
    Sqlite(#[from] rusqlite::Error),
    /// It has other tables.
    #[error(
        "this is the database of neither system 001 (with the table monitor_snapshot) nor 002 (with core_snapshotbatch)"
    )]
    OtherTables,
    /// A time cannot be read.
    #[error("snapshot {id} has the time {text:?}; expected one as in 2025-08-22 10:11:12.123456, in UTC")]
    Time {
        /// The snapshot's number.
        id: i64,
        /// Its time.
        text: String,
    },
}

/// An open database.
pub(super) struct OldDatabase {
    connection: Connection,
    system: System,
}

/// A machine that has snapshots in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OldHost {
    /// Its number.
    pub id: i64,
    /// Its name, as its system answers it.
    pub name: String,
    /// 001: the key that it posts with.
    pub key: Option<String>,
    /// 002: what its agent registered, and its settings.
    pub registered: Option<Registered>,
}

/// A machine of 002, as its agent registered it. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registered {
    /// Its id, 64 hexadecimal digits.
    pub machine_id: String,
    /// When, as text in UTC.
    pub created_at: Option<String>,
    /// The seconds between its posts.
    pub polling_interval: Option<u32>,
    /// Whether it posts.
    pub enabled: Option<bool>,
    /// The operating system.
    pub os_name: Option<String>,
    /// The architecture.
    pub architecture: Option<String>,
    /// The processor.
    pub processor: Option<String>,
    /// Physical cores.
    pub cpu_cores: Option<u32>,
    /// Hardware threads.
    pub cpu_threads: Option<u32>,
    /// Installed memory.
    pub total_ram: Option<u64>,
    /// The root file system.
    pub total_storage: Option<u64>,
}

/// A snapshot in it. What was not kept is absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct OldSnapshot {
    /// Its number, which grows.
    pub id: i64,
    /// The number of its machine.
    pub host_id: i64,
    /// When it was captured (001) or came (002), in µs since 1970 UTC.
    pub captured_at_us: i64,
    /// The operating system.
    pub os: Option<String>,
    /// The processor.
    pub processor: Option<String>,
    /// 002: the architecture.
    pub architecture: Option<String>,
    /// Physical cores.
    pub cores: Option<u32>,
    /// Hardware threads.
    pub threads: Option<u32>,
    /// 001: the frequency.
    pub frequency_mhz: Option<u64>,
    /// Memory and the root file system, in bytes: size, in use, available of each.
    pub sizes: Option<[u64; 6]>,
    /// The processes; those beyond the most that a snapshot has are left out.
    pub processes: Vec<OldProcess>,
    /// How many were left out.
    pub left_out: u32,
}

/// A process of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct OldProcess {
    /// The process id.
    pub pid: u32,
    /// The parent's; 0 for none.
    pub parent_pid: u32,
    /// The name.
    pub name: String,
    /// CPU use in percent of one core.
    pub cpu_percent: Option<f32>,
    /// Resident set.
    pub resident_bytes: Option<u64>,
    /// 001: the command line, where its agent was set to send it.
    pub command_line: Option<String>,
}

impl OldDatabase {
    /// Opens `file`, to read it only.
    ///
    /// # Errors
    /// When it is no database of 001 or 002.
    pub(super) fn open(file: &Path) -> Result<Self, SqliteError> {
        let connection = Connection::open_with_flags(
            file,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        let has = |table: &str| connection.table_exists(None, table);
        let system = if has("monitor_snapshot")? {
            System::S001
        } else if has("core_snapshotbatch")? {
            System::S002
        } else {
            return Err(SqliteError::OtherTables);
        };
        Ok(Self { connection, system })
    }

    /// The system that wrote it.
    pub(super) fn system(&self) -> System {
        self.system
    }

    /// The machines, by number.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn hosts(&self) -> Result<Vec<OldHost>, SqliteError> {
        let sql = match self.system {
            System::S001 => "SELECT id, hostname, api_key FROM monitor_host ORDER BY id",
            _ => {
                "SELECT id, hostname, NULL AS api_key, machine_id, created_at, polling_interval, enabled, os_name, architecture, \
                    processor, cpu_cores, cpu_threads, total_ram, total_storage \
                 FROM core_machine ORDER BY id"
            }
        };
        let host = |row: &Row<'_>| {
            Ok(OldHost {
                id: row.get("id")?,
                name: text(row, "hostname").unwrap_or_default(),
                key: text(row, "api_key"),
                registered: (self.system == System::S002).then(|| registered(row)),
            })
        };
        let mut statement = self.connection.prepare(sql)?;
        let hosts = statement.query_map([], host)?.collect::<Result<Vec<_>, _>>()?;
        Ok(hosts)
    }

    /// Some bits that stay the same while it grows, and the time of its first snapshot in µs since 1970 UTC; `None` where it
    /// has no snapshot.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn origin(&self) -> Result<Option<(u32, i64)>, SqliteError> {
        let mut first = None;
        self.each_snapshot(i64::MIN, |snapshot| {
            first = Some(snapshot);
            Ok::<_, SqliteError>(false)
        })?;
        let Some(first) = first else { return Ok(None) };
        let hosts = self.hosts()?;
        let host = hosts.iter().find(|host| host.id == first.host_id);
        let names = first.processes.iter().map(|process| format!("{} {}", process.pid, process.name));
        let whole = [
            format!("{} {} {}", self.system, first.id, first.captured_at_us),
            host.map(|host| host.name.clone()).unwrap_or_default(),
        ];
        let digest = Sha256::digest(whole.into_iter().chain(names).collect::<Vec<_>>().join("\n"));
        let bits = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        Ok(Some((bits, first.captured_at_us)))
    }

    /// Gives every snapshot above the number `after` to `take`, in the order of their numbers, until that says `false`.
    ///
    /// # Errors
    /// When it cannot be read, or `take` fails.
    pub(super) fn each_snapshot<E: From<SqliteError>>(
        &self,
        after: i64,
        mut take: impl FnMut(OldSnapshot) -> Result<bool, E>,
    ) -> Result<(), E> {
        let (snapshots, processes) = self.statements()?;
        let sqlite = |error: rusqlite::Error| E::from(SqliteError::Sqlite(error));
        let mut snapshots = self.connection.prepare(&snapshots).map_err(sqlite)?;
        let mut processes = self.connection.prepare(processes).map_err(sqlite)?;
        let mut rows = snapshots.query([after]).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let mut snapshot = self.snapshot(row)?;
            (snapshot.processes, snapshot.left_out) =
                of_snapshot(&mut processes, snapshot.id).map_err(sqlite)?;
            if !take(snapshot)? {
                break;
            }
        }
        Ok(())
    }

    /// The questions for the snapshots above a number, and for the processes of one.
    fn statements(&self) -> Result<(String, &'static str), SqliteError> {
        Ok(match self.system {
            // Databases of its first days say nothing about machines.
            System::S001 if self.has_column("monitor_snapshot", "ram_gb")? => (
                "SELECT id, host_id, captured_at, os, processor, NULL AS architecture, cores, threads, cpu_freq_mhz, \
                    ram_gb AS memory_total, used_ram_gb AS memory_used, available_ram_gb AS memory_available, \
                    storage_total_gb AS disk_total, storage_used_gb AS disk_used, storage_free_gb AS disk_available \
                 FROM monitor_snapshot WHERE id > ? ORDER BY id"
                    .to_owned(),
                PROCESSES_001,
            ),
            System::S001 => (
                "SELECT id, host_id, captured_at FROM monitor_snapshot WHERE id > ? ORDER BY id".to_owned(),
                PROCESSES_001,
            ),
            _ => (
                "SELECT b.id AS id, b.machine_id AS host_id, b.timestamp AS captured_at, m.os_name AS os, \
                    m.processor AS processor, m.architecture AS architecture, m.cpu_cores AS cores, \
                    m.cpu_threads AS threads, NULL AS cpu_freq_mhz, s.total_ram AS memory_total, \
                    s.used_ram AS memory_used, s.available_ram AS memory_available, s.total_disk AS disk_total, \
                    s.used_disk AS disk_used, s.available_disk AS disk_available \
                 FROM core_snapshotbatch AS b \
                 JOIN core_machine AS m ON m.id = b.machine_id \
                 LEFT JOIN core_machinesnapshot AS s ON s.batch_id = b.id \
                 WHERE b.id > ? ORDER BY b.id"
                    .to_owned(),
                "SELECT pid, ppid, name, cpu_usage AS cpu_percent, memory_usage AS memory_mb, NULL AS cmdline \
                 FROM core_processsnapshot WHERE batch_id = ? ORDER BY id",
            ),
        })
    }

    fn has_column(&self, table: &str, column: &str) -> Result<bool, SqliteError> {
        Ok(self.connection.column_exists(None, table, column)?)
    }

    fn snapshot(&self, row: &Row<'_>) -> Result<OldSnapshot, SqliteError> {
        let id: i64 = row.get("id")?;
        let said = text(row, "captured_at").unwrap_or_default();
        let captured_at_us = read_time(&said).ok_or(SqliteError::Time { id, text: said })?;
        let unit = match self.system {
            System::S001 => GIB,
            _ => 1.0,
        };
        let sizes: Option<Vec<u64>> =
            SIZES.iter().map(|column| Some(whole(number(row, column)? * unit))).collect();
        Ok(OldSnapshot {
            id,
            host_id: row.get("host_id")?,
            captured_at_us,
            os: text(row, "os"),
            processor: text(row, "processor"),
            architecture: text(row, "architecture"),
            cores: count(row, "cores"),
            threads: count(row, "threads"),
            frequency_mhz: number(row, "cpu_freq_mhz").map(whole),
            sizes: sizes.and_then(|sizes| sizes.try_into().ok()),
            ..OldSnapshot::default()
        })
    }
}

/// The columns of [`OldSnapshot::sizes`].
const SIZES: [&str; 6] =
    ["memory_total", "memory_used", "memory_available", "disk_total", "disk_used", "disk_available"];

const PROCESSES_001: &str = "SELECT pid, ppid, name, cpu_percent, memory_mb, cmdline FROM monitor_process \
     WHERE snapshot_id = ? ORDER BY id";

fn registered(row: &Row<'_>) -> Registered {
    Registered {
        machine_id: text(row, "machine_id").unwrap_or_default(),
        created_at: text(row, "created_at"),
        polling_interval: count(row, "polling_interval"),
        enabled: count(row, "enabled").map(|enabled| enabled != 0),
        os_name: text(row, "os_name"),
        architecture: text(row, "architecture"),
        processor: text(row, "processor"),
        cpu_cores: count(row, "cpu_cores"),
        cpu_threads: count(row, "cpu_threads"),
        total_ram: number(row, "total_ram").map(whole),
        total_storage: number(row, "total_storage").map(whole),
    }
}

/// The processes of one snapshot, and how many were left out.
fn of_snapshot(statement: &mut Statement<'_>, id: i64) -> rusqlite::Result<(Vec<OldProcess>, u32)> {
    let (mut processes, mut left_out) = (Vec::new(), 0);
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        match process(row) {
            Some(process) if processes.len() < MAX_PROCESSES => processes.push(process),
            _ => left_out += 1,
        }
    }
    Ok((processes, left_out))
}

/// A process; `None` where it has no number that a process can have.
fn process(row: &Row<'_>) -> Option<OldProcess> {
    Some(OldProcess {
        pid: count(row, "pid")?,
        parent_pid: count(row, "ppid").unwrap_or_default(),
        name: text(row, "name").unwrap_or_default(),
        #[expect(clippy::cast_possible_truncation, reason = "a percentage is kept to seven digits")]
        cpu_percent: number(row, "cpu_percent").map(|percent| percent as f32),
        resident_bytes: number(row, "memory_mb").map(|mebibytes| whole(mebibytes * MIB)),
        command_line: text(row, "cmdline"),
    })
}

/// A text that says something; `None` also where there is no such column. SQLite keeps anything in any column, also bytes that are no text.
fn text(row: &Row<'_>, column: &str) -> Option<String> {
    let text = match row.get_ref(column).ok()? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Null => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

/// A number that is not negative.
fn number(row: &Row<'_>, column: &str) -> Option<f64> {
    let number = match row.get_ref(column).ok()? {
        #[expect(clippy::cast_precision_loss, reason = "bytes of a machine are far below 2^53")]
        ValueRef::Integer(number) => number as f64,
        ValueRef::Real(number) => number,
        _ => return None,
    };
    Some(number).filter(|number| number.is_finite() && *number >= 0.0)
}

fn count(row: &Row<'_>, column: &str) -> Option<u32> {
    match row.get_ref(column).ok()? {
        ValueRef::Integer(number) => u32::try_from(number).ok(),
        _ => None,
    }
}

/// The nearest whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and what is too large becomes the largest"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
