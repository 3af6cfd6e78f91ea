//! Everything that is bounded has a gauge, or a reason why it needs none: each place in the source is in a table here.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The gauges of a pipeline in one process, with their limits where these are the same everywhere.
pub const GAUGES: [(&str, Option<f64>); 43] = [
    ("connections", None),
    ("connections-not-signed-in", None),
    ("live-pages", None),
    ("fleet-searches", Some(2.0)),
    ("fleet-searches-waiting", Some(16.0)),
    ("filters", None),
    ("filters-waiting", None),
    ("questions", Some(4.0)),
    ("questions-waiting", Some(256.0)),
    ("attached-segments", None),
    ("sample-index-bytes", Some(134_217_728.0)),
    ("read-ahead-bytes", Some(67_108_864.0)),
    ("sql-questions", Some(1.0)),
    ("sql-questions-waiting", Some(32.0)),
    ("audit-searches", Some(2.0)),
    ("audit-searches-waiting", Some(16.0)),
    ("audit-entries-waiting", Some(2_000.0)),
    ("work-over-the-fleet", None),
    ("scopes", Some(256.0)),
    ("latest-events-bytes", Some(67_108_864.0)),
    ("event-log-bytes", Some(67_108_864.0)),
    ("alert-changes", Some(50_000.0)),
    ("alerts-to-dispatch", Some(1_000.0)),
    ("alerts-to-escalate", Some(10_000.0)),
    ("http-posts", Some(256.0)),
    ("http-lines", Some(4_096.0)),
    ("websockets", None),
    ("websocket-large-messages", Some(8.0)),
    ("websocket-large-messages-waiting", Some(2_000.0)),
    ("websocket-replays", Some(4.0)),
    ("websocket-replays-waiting", Some(2_000.0)),
    ("commands", Some(1_000.0)),
    ("ingest-deliveries", Some(64.0)),
    ("ingest-dead-letters", Some(256.0)),
    ("ingest-events-to-publish", Some(10_000.0)),
    ("ingest-alert-deliveries", Some(64.0)),
    ("ingest-alert-changes", Some(1_000.0)),
    ("ingest-rows", Some(16.0)),
    ("ingest-events", Some(16.0)),
    ("admission-answers", Some(64.0)),
    ("admission-hellos", Some(64.0)),
    ("admission-enrolments", Some(64.0)),
    ("admission-endings", Some(8.0)),
];

/// Where something is bounded: the file, how many of them are there, and the gauges, or why there is none.
const PLACES: &[(&str, usize, &str)] = &[
    ("api/src/audit_log/mod.rs", 1, "audit-searches, audit-searches-waiting"),
    ("api/src/audit_log/writer.rs", 2, "audit-entries-waiting, which is the smaller bound"),
    ("api/src/auth/password.rs", 1, "password-checks, password-checks-waiting; only where people sign in"),
    ("api/src/command/room.rs", 1, "commands"),
    ("api/src/console/mod.rs", 1, "sql-questions, sql-questions-waiting"),
    ("api/src/filtering.rs", 1, "filters, filters-waiting"),
    ("api/src/fleet_views.rs", 1, "work-over-the-fleet"),
    ("api/src/gate/decoders.rs", 1, "none: what is decoded is among http-posts"),
    ("api/src/gate/mod.rs", 1, "http-posts"),
    ("api/src/history_service.rs", 1, "questions, questions-waiting"),
    ("api/src/legacy/body.rs", 1, "none: the bodies of posts that are among http-posts"),
    ("api/src/legacy/intake.rs", 1, "none: what is made of posts that are among http-posts"),
    (
        "api/src/legacy/mod.rs",
        1,
        "none: the long answers of older systems, two at once, are refused with a reason that fleetps_legacy_requests counts",
    ),
    (
        "api/src/legacy/push.rs",
        1,
        "none: the pages of older systems, 128 at once, have a listener of their own",
    ),
    (
        "api/src/sockets.rs",
        3,
        "websockets; websocket-large-messages, websocket-large-messages-waiting; websocket-replays, websocket-replays-waiting",
    ),
    ("api/src/state.rs", 2, "live-pages; fleet-searches, fleet-searches-waiting"),
    ("api/src/websocket/session.rs", 1, "none: the one request of a socket that waits"),
    ("ingestor/src/alert_keeper/mod.rs", 2, "ingest-alert-deliveries; ingest-alert-changes"),
    ("ingestor/src/history/engine.rs", 2, "sample-index-bytes; read-ahead-bytes"),
    ("ingestor/src/intake/queued.rs", 1, "ingest-rows, ingest-events"),
    (
        "ingestor/src/run.rs",
        4,
        "ingest-deliveries; ingest-dead-letters; ingest-events-to-publish; none for the one segment that waits to be sealed, for which ingest-rows waits",
    ),
    ("ingestor/src/status.rs", 1, "makes those of ingestor/src/run.rs and ingestor/src/alert_keeper/mod.rs"),
    ("ingestor/src/sql/client.rs", 1, "none: the one answer of a question"),
    ("ingestor/src/sql/worker.rs", 1, "none: the one question of a process"),
    (
        "nats/src/admission/service.rs",
        2,
        "admission-answers, admission-hellos, admission-enrolments; admission-endings",
    ),
    ("nats/src/bucket/feed.rs", 1, "none: the sender waits, and the broker keeps what changes"),
    ("nats/src/server/supervisor.rs", 1, "none: the one answer of a start"),
];

/// How something that is bounded is written.
const PATTERNS: [&str; 8] = [
    "mpsc::channel(",
    "sync_channel(",
    "progress.channel(",
    "channel::<",
    "Semaphore::new(",
    "Shares::new(Bounds {",
    ": Bounds = Bounds {",
    "const MAX_UNDER_WAY: ",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

#[test]
fn everything_that_is_bounded_has_a_gauge_or_a_reason_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for part in ["api", "ingestor", "nats"] {
        sources(&root.join(part).join("src"), &mut files);
    }
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for path in files.iter().filter(|path| !path.to_string_lossy().contains("tests")) {
        let Ok(text) = fs::read_to_string(path) else { continue };
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_bound = |line: &&str| {
            let is_watched = line.contains("watch::channel(") || line.contains("oneshot::channel(");
            let is_name = line.contains("fn ");
            !is_watched && !is_name && PATTERNS.iter().any(|pattern| line.contains(pattern))
        };
        let count = code.lines().filter(is_bound).count() + code.matches("SizedCache::new(").count();
        if count > 0 {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            found.insert(name, count);
        }
    }
    let known = PLACES.iter().map(|(file, count, _)| ((*file).to_owned(), *count)).collect();
    assert_eq!(found, known, "say in PLACES which gauge it has, or why it needs none");
    for (gauge, _) in GAUGES {
        let is_written = |(file, _, gauges): &&(&str, usize, &str)| {
            let mut names = gauges.split([',', ';', ' ']);
            names.any(|name| name == gauge) && !file.is_empty()
        };
        let of_memory = [
            "connections",
            "connections-not-signed-in",
            "attached-segments",
            "scopes",
            "latest-events-bytes",
            "event-log-bytes",
            "alert-changes",
            "alerts-to-dispatch",
            "alerts-to-escalate",
            "http-lines",
        ];
        assert!(PLACES.iter().any(|place| is_written(&place)) || of_memory.contains(&gauge), "{gauge}");
    }
}
