//! Streams, read as streams.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::{Request, StatusCode},
};
use fleetps::testing::live::{HostState, now_us, steady_us};
use fleetps_ingestor::alerts::Change;
use futures_util::StreamExt;
use tower::ServiceExt;

use crate::{
    alerts::transition,
    support::{PATIENCE, Site, attributes, family, process, snapshot, texts},
};

/// A stream of events.
pub struct Events {
    body: BodyDataStream,
    text: String,
}

impl Events {
    pub async fn open(site: &Site, url: &str) -> Self {
        let request = Request::get(url).header("host", "localhost").body(Body::empty()).unwrap();
        let response = site.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The data of the next event that has any.
    pub async fn next(&mut self) -> serde_json::Value {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                    self.text = rest.to_owned();
                    match data {
                        Some(data) => return serde_json::from_str(&data).unwrap(),
                        None => continue,
                    }
                }
                let bytes = self.body.next().await.unwrap().unwrap();
                self.text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        })
        .await
        .expect("no event came")
    }
}

#[tokio::test]
async fn a_page_that_shows_the_present_gets_only_what_changes() {
    let site = Site::with("web-1", family());
    let version = site.shared.fleet.summary(&"web-1".parse().unwrap()).unwrap().version();
    let mut events = Events::open(&site, &format!("/hosts/web-1/live?since={version}")).await;
    // The first poll sends the greeting; only then the page is known to be subscribed.
    let greeting = events.body.next().await.unwrap().unwrap();
    assert!(greeting.starts_with(b": live"));
    let mut changed = family();
    changed[2].cpu_percent = Some(77.7);
    changed.remove(4);
    changed.push(process(30, 10, "fresh"));
    site.tell("web-1", changed);
    let patch = events.next().await;
    assert!(patch.get("whole").is_none());
    let table = &patch["tables"][0];
    let cell = |cell: &serde_json::Value| cell[0].as_str().unwrap().starts_with("p11-") && cell[2] == "77.7";
    assert!(table["cells"].as_array().unwrap().iter().any(cell), "{table}");
    assert!(table["rows"][0][1].as_str().unwrap().contains("fresh"));
    assert!(table["gone"][0].as_str().unwrap().starts_with("p20-"));
    assert_eq!(table["order"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_page_that_shows_another_moment_gets_everything_first() {
    let site = Site::with("web-1", family());
    let patch = Events::open(&site, "/hosts/web-1/live?since=long-ago").await.next().await;
    assert_eq!(patch["whole"], true);
    assert_eq!(patch["tables"][0]["rows"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_reader_that_sleeps_gets_the_newest_sample_not_the_missed_ones() {
    let site = Site::with("web-1", family());
    let mut events = Events::open(&site, "/api/v1/hosts/web-1/live").await;
    assert_eq!(events.next().await["processes"].as_array().unwrap().len(), 5);
    for _ in 0..50 {
        site.tell("web-1", family());
    }
    site.tell("web-1", vec![process(1, 0, "init")]);
    let newest = events.next().await;
    assert_eq!(newest["processes"].as_array().unwrap().len(), 1);
    assert_eq!(newest["host"], "web-1");
}

#[tokio::test]
async fn the_fleet_stream_tells_of_new_hosts_and_of_hosts_that_fall_silent() {
    let site = Site::with("web-1", family());
    let mut events = Events::open(&site, "/live").await;
    assert_eq!(events.next().await["whole"], true);
    site.tell("web-2", family());
    let patch = events.next().await;
    assert!(patch["tables"][0]["rows"][0][1].as_str().unwrap().contains("web-2"));
    site.shared.fleet.age(steady_us() + 31_000_000);
    let patch = events.next().await;
    assert!(patch["fields"].to_string().contains("2 silent"), "{patch}");
}

#[tokio::test]
async fn the_fleet_stream_begins_with_what_has_changed_since_the_page_was_made() {
    let site = Site::with("web-1", family());
    let page = site.page("/").await;
    let version = attributes(&page, "main", "data-version").swap_remove(0);
    // In a large fleet some host has always sent meanwhile.
    site.tell("web-2", family());
    let mut events = Events::open(&site, &format!("/live?since={version}")).await;
    let patch = events.next().await;
    assert!(patch.get("whole").is_none(), "{patch}");
    let table = patch["tables"].as_array().unwrap().iter().find(|table| table["id"] == "hosts").unwrap();
    assert_eq!(table["rows"].as_array().unwrap().len(), 1);
    assert!(table["rows"][0][1].as_str().unwrap().contains("web-2"));
}

#[tokio::test]
async fn a_page_of_a_large_fleet_that_has_missed_much_asks_again_instead_of_a_long_patch() {
    let site = Site::new();
    (0..150).for_each(|number| site.tell(&format!("web-{number}"), family()));
    let patch = Events::open(&site, "/live?since=long-ago").await.next().await;
    assert_eq!((&patch["again"], patch.get("tables")), (&serde_json::json!(true), None), "{patch}");
}

#[tokio::test]
async fn the_fleet_stream_tells_of_alerts_while_no_host_reports() {
    let site = Site::with("web-1", family());
    let mut events = Events::open(&site, "/live").await;
    assert_eq!(events.next().await["whole"], true);
    site.shared.alerts.take(transition("web-1", "java", Change::Raised));
    let patch = events.next().await;
    assert!(patch["fields"].to_string().contains("1 alert"), "{patch}");
}

#[tokio::test]
async fn hosts_are_up_or_down_by_what_they_send_whichever_way_the_clock_of_the_server_is_set() {
    let (site, days_us) = (Site::new(), 3 * 86_400_000_000);
    let state = || site.shared.fleet.summary(&"web-1".parse().unwrap()).unwrap().state;
    let mut sequence = 0;
    for set_us in [days_us, -days_us, 0, -2 * days_us] {
        for _ in 0..2 {
            sequence += 1;
            site.tell_snapshot("web-1", snapshot(sequence, family()), now_us() + set_us);
        }
        site.shared.fleet.age(steady_us());
        assert_eq!(state(), HostState::Up, "it sends, with a clock {set_us} µs off");
        site.shared.fleet.age(steady_us() + 101_000_000);
        assert_eq!(state(), HostState::Down, "it sends nothing, with a clock {set_us} µs off");
    }
}

#[tokio::test]
async fn a_snapshot_that_is_read_again_is_no_news() {
    let (site, stored_at_us) = (Site::new(), now_us());
    let state = || site.shared.fleet.summary(&"web-1".parse().unwrap()).unwrap().state;
    site.tell_snapshot("web-1", snapshot(1, family()), stored_at_us - 200_000_000);
    assert_eq!(state(), HostState::Down);
    site.tell_snapshot("web-1", snapshot(1, family()), stored_at_us - 200_000_000);
    assert_eq!(state(), HostState::Down);
}

#[tokio::test]
async fn hosts_that_were_not_heard_of_for_long_leave_the_page_which_says_how_many_until_they_send() {
    let (site, day) = (Site::with("web-1", family()), Duration::from_secs(86_400));
    let fleet = &site.shared.fleet;
    site.tell("web-2", family());
    site.tell("gone-1", family());
    let left_out = async || texts(&site.page("/").await, "[data-f=left-out]").join("");
    let hosts = async || site.json("/api/v1/hosts").await["hosts"].as_array().unwrap().len();
    fleet.leave_out(steady_us(), day, |host| host.as_str() == "gone-1");
    assert_eq!((fleet.host_count(), left_out().await), (2, String::new()), "it was forgotten on purpose");

    let mut events = Events::open(&site, "/live").await;
    events.next().await;
    let later_us = steady_us() + 86_400_000_000;
    fleet.leave_out(later_us - 60_000_000, day, |_| false);
    assert_eq!(hosts().await, 2, "not yet");
    fleet.leave_out(later_us + 60_000_000, day, |_| false);
    assert_eq!((hosts().await, site.get("/hosts/web-1").await.status), (0, StatusCode::NOT_FOUND));
    assert_eq!(site.json("/api/v1/hosts").await["hosts_left_out"], 2);
    let patch = events.next().await;
    assert!(patch["fields"].to_string().contains("2 hosts are left out"), "{patch}");
    assert_eq!(patch["tables"][1]["gone"].as_array().unwrap().len(), 4, "their programs too: {patch}");
    assert_eq!(left_out().await, "2 hosts are left out, not seen for 1 d");

    site.tell("web-1", family());
    events.next().await;
    assert_eq!((left_out().await, hosts().await), ("1 host is left out, not seen for 1 d".to_owned(), 1));
    // Its record is gone, so it is no host that is left out.
    fleet.leave_out(steady_us(), day, |host| host.as_str() == "web-2");
    events.next().await;
    assert_eq!(left_out().await, "");
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let site = Site::with("web-1", family());
    let mut events = Events::open(&site, "/live").await;
    events.next().await;
    site.shared.shutdown.cancel();
    let end = tokio::time::timeout(PATIENCE, events.body.next()).await.expect("the stream goes on");
    assert!(end.is_none());
}
