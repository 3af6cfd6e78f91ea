//! Hostile strings, damaged files and a long history, on the pages over time.

use std::sync::Arc;

use fleetps_ingestor::history::Scope;
use fleetps_nats::{Snapshot, snapshot::Process};

use crate::{
    history::{PastSite, STEP_US},
    support::{process, snapshot, texts},
};

const IMAGE: &str = "<img src=x onerror=alert(1)>";
const FORMULA: &str = "=cmd|' /C calc'!A0";
const QUOTES: &str = "a\"b' or true --\u{202e}";

/// Two snapshots: of each name one process that stays, uses CPU and grows, and one that is started.
fn hostile() -> PastSite {
    let begin_us = (fleetps::testing::live::now_us() - 600_000_000) / 1_000_000 * 1_000_000;
    let named = |pid: u32, name: &str, step: u64| Process {
        command_line: Some(name.to_owned()),
        user_name: Some(name.to_owned()),
        unit: Some(name.to_owned()),
        executable: Some(name.to_owned()),
        cpu_time_ms: Some(1_000 + step * 500),
        resident_bytes: Some((10 + 10 * step) << 20),
        ..process(pid, 1, name)
    };
    let at = |step: u64| {
        let stays = (10..).zip([IMAGE, FORMULA, QUOTES]).map(|(pid, name)| named(pid, name, step));
        let starts = (20..).zip([IMAGE, FORMULA, QUOTES]).map(|(pid, name)| Process {
            started_at_us: begin_us + STEP_US - 1_000_000,
            ..named(pid, name, 0)
        });
        let starts = starts.filter(|_| step > 0);
        let processes = std::iter::once(process(1, 0, "init")).chain(stays).chain(starts).collect();
        let captured_at_us = begin_us + i64::try_from(step).unwrap() * STEP_US;
        Snapshot { captured_at_us, ..snapshot(1 + i64::try_from(step).unwrap(), processes) }
    };
    PastSite::of(begin_us, vec![("bad", at(0)), ("bad", at(1)), ("worse", at(0)), ("worse", at(1))])
}

fn addresses(past: &PastSite) -> Vec<String> {
    let span = format!("from={}&to={}", past.at(0), past.at(2));
    let started = 1_790_000_000_000_000_i64;
    vec![
        format!("/hosts/bad/events?{span}"),
        format!("/events?{span}"),
        format!("/hosts/bad/diff?{span}"),
        format!("/top?{span}"),
        format!("/top?{span}&group=process"),
        format!("/top?{span}&group=user&by=memory"),
        format!("/top?{span}&group=unit&host=bad"),
        format!("/search?q=pid+%3E+0&at={}", past.at(1)),
        "/search?q=%22%3Cimg%20src%3Dx%3E%22".to_owned(),
        "/search?q=%3Cimg%20src%3Dx%3E".to_owned(),
        format!("/hosts/bad/processes/10?started={started}"),
        format!("/hosts/bad/processes/11?started={started}"),
        format!("/hosts/bad/processes/12?started={started}"),
    ]
}

#[tokio::test]
async fn hostile_names_are_text_on_every_page_over_time() {
    let past = hostile();
    for url in addresses(&past) {
        let html = past.site.page(&url).await;
        assert!(texts(&html, "main img, main script, main [onerror]").is_empty(), "{url}");
        let raw = past.site.get(&url).await.body;
        assert!(!raw.contains('\u{202e}'), "{url}");
    }
    let top = past.site.page(&addresses(&past)[3]).await;
    assert!(texts(&top, "#top td.name").contains(&IMAGE.to_owned()));
}

#[tokio::test]
async fn hostile_names_are_exact_in_json_and_no_formulas_in_csv() {
    let past = hostile();
    let span = format!("from={}&to={}", past.at(0), past.at(2));
    for (url, list, field) in [
        (format!("/api/v1/events?{span}&kind=started"), "events", "name"),
        (format!("/api/v1/hosts/bad/diff?{span}"), "started", "name"),
        (format!("/api/v1/top?{span}"), "top", "key"),
        (format!("/api/v1/search?q=pid+%3E+1&at={}", past.at(1)), "processes", "name"),
    ] {
        let answer = past.site.json(&url).await;
        let names: Vec<&str> =
            answer[list].as_array().unwrap().iter().filter_map(|row| row[field].as_str()).collect();
        for name in [IMAGE, FORMULA, QUOTES] {
            assert!(names.contains(&name), "{url}: {names:?}");
        }
        let csv = past.site.get(&format!("{url}&format=csv")).await;
        assert!(csv.headers["content-disposition"].to_str().unwrap().starts_with("attachment"), "{url}");
        let mut cells = csv::Reader::from_reader(csv.body.as_bytes())
            .into_records()
            .flat_map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>());
        assert!(!cells.any(|cell| cell.starts_with(['=', '+', '@'])), "{url}: {}", csv.body);
        assert!(csv.body.contains(&format!("'{FORMULA}")), "{url}: {}", csv.body);
    }
}

#[tokio::test]
async fn a_hostile_name_in_a_link_finds_the_process_of_that_name_and_no_other() {
    let past = hostile();
    let span = format!("from={}&to={}", past.at(0), past.at(1));
    let top = past.site.page(&format!("/top?{span}")).await;
    for (name, href) in
        texts(&top, "#top td.name").iter().zip(crate::support::attributes(&top, "#top td.name a", "href"))
    {
        let found = past.site.page(&href).await;
        let names = texts(&found, "#found td.name");
        assert!(!names.is_empty() && names.iter().all(|found| found == name), "{href}: {names:?}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told_on_every_page_and_in_every_answer() {
    let past = hostile();
    let sound = std::fs::read_dir(past.site.folder.path()).unwrap().next().unwrap().unwrap().path();
    let name = sound.file_name().unwrap().to_str().unwrap();
    // The sequences after those of the sound one.
    let damaged = name.replacen("-000000000001-000000000004-", "-000000000005-000000000009-", 1);
    assert_ne!(damaged, name);
    std::fs::write(past.site.folder.path().join(&damaged), b"no database").unwrap();
    past.site.shared.past.history(Arc::new(Scope::everything())).unwrap().refresh().unwrap();
    for url in addresses(&past).iter().filter(|url| !url.contains("%3Cimg")) {
        assert_eq!(texts(&past.site.page(url).await, ".notice li code"), [damaged.as_str()], "{url}");
    }
    let top = past.site.json("/api/v1/top").await;
    assert_eq!(top["incomplete"], serde_json::json!([damaged]));
    assert_eq!(past.site.get("/api/v1/top?format=csv").await.headers["fleetps-incomplete"], "1");
}
