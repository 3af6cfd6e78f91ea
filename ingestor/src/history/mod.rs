//! The reader: answers questions about the past from the segments of the catalog.
//!
//! Times are µs since 1970 UTC, by the host's clock (the broker's where that is off, `snapshot::Sent`), kept to the
//! millisecond. What is unknown is absent, never zero.
//! Nothing here writes to the history or needs the ingestor: any number of processes may read at any time.
//!
//! **The path of a question.** [`History`] is one for a whole program. It knows of every current segment which hosts and
//! times it holds, and `refresh` follows the folder. `reading` gives each question the list of segments that is current when
//! it begins, and asks again without a segment that turns out to be damaged, or with the new list where segments were
//! replaced meanwhile. Missing segments are named in every answer (`missing`). A segment is attached to a DuckDB engine
//! (`engine`), read-only, when a question names its rows, and stays so while it is among those that were used last
//! (`attachments`). So memory and open files are bounded, however many segments there are.
//!
//! **Few segments, few queries.** DuckDB plans a query in 1 to 2 ms, even if nothing is found, and longer over many
//! segments. So three layers narrow a question before DuckDB sees it:
//!
//! 1. `host_index` knows of each host which segments hold it, and from when to when. It picks the segments.
//! 2. `sample_index` keeps in memory when each host was sampled. `seek` finds the sample at, before or after a time, in any
//!    segment, by time of capture. Gaps, steps and the clock for rates need nothing else.
//! 3. `read_ahead` rebuilds snapshots of one host from one segment. A request next to the last one is sequential and reads
//!    ahead, so that steps from snapshot to snapshot come from memory.
//!
//! Both caches are bounded in bytes (`cache`) and are the same for every person.
//!
//! **Scope.** A question is answered from the rows of its `scope` (hosts and command lines that a person may see), as if
//! there were no others: `reading` restricts the rows of a table before anything filters, counts or limits them.
//!
//! **One file for each question:** `back_test` (what a rule of alerts would have said), `moment` (a process table), `diff`,
//! `events`, `series`, `figures`, `top`, `search`, `lives`, `peaks`, `identity`, `kept`. Rates, ages and staleness are the
//! rules of `fleetps_nats::model`.

mod attachments;
mod back_test;
mod boots;
mod cache;
mod choosing;
mod columns;
mod diff;
mod engine;
mod events;
mod figures;
mod host_index;
mod identity;
mod kept;
mod listing;
mod lives;
mod missing;
mod moment;
mod peaks;
mod read_ahead;
mod reading;
mod refresh;
mod sample_index;
mod scope;
mod search;
mod seek;
mod series;
mod silence;
mod top;

use std::{path::PathBuf, sync::Arc};

use duckdb::Connection;
use fleetps_nats::HostName;
use parking_lot::{Mutex, RwLock};

pub use crate::events::{Event, EventKind};
pub use back_test::{BackTest, Episode, MAX_EPISODES};
pub use choosing::Holding;
pub use diff::{Changed, Diff, diff};
use engine::Engine;
pub use events::{EventList, EventQuery, sort_events};
pub use figures::{
    Bucket, FigureSeries, Figures, Grid, HeardHost, HostFigure, ProgramFigure, ProgramName, ProgramQuery,
    ProgramReading,
};
use host_index::HostIndex;
pub use identity::Identity;
pub use kept::KeptSince;
pub use listing::Listing;
pub use lives::{ProcessLife, SAME_START_US};
pub use missing::MissingSegment;
pub use moment::{NoSnapshot, PastSnapshot, SealedSnapshot, SnapshotLookup};
pub use peaks::CpuPeak;
use refresh::Following;
pub(crate) use scope::ScopeTables;
pub use scope::{Hosts, Scope};
pub use search::{Found, FoundBy, FoundKey, FoundOrder, MemoryBetween, MemoryRow, Omitted, Searched};
pub use series::{
    Breakdown, BreakdownOf, Extent, HostMetrics, HostPoint, Layer, ProcessMetrics, ProcessPoint,
};
pub use top::{CpuUse, Top, TopBy, TopGroup, TopQuery, TopRow};

use crate::{
    catalog::{SkippedFile, UnreadableSegments, attach_sql},
    query::{Budget, Stopped, TooManyRows},
    segment::{Fault, FolderError, SegmentName, open_engine},
};
pub use crate::{segment::Resolution, time::Span};

/// For all queries over segments together; more is spilled to the system's temporary folder. Enough for what the blocks of
/// a day of 20 hosts take, which then need not be read again.
const MEMORY_MIB: u64 = 1024;

/// The history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The folder cannot be listed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// DuckDB failed.
    #[error("a query over the history failed")]
    Query(#[from] duckdb::Error),
    /// The question was broken off: its deadline came, or its asker is gone.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The question needs more rows at once than its budget has.
    #[error(transparent)]
    TooManyRows(#[from] TooManyRows),
    /// The question needs more segments at once than may be attached.
    #[error(
        "the question needs more than {most} segments at once; ask for a shorter time or fewer hosts, or try again when fewer \
         others ask"
    )]
    TooManySegments {
        /// How many may be attached for all questions.
        most: usize,
    },
    /// A segment that the question needs cannot be read, and others were no better.
    #[error("the segment {segment} is missing: {fault}")]
    Unreadable {
        /// The name of the segment.
        segment: SegmentName,
        /// Why.
        fault: Fault,
    },
    /// The question needs more memory than all questions together may have.
    #[error("the question needs more than {MEMORY_MIB} MiB of memory")]
    OutOfMemory,
    /// The system has no thread for the watchdog.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// The segments of a folder, for any number of questions at a time. One for a whole program: it keeps frequently used segments
/// attached and caches frequent reads. A clone is the same one.
#[derive(Clone)]
pub struct History {
    folder: PathBuf,
    state: Arc<RwLock<Arc<State>>>,
    /// How far the folder was followed; held while another state is made.
    following: Arc<Mutex<Following>>,
    scope: Arc<Scope>,
    budget: Budget,
}

/// The segments at some time; never changed, only replaced.
#[derive(Clone)]
struct State {
    engine: Arc<Engine>,
    /// The segments, and which hosts are in them.
    index: HostIndex,
    /// The quarantined segments that no other one replaces.
    damaged: Vec<SegmentName>,
    /// Segments of a newer version, and anything that is not a regular file.
    skipped: Vec<SkippedFile>,
    /// The segments that should be in the index and cannot be read.
    unreadable: UnreadableSegments,
}

impl History {
    /// The same history, answering only from the rows in `scope`. The caller refuses questions about one host outside
    /// it: whether and when a host was heard of is known without its rows.
    pub fn within(&self, scope: Arc<Scope>) -> Self {
        Self { scope, ..self.clone() }
    }

    /// The same history, answering within `budget`, which is of one request: every question begins it or goes on with it.
    /// Without one, questions take what they take.
    pub fn within_budget(&self, budget: Budget) -> Self {
        Self { budget, ..self.clone() }
    }

    /// Since when the past is kept at which resolution.
    pub fn kept(&self) -> KeptSince {
        let kept = self.state().index.kept();
        // A host whose clock is ahead has samples of times that are not reached.
        KeptSince { last_us: kept.last_us.map(|last_us| last_us.min(fleetps_nats::now_us())), ..kept }
    }

    /// When the last snapshot of `host` that is in a segment was captured.
    pub fn last_us(&self, host: &HostName) -> Option<i64> {
        self.state().index.last_us(host)
    }

    /// What is kept between questions: the name of the gauge, how much is in use, and the bound.
    pub fn caches(&self) -> [(&'static str, u64, u64); 3] {
        let engine = &self.state().engine;
        let of = |name, (bytes, bound)| (name, bytes, bound);
        let attached = &engine.attachments;
        [
            of("attached-segments", (attached.len() as u64, attached.bounds.most as u64)),
            of("sample-index-bytes", engine.sample_indexes.bytes()),
            of("read-ahead-bytes", engine.windows.bytes()),
        ]
    }

    /// The segments that cannot be read, in the order of time. Every page and answer about the past says so when there
    /// are any.
    pub fn missing_segments(&self) -> Vec<MissingSegment> {
        let mut all: Vec<_> = self.state().missing().collect();
        all.sort_unstable_by_key(|segment| segment.span.from_us);
        all
    }

    /// A database for SQL of one's own, over everything, with what `attach.sql` makes: a view per table over the segments
    /// that are readable now.
    ///
    /// # Errors
    /// When a segment is gone since, or DuckDB cannot start.
    pub fn database(&self) -> Result<Connection, HistoryError> {
        let names: Vec<_> = self.state().index.segments().iter().map(|segment| segment.name).collect();
        let connection = open_engine(MEMORY_MIB, 1, Some(&std::env::temp_dir()))?;
        connection.execute_batch(&attach_sql(&self.folder, &names))?;
        Ok(connection)
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read())
    }
}
