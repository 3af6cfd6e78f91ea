//! The dashboards in `api/packaging/grafana/`: each of their questions has an answer, and each of their links leads to a moment.

use std::{collections::BTreeMap, fs, path::Path};

use axum::http::StatusCode;
use fleetps_agent::simulate::{Fleet, SimulationSettings};
use fleetps_ingestor::history::EventKind;
use serde_json::Value;

use crate::{
    prometheus::encoded,
    support::{BEGIN_US, Site},
};

/// Simulated hosts, and how long they are told of, in s.
const HOSTS: usize = 2;
const LENGTH_S: i64 = 900;

fn dashboards() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/grafana");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
        })
        .collect()
}

/// A fleet as `--demo` simulates it.
fn site() -> (Site, String) {
    let settings = SimulationSettings { hosts: HOSTS, processes: 40, ..SimulationSettings::default() };
    let mut fleet = Fleet::new(&settings);
    let names: Vec<String> = fleet.host_names().iter().map(ToString::to_string).collect();
    let mut told = Vec::new();
    for step in 0..LENGTH_S / 10 {
        for (host, name) in names.iter().enumerate() {
            told.push((name.as_str(), fleet.snapshot(host, BEGIN_US + step * 10_000_000)));
        }
    }
    (Site::with_history(vec![told]), names[0].clone())
}

/// The windows that a step of 30 s is tried with: itself, and what `$__rate_interval` makes of it.
const WINDOWS: [&str; 2] = ["30s", "40s"];

/// A text of a dashboard with its variables as Grafana fills them.
fn filled(text: &str, host: &str, program: &str, window: &str) -> String {
    [
        ("$__interval", window),
        ("$__range", "10m"),
        ("${program:percentencode}", program),
        ("${__field.labels.program:percentencode}", program),
        ("${__field.labels.host}", host),
        ("${__field.labels.kind}", "started"),
        ("${fleetps}", ""),
        ("${host}", host),
        ("$host", host),
        ("$program", program),
        ("$group", ".*"),
        ("$kind", ".+"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (variable, value)| text.replace(variable, value))
}

fn each<'a>(dashboard: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    dashboard.pointer(list).and_then(Value::as_array).into_iter().flatten()
}

#[tokio::test]
async fn every_question_of_the_dashboards_has_an_answer() {
    let (site, host) = site();
    let (start, end) = (BEGIN_US / 1_000_000 + 300, BEGIN_US / 1_000_000 + LENGTH_S - 10);
    let programs = format!("/prometheus/api/v1/label/program/values?start={start}&end={end}");
    let programs = site.json(&programs).await;
    let program = programs["data"][0].as_str().unwrap().to_owned();
    let mut asked = 0;
    for (name, dashboard) in dashboards() {
        let annotations = each(&dashboard, "/annotations/list").filter_map(|one| one["expr"].as_str());
        let panels = each(&dashboard, "/panels").flat_map(|panel| each(panel, "/targets"));
        let questions: Vec<&str> =
            annotations.chain(panels.filter_map(|target| target["expr"].as_str())).collect();
        let with_windows = questions
            .iter()
            .flat_map(|question| WINDOWS.map(|window| filled(question, &host, &program, window)));
        for query in with_windows {
            assert!(!query.contains('$'), "{name}: {query}");
            let (start, end) = (start.to_string(), end.to_string());
            let pairs = [("query", query.as_str()), ("start", &start), ("end", &end), ("step", "30")];
            let answer = site.get(&format!("/prometheus/api/v1/query_range?{}", encoded(&pairs))).await;
            assert_eq!(answer.status, StatusCode::OK, "{name}: {query}: {}", answer.body);
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            // Nothing boots or falls silent in so short a time.
            let may_be_empty = query.contains("fleetps_events_total") && query.ends_with("> 0");
            let is_empty = body["data"]["result"].as_array().unwrap().is_empty();
            assert!(!is_empty || may_be_empty, "{name}: {query}: no data");
            asked += 1;
        }
        for variable in each(&dashboard, "/templating/list").filter(|variable| variable["type"] == "query") {
            let definition = variable["definition"].as_str().unwrap();
            let inner =
                definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
            let (metric, label) = inner.rsplit_once(", ").unwrap_or(("", inner));
            let metric = filled(metric, &host, &program, WINDOWS[0]);
            let mut pairs = vec![("start", start.to_string()), ("end", end.to_string())];
            if !metric.is_empty() {
                pairs.push(("match[]", metric));
            }
            let pairs: Vec<(&str, &str)> =
                pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let url = format!("/prometheus/api/v1/label/{label}/values?{}", encoded(&pairs));
            let body = site.json(&url).await;
            assert_eq!(body["status"], "success", "{name}: {definition}: {body}");
            // These hosts are in no group.
            assert!(label == "group" || !body["data"].as_array().unwrap().is_empty(), "{name}: {definition}");
        }
    }
    assert!(asked > 60, "{asked} questions were found");
}

#[test]
fn windows_are_as_long_as_steps_and_events_are_those_of_note() {
    for (name, dashboard) in dashboards() {
        let text = dashboard.to_string();
        assert!(
            !text.contains("$__rate_interval"),
            "{name}: its windows have no short common measure with steps"
        );
        for panel in each(&dashboard, "/panels") {
            let is_windowed =
                each(panel, "/targets").any(|target| target.to_string().contains("$__interval"));
            assert!(!is_windowed || panel["interval"] == "30s", "{name}: {}", panel["title"]);
        }
    }
    let events = &dashboards()["events.json"];
    let mut variables = each(events, "/templating/list");
    let kind = variables.find(|variable| variable["name"] == "kind").unwrap();
    let shown: Vec<&str> = each(kind, "/current/value").map(|kind| kind.as_str().unwrap()).collect();
    let all = EventKind::ALL.iter().map(|kind| kind.id());
    let of_note: Vec<&str> = all.filter(|kind| !matches!(*kind, "started" | "exited")).collect();
    assert_eq!(shown, of_note);
}

#[tokio::test]
async fn every_panel_links_to_the_moment() {
    let (site, host) = site();
    let at_ms = (BEGIN_US / 1000 + 600_123).to_string();
    for (name, dashboard) in dashboards() {
        for panel in each(&dashboard, "/panels") {
            let title = panel["title"].as_str().unwrap();
            let links: Vec<&str> =
                each(panel, "/fieldConfig/defaults/links").filter_map(|link| link["url"].as_str()).collect();
            assert!(!links.is_empty(), "{name}: {title} has no link");
            for link in links {
                assert!(link.contains("${__value.time}"), "{name}: {title}: {link}");
                let url = filled(&link.replace("${__value.time}", &at_ms), &host, "nginx", WINDOWS[0]);
                assert!(!url.contains('$'), "{name}: {title}: {url}");
                let answer = site.get(&url).await;
                assert_eq!(answer.status, StatusCode::OK, "{name}: {title}: {url}");
            }
        }
    }
}
