//! Pages and answers about the past, over segments that were just sealed.

use axum::http::StatusCode;
use fleetps_ingestor::{IngestorSettings, tidy_folder};
use fleetps_nats::Snapshot;
use scraper::Html;

use crate::support::{BEGIN_US, Site, attributes, family, process, snapshot_at, texts, time_at};

const DAY_S: i64 = 86_400;

/// Ten minutes of web-1 every 10 s, silent from 200 to 400 s, in three segments; from 500 s on with one process more. Its
/// CPU use is 10 %, but for one sample with 90.
pub fn history() -> Vec<Vec<(&'static str, Snapshot)>> {
    let seconds = (0..600).step_by(10).filter(|second| !(200..400).contains(second));
    let all: Vec<(&str, Snapshot)> = seconds.map(|second| ("web-1", at(second))).collect();
    all.chunks(15).map(<[_]>::to_vec).collect()
}

fn at(second: i64) -> Snapshot {
    let mut processes = family();
    processes[2].cpu_time_ms = Some(u64::try_from(second).unwrap() * 142);
    if second >= 500 {
        processes.push(process(30, 1, "late"));
    }
    let mut snapshot = snapshot_at(second, processes);
    snapshot.host.cpu_percent = Some(if second == 100 { 90.0 } else { 10.0 });
    snapshot
}

fn shown_at(html: &Html) -> Vec<String> {
    attributes(html, "#bar b time", "datetime")
}

pub fn exact(second: i64) -> String {
    time_at(second).replace('Z', ".000000Z")
}

#[tokio::test]
async fn a_past_moment_shows_the_table_of_the_last_snapshot_before_it_with_the_steps_around() {
    let site = Site::with_history(history());
    let html = site.page(&format!("/hosts/web-1?q=worker&at={}", time_at(504))).await;
    assert_eq!(shown_at(&html), [exact(500)]);
    assert_eq!(texts(&html, "#processes td.pid"), ["1", "10", "11", "12"]);
    let leads = |id: &str| attributes(&html, id, "href")[0].clone();
    assert_eq!(leads("#earlier"), format!("/hosts/web-1?q=worker&at={}", time_at(490)));
    assert_eq!(leads("#later"), format!("/hosts/web-1?q=worker&at={}", time_at(510)));
    assert_eq!(leads("#to-live"), "/hosts/web-1?q=worker");
    assert!(
        attributes(&html, "#bar nav a", "href")
            .contains(&format!("/hosts/web-1?q=worker&at={}", time_at(444)))
    );
    assert!(attributes(&html, "main", "data-live").is_empty());

    let before = site.page(&format!("/hosts/web-1?view=flat&at={}", time_at(499))).await;
    assert_eq!(texts(&before, "#processes td.pid").len(), 5);
    let after = site.page(&format!("/hosts/web-1?view=flat&at={}", time_at(500))).await;
    assert_eq!(texts(&after, "#processes td.pid").len(), 6);
}

#[tokio::test]
async fn every_link_of_a_page_about_the_past_keeps_the_moment() {
    let site = Site::with_history(history());
    let moment = format!("at={}", time_at(500));
    for page in ["", "/system", "/history"] {
        let html = site.page(&format!("/hosts/web-1{page}?{moment}&range=3h")).await;
        // A process's link is about its whole life, a new rule about what comes, and a list for programs about the span.
        let of_page = "main a:not(#to-live):not(.path a):not(#bar a):not(td.name a):not(.exports a)\
            :not([href^='/alerts/new'])";
        let links = attributes(&html, of_page, "href");
        assert!(links.len() > 5, "{links:?}");
        for link in links {
            assert!(link.contains(&moment), "{page}: {link}");
        }
    }
    let facts = site.page(&format!("/hosts/web-1/system?{moment}")).await;
    assert_eq!(
        texts(&facts, "[data-f=os], [data-f=memory_used]"),
        ["Debian GNU/Linux 12", "8.00 GiB of 32.0 GiB"]
    );
}

#[tokio::test]
async fn a_moment_without_a_snapshot_is_a_page_that_names_the_nearest_on_both_sides() {
    let site = Site::with_history(history());
    for (second, title, nearest) in [
        (300, "nothing came from this host then", vec![190, 400]),
        (-60, "before the first snapshot", vec![0]),
        (700, "nothing has come from this host since", vec![590]),
    ] {
        let html = site.page(&format!("/hosts/web-1?at={}", time_at(second))).await;
        assert!(texts(&html, "#nothing h2")[0].contains(title), "{second}");
        let times: Vec<String> = nearest.iter().map(|second| exact(*second)).collect();
        assert_eq!(attributes(&html, "#nothing time", "datetime"), times);
        assert_eq!(texts(&html, "#timeline .parts button").len(), 60);
    }
    let unknown = site.get(&format!("/hosts/nobody?at={}", time_at(0))).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn where_only_hours_are_kept_the_page_says_so_and_leads_to_the_first_process_table() {
    let from =
        |second: i64| (0..30).map(|step| ("web-1", snapshot_at(second + step * 10, family()))).collect();
    let site = Site::with_history(vec![from(0), from(40 * DAY_S)]);
    let now_s = BEGIN_US / 1_000_000 + 41 * DAY_S;
    tidy_folder(site.folder.path(), now_s, &IngestorSettings::default()).unwrap();
    let site = site.reopened();

    let html = site.page(&format!("/hosts/web-1?at={}", time_at(120))).await;
    assert!(texts(&html, "#nothing h2")[0].contains("only the sums of every hour are kept"));
    assert_eq!(attributes(&html, "#nothing time", "datetime"), [exact(40 * DAY_S)]);
    let refused = site.get(&format!("/api/v1/hosts/web-1/processes?at={}", time_at(120))).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert!(refused.body.contains("only the sums of every hour are kept"), "{}", refused.body);
    assert!(refused.body.contains(&format!("at={}", time_at(40 * DAY_S))), "{}", refused.body);
    // The charts of that time are there.
    let metrics = format!("/api/v1/hosts/web-1/metrics?from={}&to={}", time_at(0), time_at(300));
    let metrics: serde_json::Value = serde_json::from_str(&site.get(&metrics).await.body).unwrap();
    assert_eq!(metrics["points"][0]["memory_used_bytes"], 8_589_934_592.0);
    assert_eq!(metrics["points"][0]["cpu_percent_max"], 31.4);
}

#[tokio::test]
async fn a_relative_moment_becomes_a_fixed_one() {
    let site = Site::with_history(history());
    let moved = site.get("/hosts/web-1?view=flat&at=-15m").await;
    assert_eq!(moved.status, StatusCode::SEE_OTHER);
    let location = moved.headers["location"].to_str().unwrap();
    assert!(location.starts_with("/hosts/web-1?view=flat&at=20") && location.ends_with('Z'), "{location}");
}

#[tokio::test]
async fn a_host_that_is_only_in_the_history_shows_its_last_snapshot() {
    let site = Site::with_history(history());
    let moved = site.get("/hosts/web-1").await;
    assert_eq!(moved.status, StatusCode::SEE_OTHER);
    assert_eq!(moved.headers["location"], format!("/hosts/web-1?at={}", time_at(590)).as_str());
    assert_eq!(site.get("/hosts/nobody").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_live_page_leads_to_the_snapshot_before() {
    let site = Site::with_history(history());
    site.tell("web-1", family());
    site.tell("web-1", family());
    let html = site.page("/hosts/web-1").await;
    assert!(shown_at(&html).is_empty());
    let earlier = attributes(&html, "#earlier", "href");
    assert!(earlier[0].starts_with("/hosts/web-1?at=20"), "{earlier:?}");
    assert_eq!(attributes(&html, "#timeline", "data-follows").len(), 1);
}

#[tokio::test]
async fn the_filter_language_says_where_it_was_not_understood() {
    let site = Site::with("web-1", family());
    let found = site.page("/hosts/web-1?view=flat&q=cpu+%3E+10+or+user+%3D+www-data").await;
    assert_eq!(texts(&found, "#processes td.pid"), ["11", "12"]);
    let wrong = site.page("/hosts/web-1?q=cpu+%3E").await;
    assert!(texts(&wrong, "#filter-error")[0].starts_with("column "), "{:?}", texts(&wrong, "#filter-error"));
    assert!(texts(&wrong, "#processes td.pid").is_empty());
    let refused = site.get("/api/v1/hosts/web-1/processes?q=cpu+%3E").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("column "), "{}", refused.body);
}

#[tokio::test]
async fn processes_of_a_moment_are_listed_as_json_and_as_csv() {
    let site = Site::with_history(history());
    let url = format!("/api/v1/hosts/web-1/processes?sort=pid&at={}", time_at(505));
    let listed = site.json(&url).await;
    assert_eq!((&listed["resolution"], &listed["total"]), (&"samples".into(), &6.into()));
    assert_eq!(listed["captured_at"], exact(500));
    assert_eq!(listed["incomplete"], serde_json::json!([]));
    let csv = site.get(&format!("{url}&format=csv")).await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let mut lines = csv.body.lines();
    assert!(lines.next().unwrap().starts_with("pid,parent_pid,started_at,name,"));
    assert!(lines.next().unwrap().starts_with("1,,2026-09-21T14:13:20.000000Z,init,root,S,1,0.5,"));
    assert_eq!(lines.count(), 5);

    let gap = site.get(&format!("/api/v1/hosts/web-1/processes?at={}", time_at(300))).await;
    assert_eq!(gap.status, StatusCode::NOT_FOUND);
    let hint = format!("nearest: at={}, at={}", time_at(190), time_at(400));
    assert!(gap.body.contains(&hint), "{}", gap.body);
    let one = site.json(&format!("/api/v1/hosts/web-1?at={}", time_at(505))).await;
    assert_eq!((&one["captured_at"], &one["resolution"]), (&exact(500).into(), &"samples".into()));
}

#[tokio::test]
async fn a_segment_that_cannot_be_read_is_named_on_every_page_about_the_past_and_in_readiness() {
    let site = Site::with_history(history());
    let mut files: Vec<_> =
        std::fs::read_dir(site.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "duckdb"));
    files.sort();
    std::fs::write(&files[0], "no database").unwrap();
    let site = site.reopened();
    let name = files[0].file_name().unwrap().to_str().unwrap().to_owned();
    for page in ["", "/system", "/history"] {
        let html = site.page(&format!("/hosts/web-1{page}?at={}", time_at(505))).await;
        assert_eq!(texts(&html, ".notice code"), [name.as_str()], "{page}");
    }
    let listed = site.json(&format!("/api/v1/hosts/web-1/processes?at={}", time_at(505))).await;
    assert_eq!(listed["incomplete"], serde_json::json!([name]));
    assert_eq!(site.json("/readyz").await["incomplete"], serde_json::json!([name]));
}
