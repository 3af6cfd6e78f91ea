//! Lists of snapshots, in pages, and single ones.

use std::{cmp::Reverse, sync::Arc};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use fleetps_ingestor::history::{SealedSnapshot, Span};
use fleetps_nats::{HostName, Snapshot, now_us};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    super::{
        Fault, Legacy, LegacyHost,
        fault::answer,
        reader::{Parameters, Reader},
        time::written_exactly,
    },
    SYSTEM,
    machines::of_reader,
    own_address,
    tree::{Node, flat, tree},
};
use crate::scoped_fleet::travel::{self, PastLookup};

/// Snapshots on a page where nothing else is asked, and at most.
const USUAL_PAGE: usize = 100;
const MAX_PAGE: usize = 500;
/// The most snapshots that a list counts, the newest: a day at one every 5 s, and some more.
const MAX_LISTED: usize = 20_000;
/// The most snapshots that are in no segment yet: an ingestor seals within two minutes, and may be away for a while.
const MAX_UNSEALED: usize = 600;
/// The most processes of a page: 100 MB of JSON at 250 bytes each.
const MAX_PROCESSES_OF_A_PAGE: usize = 400_000;

/// A snapshot of a machine, its number, and how it is written.
#[derive(Debug, Serialize)]
struct Written<'a> {
    timestamp: String,
    machine_snapshot: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_tree: Option<Vec<Node<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Vec<Node<'a>>>,
}

/// How processes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Processes {
    Trees,
    Flat,
    None,
}

impl<'a> Written<'a> {
    fn of(id: u64, snapshot: &'a Snapshot, processes: Processes) -> Self {
        let timestamp = written_exactly(snapshot.captured_at_us);
        let root = snapshot.filesystems.iter().find(|filesystem| filesystem.mount == "/");
        let host = &snapshot.host;
        let machine_snapshot = json!({
            "id": id,
            "timestamp": timestamp,
            "total_ram": host.memory_total_bytes,
            "used_ram": host.memory_used_bytes,
            "available_ram": host.memory_available_bytes,
            "total_disk": root.and_then(|root| root.total_bytes),
            "used_disk": root.and_then(|root| root.used_bytes),
            "available_disk": root.and_then(|root| root.available_bytes),
        });
        let process_tree = match processes {
            Processes::Trees => Some(tree(&snapshot.processes, id)),
            Processes::Flat => None,
            Processes::None => Some(Vec::new()),
        };
        Self {
            timestamp,
            machine_snapshot: machine_snapshot.as_object().cloned().unwrap_or_default(),
            process_tree,
            processes: (processes == Processes::Flat).then(|| flat(&snapshot.processes, id)),
        }
    }
}

/// The message of a WebSocket about a new snapshot of a machine.
pub(crate) fn message(machine_id: &str, snapshot: &Snapshot) -> String {
    #[derive(Serialize)]
    struct Message<'a> {
        r#type: &'static str,
        message: Body<'a>,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        machine_id: &'a str,
        #[serde(flatten)]
        snapshot: Written<'a>,
    }
    let snapshot = Written::of(snapshot.sequence, snapshot, Processes::Trees);
    let message = Message { r#type: "snapshot_message", message: Body { machine_id, snapshot } };
    serde_json::to_string(&message).unwrap_or_default()
}

/// What a list is asked for.
#[derive(Debug)]
struct ListQuery {
    machine_id: Option<String>,
    since: Option<String>,
    page: Option<String>,
    page_size: Option<String>,
    include_process_tree: Option<String>,
}

impl ListQuery {
    fn of(parameters: &Parameters) -> Self {
        let get = |name| parameters.get(name).map(str::to_owned);
        Self {
            machine_id: get("machine_id"),
            since: get("since"),
            page: get("page"),
            page_size: get("page_size"),
            include_process_tree: get("include_process_tree"),
        }
    }

    /// How long ago the list begins; `None` where only the latest is asked for.
    fn since_us(&self) -> Option<i64> {
        let text = self.since.as_deref()?.trim();
        let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            _ => 0,
        };
        let span_us = number.parse::<i64>().ok().and_then(|number| number.checked_mul(seconds * 1_000_000));
        // One that cannot be read is left aside: all.
        Some(span_us.filter(|span_us| *span_us > 0).map_or(0, |span_us| now_us().saturating_sub(span_us)))
    }

    fn page_size(&self) -> usize {
        let asked = self.page_size.as_deref().and_then(|size| size.parse().ok());
        asked.filter(|size| *size > 0).unwrap_or(USUAL_PAGE).min(MAX_PAGE)
    }

    /// The address of another page of the same list.
    fn url(&self, own: &str, page: usize) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let fields = [
            ("machine_id", &self.machine_id),
            ("since", &self.since),
            ("page_size", &self.page_size),
            ("include_process_tree", &self.include_process_tree),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.append_pair("page", &page.to_string());
        format!("{own}/api/snapshot-batch/?{}", query.finish())
    }
}

/// A snapshot that may be listed.
enum Listed {
    /// It is in no segment yet.
    Fresh(u64, Box<Snapshot>),
    /// A segment has it.
    Sealed(SealedSnapshot),
}

impl Listed {
    fn captured_at_us(&self) -> i64 {
        match self {
            Self::Fresh(_, snapshot) => snapshot.captured_at_us,
            Self::Sealed(snapshot) => snapshot.captured_at_us,
        }
    }
}

/// A page of the snapshots of a machine, newest first; the latest only where no time is asked for.
pub(in super::super) async fn list(
    State(legacy): State<Arc<Legacy>>,
    reader: Reader,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Fault> {
    let asked = ListQuery::of(&parameters);
    let Some(machine_id) = asked.machine_id.as_deref().filter(|id| !id.is_empty()) else {
        return Ok(answer(StatusCode::OK, &json!([])));
    };
    let known = of_reader(&reader, machine_id);
    let listed = match &known {
        Some(known) => snapshots(&legacy, &reader, known, asked.since_us()).await?,
        None => Vec::new(),
    };
    let (size, count) = (asked.page_size(), listed.len());
    let last = count.div_ceil(size).max(1);
    let page = asked.page.as_deref().map_or(Some(1), |page| page.parse::<usize>().ok());
    let invalid = || Fault::new(StatusCode::NOT_FOUND, "not-found", "Invalid page.");
    let page = page.filter(|page| (1..=last).contains(page)).ok_or_else(invalid)?;
    let of_page = listed.into_iter().skip((page - 1) * size).take(size);
    let processes = match asked.include_process_tree.as_deref() {
        Some("0" | "false" | "False") => Processes::None,
        _ => Processes::Trees,
    };
    let _turn = legacy.long_answer()?;
    let results = match known {
        Some(known) => of_list(&reader, &known.host, of_page, processes).await?,
        None => Vec::new(),
    };
    let own = own_address(&headers);
    let next = (page < last).then(|| asked.url(&own, page + 1));
    let previous = (page > 1).then(|| asked.url(&own, page - 1));
    // Trees of hundreds of snapshots are megabytes.
    let writing = tokio::task::spawn_blocking(move || {
        let results: Vec<Written<'_>> =
            results.iter().map(|(id, snapshot)| Written::of(*id, snapshot, processes)).collect();
        #[derive(Serialize)]
        struct Page<'a> {
            count: usize,
            next: Option<String>,
            previous: Option<String>,
            results: Vec<Written<'a>>,
        }
        answer(StatusCode::OK, &Page { count, next, previous, results })
    });
    writing.await.map_err(|_| Fault::unavailable())
}

/// The snapshots of a machine since a time, newest first; without one, only the latest.
async fn snapshots(
    legacy: &Legacy,
    reader: &Reader,
    known: &LegacyHost,
    since_us: Option<i64>,
) -> Result<Vec<Listed>, Fault> {
    let host = &known.host;
    let Some(since_us) = since_us else {
        return Ok(legacy
            .last_snapshot(host)
            .await?
            .into_iter()
            .map(|last| Listed::Fresh(last.sequence, Box::new(last.snapshot)))
            .collect());
    };
    let sealed_until_us = reader.scoped.history().and_then(|history| history.last_us(host));
    let interval_us = reader.scoped.summary(host).map_or(0, |summary| i64::from(summary.interval_ms) * 1_000);
    let as_many_us = now_us().saturating_sub(interval_us.saturating_mul(MAX_UNSEALED as i64));
    let unsealed_us = sealed_until_us.unwrap_or(since_us).max(since_us).max(as_many_us);
    let fresh = legacy.since(host, unsealed_us.max(0), MAX_UNSEALED).await?;
    let is_listed = |captured_at_us: i64| captured_at_us >= since_us;
    let mut listed: Vec<Listed> = fresh
        .into_iter()
        .filter(|stored| {
            let captured_at_us = stored.snapshot.captured_at_us;
            is_listed(captured_at_us)
                && sealed_until_us.is_none_or(|until_us| captured_at_us / 1000 > until_us / 1000)
        })
        .map(|stored| Listed::Fresh(stored.sequence, Box::new(stored.snapshot)))
        .collect();
    if let Some(until_us) = sealed_until_us.filter(|until_us| is_listed(*until_us)) {
        let (name, span) = (host.clone(), Span { from_us: since_us, to_us: until_us + 1 });
        let asking = reader.scoped.ask(move |history| history.newest_snapshots(&name, span, MAX_LISTED));
        let sealed = asking.await.map_err(|_| Fault::unavailable())?;
        listed.extend(sealed.into_iter().map(Listed::Sealed));
    }
    listed.sort_by_key(|one| Reverse(one.captured_at_us()));
    Ok(listed)
}

/// The snapshots of a page, with their numbers. Processes are left out where they are not asked for.
async fn of_list(
    reader: &Reader,
    host: &HostName,
    of_page: impl Iterator<Item = Listed>,
    asked: Processes,
) -> Result<Vec<(u64, Snapshot)>, Fault> {
    let (mut results, mut processes) = (Vec::new(), 0);
    for one in of_page {
        let found = match one {
            Listed::Fresh(id, snapshot) => Some((id, *snapshot)),
            Listed::Sealed(which) => sealed(reader, host, which).await?,
        };
        let Some((id, mut snapshot)) = found else { continue };
        if asked == Processes::None {
            snapshot.processes = Vec::new();
        }
        processes += snapshot.processes.len();
        if processes > MAX_PROCESSES_OF_A_PAGE {
            let detail = "the page has more than 400,000 processes; ask for a smaller page_size";
            return Err(Fault::new(StatusCode::BAD_REQUEST, "too-many", detail));
        }
        results.push((id, snapshot));
    }
    Ok(results)
}

/// A snapshot of the history, and its number: that of one that was imported is its time in ms, because the old numbers and
/// those of the stream are alike.
async fn sealed(
    reader: &Reader,
    host: &HostName,
    which: SealedSnapshot,
) -> Result<Option<(u64, Snapshot)>, Fault> {
    // The history keeps times to the millisecond.
    let found = travel::to(&reader.scoped, host, which.captured_at_us.saturating_add(999)).await;
    match found.map_err(|_| Fault::unavailable())? {
        PastLookup::PastMoment(past) => {
            let snapshot = past.moment.snapshot().clone();
            let time_ms = u64::try_from(snapshot.captured_at_us / 1000).unwrap_or_default();
            Ok(Some((which.stream_sequence.unwrap_or(time_ms), snapshot)))
        }
        PastLookup::Nothing(_) => Ok(None),
    }
}

/// One snapshot by its number, with its processes one after the other.
pub(in super::super) async fn one(
    State(legacy): State<Arc<Legacy>>,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let none = || Fault::new(StatusCode::NOT_FOUND, "not-found", "No SnapshotBatch matches the given query.");
    let sequence = id.parse::<u64>().map_err(|_| none())?;
    let found = match legacy.by_sequence(sequence).await? {
        Some(found) => Some(found),
        None => reader.sealed_by_sequence(sequence).await,
    };
    let is_of_system = |host: &HostName| reader.hosts_of(SYSTEM).iter().any(|known| known.host == *host);
    let found = found.filter(|found| is_of_system(&found.host)).ok_or_else(none)?;
    Ok(answer(StatusCode::OK, &Written::of(found.sequence, &found.snapshot, Processes::Flat)))
}
