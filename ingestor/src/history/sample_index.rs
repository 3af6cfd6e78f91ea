//! The samples of one host in one segment: when each was captured, and whether it has a process table. Nearly every
//! question about a host begins with that, so indexes stay in memory once they are read.

use std::{collections::HashMap, mem::size_of};

use arrow::array::{BooleanArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use askama::Template;
use duckdb::{Connection, params};
use fleetps_nats::HostName;

use super::{
    boots::Boots,
    cache::{Bytes, SizedCache},
    columns::{flags, numbers, texts, value},
};
use crate::{segment::SegmentName, template::render};

/// The most memory for sample indexes: for 480 days of hosts with a sample every 10 s.
pub(super) const MAX_BYTES: usize = 128 << 20;
/// A day of a host with a sample every 10 s takes 270 KB.
pub(super) const USUAL_COUNT: usize = 480;

/// Sample indexes that were read.
pub(super) type SampleIndexes = SizedCache<(SegmentName, HostName), SampleIndex>;

/// When a sample was captured, and what else is asked of it before anything else.
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleRef {
    /// In µs since 1970 UTC, by the host's clock.
    pub(super) captured_us: i64,
    /// In ms since the boot.
    pub(super) monotonic_ms: i64,
    /// The time to the next, as it was set then.
    pub(super) interval_ms: u32,
    /// Whether there is a process table of it.
    pub(super) has_table: bool,
    /// The boot's number in the index.
    pub(super) boot: u32,
}

/// Which samples are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleKind {
    /// All.
    Any,
    /// The samples with a process table.
    WithTable,
}

impl SampleKind {
    /// Whether a sample is looked for.
    pub(super) fn includes(self, sample: &SampleRef) -> bool {
        self == Self::Any || sample.has_table
    }
}

/// The samples of one host.
#[derive(Template)]
#[template(path = "history/sample_index.sql")]
struct SampleIndexSql<'a> {
    host_sample: &'a str,
}

/// The samples of one host in one segment, by when they were captured.
#[derive(Debug, Default)]
pub(super) struct SampleIndex {
    boots: Boots,
    all: Vec<SampleRef>,
}

impl SampleIndex {
    /// Reads the samples of `host` from `host_sample`, a relation.
    pub(super) fn read(connection: &Connection, host_sample: &str, host: &HostName) -> duckdb::Result<Self> {
        let sql = render(&SampleIndexSql { host_sample });
        let (mut boots, mut all) = (Boots::default(), Vec::new());
        for batch in connection.prepare_cached(&sql)?.query_arrow(params![host.as_str()])? {
            all.reserve(batch.num_rows());
            let columns = SampleColumns::of(&batch)?;
            all.extend((0..batch.num_rows()).filter_map(|row| columns.sample(row, &mut boots)));
        }
        // Sorted here and not in SQL, which takes longer for nearly sorted rows.
        all.sort_by_key(|sample| sample.captured_us);
        Ok(Self { boots, all })
    }

    /// The boots by their numbers.
    pub(super) fn boots(&self) -> HashMap<u32, &str> {
        self.boots.names()
    }

    /// All of them.
    pub(super) fn all(&self) -> &[SampleRef] {
        &self.all
    }

    /// The samples of one boot with a process table, from `first_us` to `last_us`, both included.
    pub(super) fn of_boot(
        &self,
        boot_id: &str,
        first_us: i64,
        last_us: i64,
    ) -> impl Iterator<Item = &SampleRef> {
        let boot = self.boots.known(boot_id);
        let (_, from_first) =
            self.all.split_at(self.all.partition_point(|sample| sample.captured_us < first_us));
        from_first
            .iter()
            .take_while(move |sample| sample.captured_us <= last_us)
            .filter(move |sample| sample.has_table && Some(sample.boot) == boot)
    }

    /// The last one at `at_us` or before.
    pub(super) fn latest(&self, at_us: i64, which: SampleKind) -> Option<&SampleRef> {
        let (before, _) = self.all.split_at(self.all.partition_point(|sample| sample.captured_us <= at_us));
        before.iter().rev().find(|sample| which.includes(sample))
    }

    /// The first one after `at_us`.
    pub(super) fn next(&self, at_us: i64, which: SampleKind) -> Option<&SampleRef> {
        let (_, after) = self.all.split_at(self.all.partition_point(|sample| sample.captured_us <= at_us));
        after.iter().find(|sample| which.includes(sample))
    }

    /// When the `count`th before `at_us` with a process table was captured, or the first; `at_us` if there is none.
    pub(super) fn tables_before(&self, at_us: i64, count: usize) -> i64 {
        let (before, _) = self.all.split_at(self.all.partition_point(|sample| sample.captured_us < at_us));
        let tables = before.iter().rev().filter(|sample| sample.has_table);
        tables.take(count).last().map_or(at_us, |sample| sample.captured_us)
    }

    /// The same after it, or the last.
    pub(super) fn tables_after(&self, at_us: i64, count: usize) -> i64 {
        let (_, after) = self.all.split_at(self.all.partition_point(|sample| sample.captured_us <= at_us));
        let tables = after.iter().filter(|sample| sample.has_table);
        tables.take(count).last().map_or(at_us, |sample| sample.captured_us)
    }
}

impl Bytes for SampleIndex {
    fn bytes(&self) -> usize {
        size_of::<(SegmentName, HostName)>() + self.all.len() * size_of::<SampleRef>() + self.boots.bytes()
    }
}

/// The columns of `sample_index.sql`.
struct SampleColumns<'a> {
    captured_us: &'a Int64Array,
    monotonic_ms: &'a Int64Array,
    boot_id: &'a StringArray,
    interval_ms: &'a UInt32Array,
    has_processes: &'a BooleanArray,
}

impl<'a> SampleColumns<'a> {
    fn of(batch: &'a RecordBatch) -> duckdb::Result<Self> {
        Ok(Self {
            captured_us: numbers(batch, "captured_us")?,
            monotonic_ms: numbers(batch, "monotonic_ms")?,
            boot_id: texts(batch, "boot_id")?,
            interval_ms: numbers(batch, "interval_ms")?,
            has_processes: flags(batch, "has_processes")?,
        })
    }

    /// The sample in a row; `None` where a value is NULL that never is.
    fn sample(&self, row: usize, boots: &mut Boots) -> Option<SampleRef> {
        Some(SampleRef {
            captured_us: value(self.captured_us, row)?,
            monotonic_ms: value(self.monotonic_ms, row)?,
            interval_ms: value(self.interval_ms, row)?,
            has_table: value(self.has_processes, row)?,
            boot: boots.number(value(self.boot_id, row)?),
        })
    }
}
