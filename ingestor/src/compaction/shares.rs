//! A host above its share of the history loses detail before any other host does.
//!
//! Where all segments together take more than the limit, hosts that take far more than an equal part of it are looked for.
//! Less and less is kept of these alone, segment by segment from the oldest: one snapshot a minute, then sums, then nothing.
//! What others leave of their shares is lent to them: nothing is done while everything fits, or where no host takes much
//! more than the others. How much a host takes of a segment is reckoned by its rows.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::Path,
    time::{Duration, Instant},
};

use askama::Template;
use fleetps_nats::{HostName, error_chain};

use super::{
    plan::{Limits, Plan, next_merge},
    stored::StoredTimes,
};
use crate::{
    catalog::SegmentMeta,
    catalog::{Rows, attach_one, relation},
    segment::{Level, SegmentName, open_engine},
    settings::IngestorSettings,
    template::render,
};

/// For counting the rows of a segment.
const MEMORY_MIB: u64 = 256;
/// Hosts counted apart in a segment: those with the most rows. A host that is never among them takes little.
const MAX_HOSTS: usize = 100;
/// A host has to take this much more than an equal part of the limit, or it would be about one more among equals.
const TIMES_EQUAL: f64 = 1.5;
/// A segment is not written again for less than this part of it.
const WORTH_WRITING: f64 = 0.02;
/// This many fresh segments are merged early, so that they can be trimmed.
const MERGE_FRESH: usize = 2;
/// How long a host is reported after it was trimmed: until a person looks.
const SAID_FOR: Duration = Duration::from_secs(24 * 3600);
/// Hosts trimmed in one step: a fleet has few outliers.
const MAX_BEYOND: usize = 20;

/// How much is kept of hosts that are beyond their share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Keep {
    /// The processes of one snapshot a minute.
    Minutes,
    /// No processes, only their sums.
    Sums,
    /// Nothing.
    Nothing,
}

const KEEPS: [Keep; 3] = [Keep::Minutes, Keep::Sums, Keep::Nothing];

/// A step that makes room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ShareStep {
    /// Keep less of some hosts.
    Trim(Trim),
    /// Merge fresh segments, so that they can be trimmed.
    Merge(Plan),
}

/// A segment to write again with less of some hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trim {
    pub(super) source: SegmentMeta,
    pub(super) hosts: Vec<HostName>,
    pub(super) keep: Keep,
}

/// A host that takes more than its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beyond {
    pub(super) host: HostName,
    bytes: u64,
    share_bytes: u64,
}

impl fmt::Display for Beyond {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, bytes, share_bytes } = self;
        let mib = |bytes: &u64| bytes >> 20;
        write!(
            formatter,
            "{host} takes {} MiB of the history, beyond its share of {} MiB: less is kept of it, and not of the others",
            mib(bytes),
            mib(share_bytes)
        )
    }
}

/// The hosts' parts of the history, as far as they are counted.
#[derive(Debug, Default)]
pub(super) struct Shares {
    by_segment: HashMap<SegmentName, Taken>,
    /// Trims that were tried; those without effect are not repeated.
    tried: HashSet<(SegmentName, Keep)>,
    beyond: Vec<Beyond>,
    /// When these were found last.
    reckoned: Option<Instant>,
}

/// The hosts' parts of one segment.
#[derive(Debug, Clone, Default)]
struct Taken {
    /// The largest parts, in bytes.
    most: Vec<(HostName, u64)>,
    /// How many hosts there are, if its shard has its part of them.
    hosts: usize,
}

impl Shares {
    /// The step that makes room at the cost of hosts above their share of the limit; nothing where everything fits, or
    /// where these hosts have no more to give. Segments that are not counted yet are read for it; fresh ones among the
    /// `mergeable` may be merged for it.
    pub(super) fn next_task(
        &mut self,
        folder: &Path,
        segments: &[SegmentMeta],
        mergeable: &[SegmentMeta],
        settings: &IngestorSettings,
    ) -> Option<ShareStep> {
        let limit = settings.max_history_bytes;
        let total: u64 = segments.iter().map(|segment| segment.bytes).sum();
        if total <= limit {
            if self.reckoned.is_some_and(|reckoned| reckoned.elapsed() > SAID_FOR) {
                self.beyond.clear();
            }
            return None;
        }
        self.reckon(folder, segments);
        (self.beyond, self.reckoned) = (beyond(self.by_segment.values(), limit), Some(Instant::now()));
        if self.beyond.is_empty() {
            return None;
        }
        // Fresh segments are merged before they can be trimmed.
        let limits = Limits { fresh_count: MERGE_FRESH, ..Limits::from(settings) };
        let merge = || Some(ShareStep::Merge(next_merge(mergeable, i64::MIN, limits)?));
        self.next_trim(segments).map(ShareStep::Trim).or_else(merge)
    }

    /// The hosts above their share, in words.
    pub(super) fn said(&self) -> Vec<String> {
        self.beyond.iter().map(Beyond::to_string).collect()
    }

    fn reckon(&mut self, folder: &Path, segments: &[SegmentMeta]) {
        let names: HashSet<SegmentName> = segments.iter().map(|segment| segment.name).collect();
        self.by_segment.retain(|name, _| names.contains(name));
        self.tried.retain(|(name, _)| names.contains(name));
        for segment in segments {
            if self.by_segment.contains_key(&segment.name) {
                continue;
            }
            match reckon(folder, segment) {
                Ok(taken) => drop(self.by_segment.insert(segment.name, taken)),
                // Tried again at the next look.
                Err(error) => {
                    tracing::warn!(segment = %segment.name, "cannot be reckoned: {}", error_chain(&error));
                }
            }
        }
    }

    /// The next segment to trim, and how: the oldest one of which these hosts take enough.
    fn next_trim(&mut self, segments: &[SegmentMeta]) -> Option<Trim> {
        let stored = StoredTimes::of(segments);
        let mut oldest_first: Vec<&SegmentMeta> = segments.iter().collect();
        oldest_first.sort_by_key(|segment| stored.first_s(segment));
        for keep in KEEPS {
            for segment in &oldest_first {
                let hosts = self.worth_trimming(segment);
                if has_more_than(segment.name.level, keep)
                    && !hosts.is_empty()
                    && self.tried.insert((segment.name, keep))
                {
                    self.pass_on_tried(&segment.name);
                    return Some(Trim { source: **segment, hosts, keep });
                }
            }
        }
        None
    }

    /// Marks trims that were tried with a segment as tried with its replacement.
    fn pass_on_tried(&mut self, name: &SegmentName) {
        let tried = KEEPS.into_iter().filter(|keep| self.tried.contains(&(*name, *keep)));
        let tried: Vec<_> = tried.map(|keep| (name.written_again(), keep)).collect();
        self.tried.extend(tried);
    }

    /// The hosts that take enough of a segment.
    fn worth_trimming(&self, segment: &SegmentMeta) -> Vec<HostName> {
        let Some(taken) = self.by_segment.get(&segment.name) else { return Vec::new() };
        let is_worth = |bytes: u64| bytes as f64 >= WORTH_WRITING * segment.bytes as f64;
        let of_them = taken.most.iter().filter(|(host, bytes)| {
            is_worth(*bytes) && self.beyond.iter().any(|beyond| beyond.host == *host)
        });
        of_them.map(|(host, _)| host.clone()).collect()
    }
}

/// Whether a segment of a level has more of a host than would be kept.
fn has_more_than(level: Level, keep: Keep) -> bool {
    match level {
        Level::Fresh => false,
        Level::Hour | Level::Day => true,
        Level::Minute => keep != Keep::Minutes,
        Level::Rollup => keep == Keep::Nothing,
    }
}

fn beyond<'a>(segments: impl Iterator<Item = &'a Taken>, limit: u64) -> Vec<Beyond> {
    let (mut bytes, mut hosts): (HashMap<&HostName, u64>, usize) = (HashMap::new(), 0);
    for taken in segments {
        hosts = hosts.max(taken.hosts);
        for (host, taken_bytes) in &taken.most {
            *bytes.entry(host).or_default() += taken_bytes;
        }
    }
    if hosts.max(bytes.len()) < 2 {
        return Vec::new();
    }
    let share_bytes = limit / u64::try_from(hosts.max(bytes.len()).max(1)).unwrap_or(u64::MAX);
    let is_beyond = |(_, bytes): &(&HostName, u64)| *bytes as f64 > TIMES_EQUAL * share_bytes as f64;
    let mut beyond: Vec<Beyond> = bytes
        .into_iter()
        .filter(is_beyond)
        .map(|(host, bytes)| Beyond { host: host.clone(), bytes, share_bytes })
        .collect();
    beyond.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.host.cmp(&b.host)));
    beyond.truncate(MAX_BEYOND);
    beyond
}

/// The number of rows of each host in a segment, from these tables of it.
#[derive(Template)]
#[template(path = "compaction/sql/taken.sql")]
struct TakenSql {
    span: String,
    hour: String,
    process: String,
    sample: String,
}

/// What the hosts take of a segment, by their rows.
fn reckon(folder: &Path, segment: &SegmentMeta) -> duckdb::Result<Taken> {
    let engine = open_engine(MEMORY_MIB, 1, None)?;
    engine.execute_batch(&attach_one(folder, &segment.name))?;
    let rows = |table| relation(Rows::Of(table), [&segment.name]);
    let sql = TakenSql {
        span: rows("process_span"),
        hour: rows("process_hour"),
        process: rows("process_history"),
        sample: rows("host_sample"),
    };
    let mut statement = engine.prepare(&render(&sql))?;
    let found =
        statement.query_map([], |row| Ok((row.get::<_, String>("host")?, row.get::<_, u64>("rows")?)))?;
    let found = found.collect::<duckdb::Result<Vec<_>>>()?;
    let all: u64 = found.iter().map(|(_, rows)| rows).sum();
    let bytes = |rows: u64| (rows as f64 / all.max(1) as f64 * segment.bytes as f64) as u64;
    let most = found.iter().take(MAX_HOSTS);
    let most = most.filter_map(|(host, rows)| Some((host.parse().ok()?, bytes(*rows)))).collect();
    Ok(Taken { most, hosts: found.len() * usize::from(segment.name.shard.count()) })
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
