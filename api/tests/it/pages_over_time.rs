//! Pages over time on a real history: events, processes, what changed, top and search, as pages, JSON and CSV.

use std::time::Duration;

use axum::http::StatusCode;
use fleetps_ingestor::{
    filter::{Deadline, Filter},
    history::Scope,
};
use fleetps_nats::{Snapshot, snapshot::Process};
use serde_json::{Value, json};

use crate::{
    history::{PastSite, STEP_US},
    support::{PATIENCE, Site, attributes, family, process, snapshot, texts},
};

/// The span of the usual history, as parameters.
fn span(past: &PastSite) -> String {
    format!("from={}&to={}", past.at(0), past.at(12))
}

#[tokio::test]
async fn events_say_what_happened_newest_first_and_lead_to_the_host_then() {
    let past = PastSite::usual();
    let span = span(&past);
    let html = past.site.page(&format!("/hosts/web-1/events?{span}")).await;
    assert_eq!(texts(&html, "#events td.what"), ["exited", "started"]);
    assert_eq!(texts(&html, "#events td.name"), ["worker", "cron"]);
    assert_eq!(texts(&html, "#events td.pid"), ["12", "30"]);
    let then = &attributes(&html, "#events td.when a", "href")[1];
    let table = past.site.page(&format!("{then}&view=flat")).await;
    assert!(texts(&table, "#processes td.name").contains(&"cron".to_owned()), "{then}");

    let started = past.site.page(&format!("/events?{span}&kind=started")).await;
    assert_eq!(texts(&started, "#events td.host"), ["web-1"]);
    assert_eq!(texts(&started, ".kinds [aria-current]"), ["started"]);
    let none = past.site.page(&format!("/events?{span}&kind=booted,silent")).await;
    assert!(texts(&none, ".nothing")[0].starts_with("No such events"));
}

#[tokio::test]
async fn events_are_paged_without_tearing_a_moment_apart() {
    let past = PastSite::usual();
    let first = past.site.json(&format!("/api/v1/hosts/web-1/events?{}&limit=1", span(&past))).await;
    assert_eq!((&first["total"], &first["resolution"]), (&json!(2), &json!("samples")));
    assert_eq!(first["events"].as_array().unwrap().len(), 1);
    let event = &first["events"][0];
    assert_eq!(
        (&event["kind"], &event["host"], &event["pid"]),
        (&json!("exited"), &json!("web-1"), &json!(12))
    );
    assert_eq!(event["occurred_at"], past.at(8));
    let page = past.site.page(&format!("/hosts/web-1/events?{}&limit=1", span(&past))).await;
    assert_eq!(attributes(&page, ".more a", "href").len(), 1);
    let bad = past.site.get("/api/v1/events?kind=exploded").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert!(bad.body.contains("restart_loop"), "{}", bad.body);
}

#[tokio::test]
async fn what_changed_is_told_between_the_snapshots_that_there_are() {
    let past = PastSite::usual();
    let url = format!("/hosts/web-1/diff?from={}&to={}", past.at(1), past.at(10));
    let html = past.site.page(&url).await;
    assert_eq!(texts(&html, "#started td.name"), ["cron"]);
    let ends = attributes(&html, "#ends input[type=text]", "name");
    assert_eq!(ends, ["from", "to"]);
    assert_eq!(texts(&html, "#gone td.pid"), ["12"]);
    assert_eq!(texts(&html, "#resized td.change"), ["+18.0 M"]);
    assert_eq!(texts(&html, "#busy td.cputime"), ["9.00 s"]);
    assert_eq!(texts(&html, "#busy td.cpu"), ["10.0"]);

    let changed = past.site.json(&format!("/api/v1{url}")).await;
    assert_eq!((&changed["from"], &changed["to"]), (&json!(past.at(1)), &json!(past.at(10))));
    assert_eq!(changed["rebooted"], false);
    assert_eq!(changed["started"][0]["name"], "cron");
    assert_eq!(changed["busy"][0]["after"]["cpu_time_ms"], 60_000);
    let csv = past.site.get(&format!("/api/v1{url}&format=csv")).await;
    assert_eq!(csv.headers["fleetps-resolution"], "samples");
    let changes: Vec<&str> = csv.body.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(changes, ["change", "resized", "busy", "started", "gone"]);
}

#[tokio::test]
async fn a_moment_without_a_snapshot_is_named_with_the_nearest_ones() {
    let past = PastSite::usual();
    let before = fleetps::testing::display::time_exact(past.begin_us - 600_000_000);
    let url = format!("/hosts/web-1/diff?from={before}&to={}", past.at(3));
    let html = past.site.page(&url).await;
    assert!(texts(&html, "#nothing h2")[0].contains("beginning"), "{:?}", texts(&html, "#nothing"));
    let nearest = attributes(&html, "#nothing a", "href");
    assert_eq!(past.site.get(&nearest[0]).await.status, StatusCode::OK);
    let answer = past.site.get(&format!("/api/v1{url}")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(body["error"].as_str().unwrap().contains("`from`"), "{body}");
    assert!(
        body["hint"].as_str().unwrap().contains(&fleetps::testing::view::when::written(past.begin_us)),
        "{body}"
    );
    assert_eq!(past.site.get("/api/v1/hosts/nobody/diff").await.status, StatusCode::NOT_FOUND);
    assert_eq!(past.site.get("/hosts/nobody/diff").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_top_has_shares_and_leads_to_what_it_consists_of() {
    let past = PastSite::usual();
    let span = span(&past);
    let html = past.site.page(&format!("/top?{span}")).await;
    assert_eq!(texts(&html, "#top tbody tr:first-child td.name"), ["worker"]);
    assert_eq!(texts(&html, "#top tbody tr:first-child td.share"), ["100"]);
    assert_eq!(texts(&html, "#top tbody tr:first-child td.cpu"), ["11.0 s"]);
    let then = &attributes(&html, "#top tbody tr:first-child td.name a", "href")[0];
    let found = past.site.page(then).await;
    assert_eq!(texts(&found, "#found td.pid"), ["11"], "{then}");

    let processes = past.site.page(&format!("/top?{span}&group=process&by=peak&host=web-1")).await;
    assert_eq!(texts(&processes, "#top tbody tr:first-child td.peak"), ["42.0 M"]);
    assert_eq!(
        texts(&processes, "#top tbody tr:first-child td.memory"),
        ["31.0 M"],
        "from 20 to 42, steadily"
    );
    assert!(texts(&processes, "#top td.share").is_empty(), "peaks do not add up");
    let by_memory = past.site.page(&format!("/top?{span}&by=memory")).await;
    assert!(!texts(&by_memory, "#top td.share").is_empty(), "means do");
    let process = &attributes(&processes, "#top tbody tr:first-child td.name a", "href")[0];
    assert_eq!(texts(&past.site.page(process).await, "h1"), ["worker"]);

    let hosts = past.site.json(&format!("/api/v1/top?{span}&group=host&limit=1")).await;
    assert_eq!((&hosts["total"], &hosts["group"]), (&json!(2), &json!("host")));
    let first = &hosts["top"][0];
    assert_eq!((&first["key"], &first["cpu_time_ms"]), (&json!("web-1"), &json!(11_000)));
    for (query, parameter) in
        [("by=heat", "by"), ("group=x", "group"), ("host=a..b", "host"), ("from=now", "from")]
    {
        let answer = past.site.get(&format!("/api/v1/top?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.body.contains(&format!("`{parameter}`")), "{}", answer.body);
    }
}

#[tokio::test]
async fn growth_is_an_order_of_the_top_and_a_program_has_the_memory_of_all_its_processes() {
    let past = PastSite::usual();
    let span = format!("from={}&to={}", past.at(1), past.at(10));
    let used = past.site.page(&format!("/top?{span}")).await;
    let growth = attributes(&used, "#growth", "href").swap_remove(0);
    assert!(growth.starts_with("/top?") && growth.contains("show=growth"), "{growth}");
    let page = past.site.page(&growth).await;
    let rows = texts(&page, "#grown td.name").into_iter().zip(texts(&page, "#grown td.change"));
    let rows: Vec<(String, String)> = rows.collect();
    assert!(rows.contains(&("cron".to_owned(), "+10.0 M".to_owned())), "it was started: {rows:?}");
    assert!(rows.iter().any(|(name, _)| name == "worker"), "{rows:?}");
    let before = texts(&page, "#grown td.before").len();
    assert_eq!((before, texts(&page, "#compared").len()), (rows.len(), 1));
    let link = attributes(&page, "#grown td.name a", "href").swap_remove(0);
    assert!(link.starts_with("/search?q=name+%3D+") && link.contains("at="), "{link}");
    let hosts = past.site.page(&format!("/top?show=growth&group=host&{span}")).await;
    assert_eq!(texts(&hosts, "#grown td.name"), ["web-1"]);
}

#[tokio::test]
async fn what_runs_on_a_host_that_came_meanwhile_has_not_grown() {
    let begin_us = (fleetps::testing::live::now_us() - 3_600_000_000) / 1_000_000 * 1_000_000;
    let all = (0..12).flat_map(|step: i32| {
        let at = |processes| fleetps_nats::Snapshot {
            captured_at_us: begin_us + i64::from(step) * crate::history::STEP_US,
            ..snapshot(i64::from(step) + 1, processes)
        };
        let later =
            (step >= 6).then(|| ("web-9", at(vec![process(1, 0, "newcomer"), process(2, 1, "worker")])));
        [Some(("web-1", at(crate::history::table(begin_us, step)))), later].into_iter().flatten()
    });
    let past = PastSite::of(begin_us, all.collect());
    let span = format!("from={}&to={}", past.at(1), past.at(10));
    let page = past.site.page(&format!("/top?show=growth&{span}")).await;
    let names = texts(&page, "#grown td.name");
    assert!(names.contains(&"worker".to_owned()) && !names.contains(&"newcomer".to_owned()), "{names:?}");
    assert!(
        texts(&page, "#came")[0].starts_with("1 host came since the first moment"),
        "{:?}",
        texts(&page, "#came")
    );
    assert_eq!(attributes(&page, "#came a", "href"), ["/hosts/web-9"]);
    let by_name = attributes(&page, "#grown th.name a", "href").swap_remove(0);
    let sorted = texts(&past.site.page(&by_name).await, "#grown td.name");
    assert!(sorted.is_sorted(), "{sorted:?}");
    let json = past.site.json(&format!("/api/v1/growth?{span}")).await;
    assert_eq!(json["hosts_came"], json!(["web-9"]));
    let worker = json["growth"].as_array().unwrap().iter().find(|line| line["key"] == "worker").unwrap();
    assert_eq!(worker["hosts"], json!(1), "the newcomer's is not compared");
    let csv = past.site.get(&attributes(&page, "a[download]", "href")[0]).await;
    assert!(
        csv.body.starts_with("key,hosts,processes,memory_bytes_before,memory_bytes,change_bytes"),
        "{}",
        csv.body
    );
}

#[tokio::test]
async fn what_changed_is_sorted_by_each_column_that_a_table_has() {
    let past = PastSite::usual();
    let page = format!("/hosts/web-1/diff?from={}&to={}", past.at(1), past.at(10));
    let shown = past.site.page(&page).await;
    for (column, is_text) in [("name", true), ("memory", false), ("age", false)] {
        let href = attributes(&shown, &format!("#gone th.{column} a, #started th.{column} a"), "href")
            .swap_remove(0);
        assert!(href.contains(&format!("sort={column}")), "{href}");
        let sorted = past.site.page(&href).await;
        let expected = if is_text { "ascending" } else { "descending" };
        let said = attributes(&sorted, &format!("#started th.{column}"), "aria-sort");
        assert_eq!(said, [expected], "{column}");
    }
}

#[tokio::test]
async fn json_says_as_much_of_a_restart_loop_that_goes_on_as_the_page() {
    let begin_us = (fleetps::testing::live::now_us() - 400_000_000) / 1_000_000 * 1_000_000;
    let snapshots = (0..36_u32).map(|step| {
        let captured_at_us = begin_us + i64::from(step) * STEP_US;
        let looping = Process {
            started_at_us: captured_at_us - 4_000_000,
            unit: Some("flaky.service".to_owned()),
            ..process(100 + step, 1, "flaky")
        };
        let processes = vec![process(1, 0, "systemd"), looping];
        ("web-1", Snapshot { captured_at_us, ..snapshot(i64::from(step) + 1, processes) })
    });
    let past = PastSite::of(begin_us, snapshots.collect());
    let page = past.site.page("/events?kind=restart_loop&range=1h").await;
    let shown = texts(&page, "#loops td.count").swap_remove(0);
    let starts: u64 = shown.trim_end_matches(" +").parse().unwrap();
    assert!(starts > 20, "{shown}");
    for kind in ["restart_loop", "restart_loop,started"] {
        let events = past.site.json(&format!("/api/v1/events?kind={kind}&range=1h")).await;
        let all = events["events"].as_array().unwrap();
        let told = all.iter().find(|event| event["kind"] == "restart_loop").unwrap();
        assert_eq!(told["lives"], json!(starts), "{kind}: {told}");
    }
}

#[tokio::test]
async fn processes_are_found_on_all_hosts_now_or_then() {
    let past = PastSite::usual();
    past.site.tell("web-3", family());
    let then = past.site.page(&format!("/search?q=name+%3D+nginx&at={}", past.at(5))).await;
    assert_eq!(texts(&then, "#found td.host"), ["web-1", "web-2"]);
    let host = &attributes(&then, "#found td.host a", "href")[0];
    assert!(host.starts_with("/hosts/web-1?at="), "{host}");
    assert_eq!(texts(&then, "#total"), ["2 processes on 2 hosts"]);
    let by_read = format!("/search?q=worker&sort=memory&at={}", past.at(5));
    assert_eq!(texts(&past.site.page(&by_read).await, "#found td.pid")[0], "11", "the greatest first");
    let now = past.site.page("/search?q=name+%3D+nginx").await;
    assert_eq!(texts(&now, "#found td.host"), ["web-3"]);
    assert_eq!(attributes(&now, "#found td.host a", "href"), ["/hosts/web-3"]);

    let found = past.site.json(&format!("/api/v1/search?q=cpu+%3E+5&at={}", past.at(5))).await;
    assert_eq!((&found["total"], &found["hosts_not_searched"]), (&json!(1), &json!(0)));
    let process = &found["processes"][0];
    assert_eq!(
        (&process["host"], &process["pid"], &process["unit"]),
        (&json!("web-1"), &json!(11), &json!("nginx.service"))
    );
    assert_eq!(process["captured_at"], past.at(5));
    let cut = past.site.json("/api/v1/search?q=serve&limit=1").await;
    assert_eq!(cut["processes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_filter_that_is_none_and_a_moment_that_is_not_stored_yet_are_told() {
    let past = PastSite::usual();
    let page = past.site.get("/search?q=cpu+%3E").await;
    let html = scraper::Html::parse_document(&page.body);
    assert!(texts(&html, "#q-error")[0].starts_with("At column "), "{:?}", texts(&html, "#q-error"));
    assert_eq!(attributes(&html, "#q", "value"), ["cpu >"]);
    let answer = past.site.get("/api/v1/search?q=cpu+%3E").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("column"), "{}", answer.body);
    let early = past.site.get("/api/v1/search?q=nginx&at=-1s").await;
    assert_eq!(early.status, StatusCode::NOT_FOUND);
    assert!(early.body.contains("reaches until"), "{}", early.body);
}

#[tokio::test]
async fn the_page_of_a_search_shows_the_last_stored_moment_and_its_links_stay_there() {
    let past = PastSite::usual();
    let last = past.at(11);
    for fold in ["process", "program"] {
        let page = past.site.page(&format!("/search?q=nginx&fold={fold}&at=-1s")).await;
        assert_eq!(attributes(&page, "h1 + .word time.at", "datetime"), [last.as_str()], "{fold}");
        assert!(!texts(&page, "td.name").is_empty(), "{fold}");
        let links = attributes(&page, "#found th a, #folded td.name a, form.search a[download]", "href");
        // In links, a whole second is written without its fraction.
        let at = format!("at={}", fleetps::testing::view::when::written(past.begin_us + 11 * STEP_US));
        assert!(links.len() > 1 && links.iter().all(|link| link.contains(&at)), "{fold}: {links:?}");
    }
}

#[tokio::test]
async fn a_process_of_the_past_has_a_page_with_its_relatives_and_charts() {
    let past = PastSite::usual();
    let redirect = past.site.get("/hosts/web-1/processes/12").await;
    assert_eq!(redirect.status, StatusCode::TEMPORARY_REDIRECT);
    let url = redirect.headers["location"].to_str().unwrap();
    let html = past.site.page(url).await;
    assert_eq!(texts(&html, "h1"), ["worker"]);
    assert_eq!(texts(&html, ".word"), ["exited"]);
    assert_eq!(texts(&html, ".path a")[2..], ["init 1", "nginx 10"]);
    assert_eq!(texts(&html, "#siblings td.pid"), ["11"]);
    assert!(
        texts(&html, "#incarnations td.pid").is_empty(),
        "what started with it and goes on is no earlier run"
    );
    let worker =
        past.site.get("/hosts/web-1/processes/11").await.headers["location"].to_str().unwrap().to_owned();
    let charts = past.site.page(&worker).await;
    assert_eq!(texts(&charts, "figure:first-child .ticks span"), ["10.0 %", "5.0 %", "0.0 %"]);
    assert_eq!(texts(&charts, "figcaption b"), ["10.0 %", "42.0 MiB", "409 B/s", "0 B/s", "1"]);
    let nginx =
        past.site.get("/hosts/web-1/processes/10").await.headers["location"].to_str().unwrap().to_owned();
    let likes = past.site.page(&nginx).await;
    assert_eq!(texts(&likes, "#elsewhere td.host"), ["web-2"]);
    assert_eq!(texts(&likes, "#children td.pid"), ["11"]);
    let events = attributes(&html, "#events", "href");
    assert_eq!(events, ["/hosts/web-1/events?program=worker"]);
    for (url, status) in [
        ("/hosts/web-1/processes/99", StatusCode::NOT_FOUND),
        ("/hosts/web-1/processes/init", StatusCode::BAD_REQUEST),
        ("/hosts/web-1/processes/11?started=yesterday", StatusCode::BAD_REQUEST),
        ("/hosts/web-1/processes/11?started=1", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(past.site.get(url).await.status, status, "{url}");
    }
}

#[tokio::test]
async fn a_process_over_time_is_json_and_csv_too() {
    let past = PastSite::usual();
    let url = format!("/api/v1/hosts/web-1/processes/11/metrics?started=1790000000000000&{}", span(&past));
    let metrics = past.site.json(&format!("{url}&points=3")).await;
    let points = metrics["points"].as_array().unwrap();
    assert_eq!(points.len(), 3);
    assert_eq!((&points[1]["samples"], &points[1]["cpu_percent"]), (&json!(4), &json!(10.0)));
    assert_eq!(points[1]["resident_bytes_max"], json!((34_u64 << 20) as f64));
    let csv = past.site.get(&format!("{url}&format=csv")).await.body;
    assert!(csv.starts_with("from,to,samples,cpu_percent,"), "{csv}");
    assert_eq!(csv.lines().count(), 13);
    let one = past.site.json("/api/v1/hosts/web-1/processes/11?started=1790000000000000").await;
    assert_eq!(
        (&one["is_live"], &one["has_exited"], &one["unit"]),
        (&json!(false), &json!(false), &json!("nginx.service"))
    );
    assert_eq!((&one["first_seen"], &one["last_seen"]), (&json!(past.at(0)), &json!(past.at(11))));
    assert_eq!(one["ancestors"][1]["pid"], 10);
    assert_eq!(past.site.get(&format!("{url}&points=2001")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_running_process_is_shown_as_it_is_now() {
    let site = Site::with("web-1", family());
    let redirect = site.get("/hosts/web-1/processes/11?range=3h").await;
    let url = redirect.headers["location"].to_str().unwrap().to_owned();
    assert!(url.contains("started=2026-09-21") && url.contains("range=3h"), "{url}");
    let html = site.page(&url).await;
    assert_eq!(texts(&html, ".word"), ["running"]);
    assert_eq!(texts(&html, ".now dd")[0], "14.2");
    assert_eq!(texts(&html, "#siblings td.pid"), ["12"]);
    let row = site.page("/hosts/web-1?view=flat&sort=pid").await;
    let links = attributes(&row, "#processes td.name a", "href");
    assert!(links[2].starts_with("/hosts/web-1/processes/11?started="), "{}", links[2]);
}

#[tokio::test]
async fn older_events_follow_without_a_repeat_or_a_hole() {
    let begin_us = fleetps::testing::live::now_us() / 1_000_000 * 1_000_000 - 600_000_000;
    let at = |step: u32| {
        // Two are started at each step.
        let started = |pid: u32| i64::from(pid / 2 - 5) * STEP_US + begin_us - 1_000_000;
        let named = |pid: u32| Process { started_at_us: started(pid), ..process(pid, 1, &format!("p{pid}")) };
        let processes =
            std::iter::once(process(1, 0, "init")).chain((12..12 + 2 * step).map(named)).collect();
        let captured_at_us = begin_us + i64::from(step) * STEP_US;
        ("web-1", Snapshot { captured_at_us, ..snapshot(i64::from(step) + 1, processes) })
    };
    let past = PastSite::of(begin_us, (0..4).map(at).collect());
    let mut url = format!("/api/v1/hosts/web-1/events?kind=started&limit=3&to={}", past.at(4));
    let mut names = Vec::new();
    for _ in 0..6 {
        let page = past.site.json(&url).await;
        names.extend(page["events"].as_array().unwrap().iter().map(|event| event["name"].to_string()));
        match page["older"].as_str() {
            Some(older) => url = older.to_owned(),
            None => break,
        }
    }
    names.sort_unstable();
    assert_eq!(names, ["\"p12\"", "\"p13\"", "\"p14\"", "\"p15\"", "\"p16\"", "\"p17\""]);
}

#[tokio::test]
async fn a_search_of_the_present_that_takes_too_long_says_how_many_hosts_are_left() {
    let site = Site::with("web-1", family());
    site.tell("web-2", family());
    let (filter, all) = (Filter::parse("worker").unwrap(), Scope::everything());
    let cut = site.shared.fleet.search(&all, &filter, 10, &Deadline::after(Duration::ZERO));
    assert_eq!((cut.found.len(), cut.hosts, cut.hosts_left), (0, 0, 2));
    let whole = site.shared.fleet.search(&all, &filter, 3, &Deadline::after(PATIENCE));
    assert_eq!((whole.found.len(), whole.total, whole.hosts, whole.hosts_left), (3, 4, 2, 0));
}
