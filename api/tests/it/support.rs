//! A fleet to look at, requests through the router, and bounded waiting.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use fleetps::testing::{history_service::HistoryService, live::now_us, state::AppState};
use fleetps_ingestor::{
    events::{Detector, MessagePlace},
    history::History,
    segment::{SegmentRows, seal},
};
use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{Encoder, HostInfo, HostSample, Process, Sent},
};
use scraper::{Html, Selector};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Longest wait for anything: far more than it takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// When the numbering of the stream of a history that is made up began.
const EPOCH_S: i64 = 1_700_000_000;

/// A web server without a broker, to which snapshots are given directly.
pub struct Site {
    pub shared: AppState,
    pub router: Router,
    sequence: AtomicI64,
    /// Where its history is.
    pub folder: tempfile::TempDir,
}

/// An answer, read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: String,
}

impl Site {
    pub fn new() -> Self {
        Self::over(AppState::new(None, CancellationToken::new()), tempfile::tempdir().unwrap())
    }

    /// A site whose history holds these snapshots, each list in a segment of its own.
    pub fn with_history(segments: Vec<Vec<(&str, Snapshot)>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut sequence, mut detector) = (0, Detector::default());
        for snapshots in segments {
            let begun_at_us = snapshots[0].1.captured_at_us;
            let mut rows = SegmentRows::new(0, EPOCH_S, sequence + 1, begun_at_us);
            let mut events = Vec::new();
            for (host, snapshot) in snapshots {
                sequence += 1;
                let (host, stored_at_us) = (host.parse().unwrap(), snapshot.captured_at_us);
                let place = MessagePlace { partition: 0, epoch_s: EPOCH_S, sequence, stored_at_us };
                events.extend(detector.snapshot(place, &host, &snapshot));
                rows.push(sequence, stored_at_us, &host, &snapshot);
            }
            rows.set_events(events, detector.clock());
            seal(folder.path(), &mut rows).unwrap();
        }
        let mut shared = AppState::new(None, CancellationToken::new());
        shared.past = HistoryService::of(History::open(folder.path()).unwrap());
        Self::over(shared, folder)
    }

    /// A site that writes down who did what.
    pub fn with_records(records: fleetps::testing::audit_log::AuditLog) -> Self {
        let shared = AppState { audit_log: records, ..AppState::new(None, CancellationToken::new()) };
        Self::over(shared, tempfile::tempdir().unwrap())
    }

    /// The same site after its history has changed.
    pub fn reopened(mut self) -> Self {
        self.shared.past = HistoryService::of(History::open(self.folder.path()).unwrap());
        Self::over(self.shared, self.folder)
    }

    fn over(shared: AppState, folder: tempfile::TempDir) -> Self {
        Self { router: crate::described::router(shared.clone()), shared, sequence: AtomicI64::new(0), folder }
    }

    /// A site with one host that has these processes.
    pub fn with(host: &str, processes: Vec<Process>) -> Self {
        let site = Self::new();
        site.tell(host, processes);
        site
    }

    /// One more snapshot of `host`, 10 s after the one before.
    pub fn tell(&self, host: &str, processes: Vec<Process>) {
        let sequence = self.sequence.fetch_add(1, Ordering::SeqCst) + 1;
        self.tell_snapshot(host, snapshot(sequence, processes), now_us());
    }

    pub fn tell_snapshot(&self, host: &str, snapshot: Snapshot, stored_at_us: i64) {
        let host: HostName = host.parse().unwrap();
        let message = Encoder::new().unwrap().encode(&snapshot).unwrap();
        self.shared.fleet.take(host, &message, snapshot, Sent::new(stored_at_us, None));
    }

    pub async fn get(&self, url: &str) -> Answer {
        self.send(Request::get(url).header("host", "localhost").body(Body::empty()).unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// The token that forms of this site's pages have.
    pub async fn form_token(&self) -> String {
        let page = Html::parse_document(&self.get("/sql").await.body);
        attributes(&page, "input[name=form_token]", "value").swap_remove(0)
    }

    /// A form as a page of this site sends it, with the token that pages have.
    pub async fn form(&self, url: &str, fields: &[(&str, &str)]) -> Request<Body> {
        let token = self.form_token().await;
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields).append_pair("form_token", &token);
        Request::post(url).header("host", "localhost").body(Body::from(body.finish())).unwrap()
    }

    pub async fn page(&self, url: &str) -> Html {
        let answer = self.get(url).await;
        assert_eq!(answer.status, StatusCode::OK, "{url}: {}", answer.body);
        Html::parse_document(&answer.body)
    }

    pub async fn json(&self, url: &str) -> serde_json::Value {
        serde_json::from_str(&self.get(url).await.body).unwrap()
    }
}

/// The whole of an answer.
pub async fn read(response: axum::response::Response) -> Answer {
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    Answer { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

pub fn snapshot(sequence: i64, processes: Vec<Process>) -> Snapshot {
    let step = u64::try_from(sequence).unwrap();
    Snapshot {
        format: fleetps_nats::snapshot::FORMAT,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        os_host_name: "web-1.example.com".to_owned(),
        boot_id: "boot".to_owned(),
        run_id: "run".to_owned(),
        sequence: step,
        captured_at_us: now_us(),
        interval_ms: 10_000,
        monotonic_ms: step * 10_000,
        host: HostSample {
            cpu_percent: Some(31.4),
            load_1: Some(0.42),
            memory_total_bytes: Some(32 << 30),
            memory_used_bytes: Some(8 << 30),
            uptime_s: Some(3_600),
            ..HostSample::default()
        },
        host_info: HostInfo {
            os: Some("Debian GNU/Linux 12".to_owned()),
            threads: Some(8),
            ..HostInfo::default()
        },
        processes,
        ..Snapshot::default()
    }
}

/// The beginning of the histories of these tests: 2026-11-20T08:00:00Z.
pub const BEGIN_US: i64 = 1_795_161_600_000_000;

/// The snapshot captured this many seconds after the beginning.
pub fn snapshot_at(second: i64, processes: Vec<Process>) -> Snapshot {
    let sequence = second / 10 + 1;
    Snapshot { captured_at_us: BEGIN_US + second * 1_000_000, ..snapshot(sequence, processes) }
}

/// The time this many seconds after the beginning, as URLs have it.
pub fn time_at(second: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(BEGIN_US + second * 1_000_000).unwrap();
    time.to_string()
}

/// A process that started at a fixed time.
pub fn process(pid: u32, parent: u32, name: &str) -> Process {
    Process {
        pid,
        parent_pid: (parent > 0).then_some(parent),
        started_at_us: 1_790_000_000_000_000,
        name: name.to_owned(),
        command_line: Some(format!("/usr/bin/{name} --serve")),
        user_name: Some("root".to_owned()),
        state: 'S',
        threads: Some(1),
        cpu_percent: Some(0.5),
        resident_bytes: Some(10 << 20),
        read_bytes: Some(1000),
        written_bytes: Some(0),
        ..Process::default()
    }
}

/// init > nginx > two workers; init > sshd.
pub fn family() -> Vec<Process> {
    vec![
        process(1, 0, "init"),
        process(10, 1, "nginx"),
        Process { cpu_percent: Some(14.2), ..process(11, 10, "worker") },
        Process { user_name: Some("www-data".to_owned()), ..process(12, 10, "worker") },
        process(20, 1, "sshd"),
    ]
}

/// The texts of all elements that a selector finds.
pub fn texts(html: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    let text = |element: scraper::ElementRef<'_>| element.text().collect::<String>().trim().to_owned();
    html.select(&selector).map(text).collect()
}

/// An attribute of all elements that a selector finds.
pub fn attributes(html: &Html, selector: &str, name: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    html.select(&selector).filter_map(|element| element.attr(name)).map(str::to_owned).collect()
}
