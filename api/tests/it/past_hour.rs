//! The sparklines of the fleet page: how busy each host was in the past hour.

use std::sync::Arc;

use fleetps::testing::live::{Intake, now_us};
use fleetps_nats::Snapshot;
use scraper::Html;
use serde_json::json;
use tokio::sync::watch;

use crate::{
    browser::Browser,
    live::Events,
    support::{Site, attributes, family, snapshot, texts},
};

/// A snapshot of some minutes ago.
fn busy(minutes_ago: i64, cpu_percent: f32) -> Snapshot {
    let mut snapshot = snapshot(100 - minutes_ago, family());
    snapshot.captured_at_us = now_us() - minutes_ago * 60_000_000;
    snapshot.host.cpu_percent = Some(cpu_percent);
    snapshot
}

/// The heights of a sparkline, minute by minute.
fn heights(html: &Html, host: &str) -> Vec<i32> {
    let outline = attributes(html, &format!("#h-{host} .spark path"), "d").swap_remove(0);
    let steps = outline.strip_prefix("M0 16v").unwrap().strip_suffix('z').unwrap();
    let (mut heights, mut height) = (Vec::new(), 0);
    for step in steps.split('v') {
        let Some((up, minutes)) = step.split_once('h') else { continue };
        height -= up.parse::<i32>().unwrap();
        heights.extend(vec![height; minutes.parse().unwrap()]);
    }
    heights
}

#[tokio::test]
async fn after_a_start_the_past_hour_comes_from_the_history_and_goes_on_with_what_comes() {
    let kept = vec![
        ("web-1", busy(70, 100.0)),
        ("web-1", busy(50, 100.0)),
        ("db-1", busy(40, 3.0)),
        ("old-1", busy(30, 9.0)),
    ];
    let site = Site::with_history(vec![kept, vec![("web-1", busy(20, 0.0))]]);
    site.tell_snapshot("web-1", busy(0, 50.0), now_us());
    site.tell_snapshot("db-1", busy(90, 1.0), now_us() - 5_400_000_000);
    let shared = site.shared.clone();
    let intake = watch::channel(Intake { caught_up: true, ..Intake::default() }).1;
    shared.past.recall(Arc::clone(&shared.fleet), intake, shared.shutdown).await;

    let html = site.page("/?sort=hour").await;
    assert_eq!(texts(&html, "#hosts td.host .t"), ["web-1", "db-1"]);
    let said = ["CPU at most 100 % in the past hour", "CPU at most 3 % in the past hour"];
    assert_eq!(texts(&html, "#hosts td.hour"), said);
    let of_web = heights(&html, "web-1");
    assert_eq!(of_web.len(), 60);
    let known: Vec<i32> = of_web.into_iter().filter(|height| *height > 0).collect();
    assert_eq!(known, [16, 1, 9]);

    // Of a host whose clock is ahead, what it says now is of now.
    let mut ahead = busy(0, 80.0);
    ahead.captured_at_us += 86_400_000_000;
    site.tell_snapshot("db-1", ahead, now_us());
    let known: Vec<i32> =
        heights(&site.page("/").await, "db-1").into_iter().filter(|height| *height > 0).collect();
    assert_eq!(known, [2, 13]);
}

#[tokio::test]
async fn an_open_page_is_told_of_a_minute_that_comes_late() {
    let site = Site::with("web-1", family());
    let mut events = Events::open(&site, "/live").await;
    assert_eq!(events.next().await["whole"], true);
    site.tell_snapshot("web-1", busy(20, 7.0), now_us());
    let patch = events.next().await;
    let cells = patch["tables"][0]["cells"].as_array().unwrap();
    let told = cells.iter().find(|cell| cell[2] == "CPU at most 31 % in the past hour").unwrap();
    let outline = told.as_array().unwrap().last().unwrap().as_str().unwrap();
    assert!(outline.starts_with("M0 16v") && outline.contains("v-3h1v3h"), "{outline}");
}

#[tokio::test]
async fn in_a_browser_a_sparkline_changes_in_place() {
    let Some(browser) = Browser::open(Site::with("web-1", family()), true).await else { return };
    browser.go("/").await;
    browser.until_live().await;
    browser.run("window.kept = document.querySelector('#h-web-1 .spark')").await;
    browser.site.tell_snapshot("web-1", busy(20, 93.0), now_us());
    let said = "return document.querySelector('#h-web-1 td.hour').textContent";
    browser.until(said, json!("CPU at most 93 % in the past hour")).await;
    let drawn =
        "return document.querySelector('#h-web-1 .spark path').getAttribute('d').includes('v-15h1v15h')";
    browser.until(drawn, json!(true)).await;
    browser.until("return window.kept.isConnected", json!(true)).await;
}
