//! Charts, metrics and lists over time, over segments that were just sealed.

use axum::http::StatusCode;
use fleetps_nats::snapshot::Process;
use scraper::Html;

use crate::{
    support::{Site, attributes, process, snapshot_at, texts, time_at},
    travel::{exact, history},
};

#[tokio::test]
async fn moments_metrics_and_breakdowns_are_told_as_json_and_as_csv() {
    let site = Site::with_history(history());
    let span = format!("from={}&to={}", time_at(0), time_at(600));
    let listed = site.json(&format!("/api/v1/hosts/web-1/snapshots?{span}&limit=2")).await;
    assert_eq!(
        (&listed["total"], &listed["captured_at"]),
        (&40.into(), &serde_json::json!([exact(0), exact(10)]))
    );

    let metrics = site.json(&format!("/api/v1/hosts/web-1/metrics?{span}&points=6")).await;
    let points = metrics["points"].as_array().unwrap();
    assert!(points.len() <= 6);
    let greatest = points.iter().filter_map(|point| point["cpu_percent_max"].as_f64()).fold(0.0, f64::max);
    assert_eq!(greatest, 90.0);
    assert_eq!(metrics["gaps"].as_array().unwrap().len(), 1);
    let csv = site.get(&format!("/api/v1/hosts/web-1/metrics?{span}&points=6&format=csv")).await;
    assert!(
        csv.body
            .starts_with("from,to,samples,memory_total_bytes,cpu_percent,cpu_percent_min,cpu_percent_max,")
    );

    let breakdown =
        site.json(&format!("/api/v1/hosts/web-1/breakdown?{span}&of=cpu&parts=10&layers=1")).await;
    assert_eq!(breakdown["bounds"].as_array().unwrap().len(), 11);
    assert_eq!(breakdown["layers"].as_array().unwrap().len(), 1);
    for wrong in ["of=disk", "points=2001", "from=soon"] {
        let path = if wrong.starts_with("of") { "breakdown" } else { "metrics" };
        let refused = site.get(&format!("/api/v1/hosts/web-1/{path}?{wrong}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn the_timeline_is_a_picture_with_the_gap_and_the_spike_in_it() {
    let site = Site::with_history(history());
    let span = format!("from={}&to={}", time_at(0), time_at(600));
    let picture = site.get(&format!("/hosts/web-1/timeline.svg?{span}")).await;
    assert_eq!(
        (picture.status, picture.headers["content-type"].to_str().unwrap()),
        (StatusCode::OK, "image/svg+xml")
    );
    let svg = Html::parse_fragment(&picture.body);
    assert_eq!(attributes(&svg, "path.line", "class"), ["line cpu", "line memory"]);
    assert!(!attributes(&svg, "path.gap", "d")[0].is_empty());
    let page = site.page(&format!("/hosts/web-1?at={}&{span}", time_at(300))).await;
    let image = &attributes(&page, "#timeline", "data-image")[0];
    assert_eq!(site.get(image).await.body, picture.body);
    assert_eq!(attributes(&page, "#timeline .mark line", "x1"), ["500"]);
}

#[tokio::test]
async fn the_history_page_draws_every_chart_and_says_what_it_is_drawn_from() {
    let site = Site::with_history(history());
    let url = format!("/hosts/web-1/history?from={}&to={}&at={}", time_at(0), time_at(600), time_at(100));
    let html = site.page(&url).await;
    for id in ["cpu", "memory", "load", "disk", "network", "processes"] {
        assert_eq!(
            texts(&html, &format!("#chart-{id} .chart svg")).len(),
            if id == "cpu" || id == "memory" { 2 } else { 1 }
        );
    }
    let cpu = texts(&html, "#values tbody tr:first-child td");
    assert_eq!((cpu[0].as_str(), cpu[1].as_str(), cpu[3].as_str()), ("90.0", "10.0", "90.0"));
    assert!(
        texts(&html, "aside table + p")[0].contains("every sample"),
        "{:?}",
        texts(&html, "aside table + p")
    );
    assert!(texts(&html, "#chart-cpu .legend li")[0].starts_with("worker"));
}

#[tokio::test]
async fn a_program_that_is_called_like_markup_is_text_in_a_breakdown() {
    let name = "<img src=x onerror=alert(1)>";
    let named = |second| {
        let processes = vec![Process {
            cpu_percent: Some(50.0),
            cpu_time_ms: Some(second as u64 * 500),
            ..process(1, 0, name)
        }];
        ("web-1", snapshot_at(second, processes))
    };
    let site = Site::with_history(vec![(0..60).step_by(10).map(named).collect()]);
    let html = site
        .page(&format!("/hosts/web-1/history?at={}&from={}&to={}", time_at(50), time_at(0), time_at(60)))
        .await;
    assert!(attributes(&html, "img", "src").is_empty());
    assert!(texts(&html, ".legend li").iter().any(|text| text.starts_with(name)));
}
