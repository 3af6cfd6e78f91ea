//! The statements of a merge as templates.

use askama::Template;
use fleetps_nats::model::{host, sums};

use crate::{fields, segment};

/// What the new file is attached as.
pub(super) const CATALOG: &str = "merging";

/// Copies what every form of a segment keeps of hosts.
#[derive(Template)]
#[template(path = "compaction/sql/hosts.sql")]
pub(super) struct HostsSql;

/// Copies every snapshot, without processes.
#[derive(Template)]
#[template(path = "compaction/sql/snapshots.sql")]
pub(super) struct SnapshotsSql;

/// Copies every snapshot; those outside the table `kept` lose their processes, file systems and interfaces.
#[derive(Template)]
#[template(path = "compaction/sql/snapshots_of_minutes.sql")]
pub(super) struct SnapshotsOfMinutesSql;

/// Copies the snapshots in the table `kept`, which lose their processes.
#[derive(Template)]
#[template(path = "compaction/sql/snapshots_of_hours.sql")]
pub(super) struct SnapshotsOfHoursSql;

/// Makes the table `kept` where some hosts take more than their share.
#[derive(Template)]
#[template(path = "compaction/sql/kept_beyond_share.sql")]
pub(super) struct KeptBeyondShareSql {
    /// The hosts beyond their share, as a list of quoted names.
    pub(super) hosts: String,
    /// Whether they keep the last snapshot of every minute, or none.
    pub(super) keeps_minutes: bool,
}

/// Makes the tables `captures` and `interleaved`.
#[derive(Template)]
#[template(path = "compaction/sql/captures.sql")]
pub(super) struct CapturesSql<'a> {
    /// The condition of a snapshot (host, captured_at) that keeps its processes.
    pub(super) is_kept: &'a str,
}

/// Makes the view `source_span` where hosts are interleaved.
#[derive(Template)]
#[template(path = "compaction/sql/source_span.sql")]
pub(super) struct SourceSpanSql;

/// Makes the table `facts`, empty.
#[derive(Template)]
#[template(path = "compaction/sql/facts.sql")]
pub(super) struct FactsSql;

/// Fills the table `facts` with the processes of a chunk.
#[derive(Template)]
#[template(path = "compaction/sql/processes.sql")]
pub(super) struct ProcessesSql;

impl ProcessesSql {
    /// The facts, where all rows of a group have the same.
    fn any_facts() -> String {
        let any = fields::facts().map(|field| format!("any_value({0})", field.column));
        any.collect::<Vec<_>>().join(", ")
    }
}

/// Copies the processes in the table `facts`, and empties it.
#[derive(Template)]
#[template(path = "compaction/sql/facts_of_chunk.sql")]
pub(super) struct FactsOfChunkSql;

/// Copies the hourly sums of a chunk.
#[derive(Template)]
#[template(path = "compaction/sql/hours.sql")]
pub(super) struct HoursSql {
    /// Whether the table `change` has rows.
    pub(super) has_changes: bool,
}

/// Sums up the spans of a chunk by the hour.
#[derive(Template)]
#[template(path = "compaction/sql/hours_of_spans.sql")]
pub(super) struct HoursOfSpansSql {
    /// Whether the table `change` has rows.
    pub(super) has_changes: bool,
}

impl HoursOfSpansSql {
    /// What of a resident set may be shared.
    fn shared() -> String {
        sums::sql_shared("resident_bytes", "shared_bytes")
    }
}

/// Copies the spans of a chunk.
#[derive(Template)]
#[template(path = "compaction/sql/spans.sql")]
pub(super) struct SpansSql;
