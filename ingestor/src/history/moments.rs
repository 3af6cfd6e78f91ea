//! When a host was sampled, as each segment has it. Nearly every question about a host begins with that, so what was read
//! once stays in memory.

use std::{collections::HashMap, mem::size_of, sync::Arc};

use duckdb::{Connection, params};
use fleetps_nats::HostName;
use hashlink::LruCache;
use parking_lot::Mutex;

use super::nearest::Which;
use crate::segment::SegmentName;

/// Moments take at most so much memory: those of 480 days of hosts with a sample every 10 s.
const MAX_BYTES: usize = 128 << 20;

/// When a sample was captured, and what else is asked of it before anything else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// In µs since 1970 UTC, by the host's clock.
    pub(super) captured_us: i64,
    /// In ms since the boot.
    pub(super) monotonic_ms: i64,
    /// The time to the next, as it was set then.
    pub(super) interval_ms: u32,
    /// Whether there is a process table of it.
    pub(super) has_table: bool,
    boot: u32,
}

/// The moments of one host in one segment, by when they were captured.
#[derive(Debug, Default)]
pub(super) struct Moments {
    boots: Vec<String>,
    all: Vec<Moment>,
}

impl Moments {
    /// Reads those of `host` from `host_sample`, a relation.
    pub(super) fn read(connection: &Connection, host_sample: &str, host: &HostName) -> duckdb::Result<Self> {
        let sql = include_str!("moments.sql").replace("$host_sample", host_sample);
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![host.as_str()])?;
        let (mut boots, mut numbers, mut all) = (Vec::new(), HashMap::new(), Vec::new());
        while let Some(row) = rows.next()? {
            let boot_id: String = row.get(2)?;
            let boot = *numbers.entry(boot_id).or_insert_with_key(|boot_id| {
                boots.push(boot_id.clone());
                u32::try_from(boots.len() - 1).unwrap_or(u32::MAX)
            });
            all.push(Moment {
                captured_us: row.get(0)?,
                monotonic_ms: row.get(1)?,
                interval_ms: row.get(3)?,
                has_table: row.get(4)?,
                boot,
            });
        }
        Ok(Self { boots, all })
    }

    /// What they take in memory.
    fn bytes(&self) -> usize {
        let boots: usize = self.boots.iter().map(|boot_id| size_of::<String>() + boot_id.len()).sum();
        size_of::<(SegmentName, HostName)>() + self.all.len() * size_of::<Moment>() + boots
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Moment] {
        &self.all
    }

    /// Those of one boot with a process table, from `first_us` to `last_us`, both included.
    pub(super) fn of_boot(
        &self,
        boot_id: &str,
        first_us: i64,
        last_us: i64,
    ) -> impl Iterator<Item = &Moment> {
        let boot = self.boots.iter().position(|known| known == boot_id);
        let boot = boot.and_then(|place| u32::try_from(place).ok());
        let (_, from_first) =
            self.all.split_at(self.all.partition_point(|moment| moment.captured_us < first_us));
        from_first
            .iter()
            .take_while(move |moment| moment.captured_us <= last_us)
            .filter(move |moment| moment.has_table && Some(moment.boot) == boot)
    }

    /// The last one at `at_us` or before.
    pub(super) fn latest(&self, at_us: i64, which: Which) -> Option<&Moment> {
        let (before, _) = self.all.split_at(self.all.partition_point(|moment| moment.captured_us <= at_us));
        before.iter().rev().find(|moment| which.includes(moment))
    }

    /// The first one after `at_us`.
    pub(super) fn next(&self, at_us: i64, which: Which) -> Option<&Moment> {
        let (_, after) = self.all.split_at(self.all.partition_point(|moment| moment.captured_us <= at_us));
        after.iter().find(|moment| which.includes(moment))
    }
}

/// Moments that were read, as many as fit; what was not used for longest is forgotten.
#[derive(Default)]
pub(super) struct MomentsRead(Mutex<InMemory>);

struct InMemory {
    read: LruCache<(SegmentName, HostName), Arc<Moments>>,
    bytes: usize,
}

impl Default for InMemory {
    fn default() -> Self {
        Self { read: LruCache::new_unbounded(), bytes: 0 }
    }
}

impl MomentsRead {
    /// Those of `host` in a segment; `read` reads them if they are not in memory.
    pub(super) fn get<E>(
        &self,
        segment: SegmentName,
        host: &HostName,
        read: impl FnOnce() -> Result<Moments, E>,
    ) -> Result<Arc<Moments>, E> {
        let key = (segment, host.clone());
        if let Some(moments) = self.0.lock().read.get(&key) {
            return Ok(Arc::clone(moments));
        }
        // Not while it is locked: others may ask about other hosts. Two who ask the same at once read it twice.
        let moments = Arc::new(read()?);
        self.0.lock().keep(key, Arc::clone(&moments));
        Ok(moments)
    }
}

impl InMemory {
    fn keep(&mut self, key: (SegmentName, HostName), moments: Arc<Moments>) {
        self.bytes += moments.bytes();
        let before = self.read.insert(key, moments);
        self.bytes -= before.map_or(0, |before| before.bytes());
        while self.bytes > MAX_BYTES
            && let Some((_, oldest)) = self.read.remove_lru()
        {
            self.bytes -= oldest.bytes();
        }
    }
}
