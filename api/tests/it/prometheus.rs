//! What Grafana's own data source and Prometheus's tools ask, and hostile questions.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fleetps_nats::{
    Snapshot,
    snapshot::{HostSample, Process},
};
use serde_json::Value;

use crate::support::{Answer, BEGIN_US, Site, process, snapshot_at, time_at};

/// The beginning of the histories of these tests, in s since 1970 UTC.
pub const BEGIN_S: i64 = BEGIN_US / 1_000_000;

pub fn encoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A process that has used so much CPU time.
fn busy(pid: u32, name: &str, cpu_time_ms: u64) -> Process {
    Process { cpu_time_ms: Some(cpu_time_ms), ..process(pid, 1, name) }
}

/// A host's snapshot at a second: CPU percent is the second by ten; 1,000 bytes are received each second; the program `app`
/// has two processes that use 100 and 300 ms of CPU each second.
fn told(second: i64) -> Snapshot {
    let seconds = u64::try_from(second).unwrap();
    let processes = vec![
        busy(10, "app", seconds * 100),
        busy(11, "app", 5_000 + seconds * 300),
        Process { user_name: None, ..busy(12, "idle", 70) },
    ];
    let snapshot = snapshot_at(second, processes);
    let host = HostSample {
        cpu_percent: Some(second as f32 / 10.0),
        network_received_bytes: Some(1_000_000 + seconds * 1_000),
        process_count: Some(3),
        ..snapshot.host
    };
    Snapshot { host, monotonic_ms: 50_000 + seconds * 1_000, ..snapshot }
}

/// Two hosts over ten minutes, with a sample every ten seconds; `web-2` is silent from the fifth minute on.
pub fn site() -> Site {
    let seconds = (0..=60).map(|step| step * 10);
    let all = seconds.flat_map(|second| {
        let two = [("web-1", true), ("web-2", second < 300)];
        two.into_iter().filter(|(_, is_there)| *is_there).map(move |(host, _)| (host, told(second)))
    });
    let all: Vec<_> = all.collect();
    let (early, late) = all.split_at(all.len() / 2);
    Site::with_history(vec![early.to_vec(), late.to_vec()])
}

pub async fn ask(site: &Site, query: &str, second: i64) -> Value {
    let time = (BEGIN_S + second).to_string();
    let url = format!("/prometheus/api/v1/query?{}", encoded(&[("query", query), ("time", &time)]));
    let answer = site.get(&url).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.body);
    serde_json::from_str::<Value>(&answer.body).unwrap()["data"].clone()
}

/// The values by the labels that are named, in the order of the answer.
pub async fn values(site: &Site, query: &str, second: i64, label: &str) -> Vec<(String, f64)> {
    let data = ask(site, query, second).await;
    let one = |series: &Value| {
        let label = series["metric"][label].as_str().unwrap_or_default().to_owned();
        (label, series["value"][1].as_str().unwrap().parse().unwrap())
    };
    data["result"].as_array().unwrap().iter().map(one).collect()
}

async fn refused(site: &Site, query: &str) -> (Answer, String) {
    let url = format!("/prometheus/api/v1/query?{}", encoded(&[("query", query)]));
    let answer = site.get(&url).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["status"], "error", "{query}: {body}");
    let error = body["error"].as_str().unwrap().to_owned();
    (answer, error)
}

#[tokio::test]
async fn figures_of_hosts_are_what_their_snapshots_said() {
    let site = site();
    let of = |query: &'static str, second| {
        let site = &site;
        async move { values(site, query, second, "host").await }
    };
    let pair = |host: &str, value: f64| (host.to_owned(), value);
    assert_eq!(of("fleetps_host_cpu_percent", 205).await, [pair("web-1", 20.0), pair("web-2", 20.0)]);
    assert_eq!(of("fleetps_host_cpu_percent{host=\"web-2\"}", 205).await, [pair("web-2", 20.0)]);
    assert_eq!(of("fleetps_host_up", 205).await, [pair("web-1", 1.0), pair("web-2", 1.0)]);
    assert_eq!(of("fleetps_host_up", 400).await, [pair("web-1", 1.0), pair("web-2", 0.0)]);
    assert_eq!(of("fleetps_host_cpu_percent", 400).await, [pair("web-1", 40.0)], "web-2 is silent");
    assert_eq!(
        of("rate(fleetps_host_network_received_bytes_total[1m])", 205).await,
        [pair("web-1", 1000.0), pair("web-2", 1000.0)]
    );
    assert_eq!(
        of("increase(fleetps_host_network_received_bytes_total[1m])", 200).await,
        [pair("web-1", 60_000.0), pair("web-2", 60_000.0)]
    );
    assert_eq!(of("max_over_time(fleetps_host_cpu_percent[1m])", 200).await[0], pair("web-1", 20.0));
    assert_eq!(of("min_over_time(fleetps_host_cpu_percent[1m])", 200).await[0], pair("web-1", 15.0));
    assert_eq!(of("avg_over_time(fleetps_host_cpu_percent[1m])", 200).await[0], pair("web-1", 17.5));
    assert_eq!(of("fleetps_host_cpu_percent offset 1m", 200).await[0], pair("web-1", 14.0));
    assert_eq!(of("sum(fleetps_host_cpu_percent)", 200).await, [pair("", 40.0)]);
    assert_eq!(of("fleetps_host_cpu_percent", -10).await, [], "before the first snapshot");
    assert_eq!(of("fleetps_host_cpu_percent", 9_000).await, [], "long after the last");
}

#[tokio::test]
async fn figures_of_programs_are_the_sums_of_their_processes() {
    let site = site();
    let of = |query: &'static str, second| {
        let site = &site;
        async move { values(site, query, second, "program").await }
    };
    let pair = |program: &str, value: f64| (program.to_owned(), value);
    let only = "host=\"web-1\"";
    let rate = format!("rate(fleetps_program_cpu_seconds_total{{{only}}}[1m])");
    assert_eq!(values(&site, &rate, 205, "program").await, [pair("app", 0.4), pair("idle", 0.0)]);
    assert_eq!(
        of("sum by (program) (increase(fleetps_program_cpu_seconds_total[1m]))", 200).await,
        [pair("app", 48.0), pair("idle", 0.0)]
    );
    let processes = of("sum by (program) (fleetps_program_processes)", 205).await;
    assert_eq!(processes, [pair("app", 4.0), pair("idle", 2.0)]);
    let resident = of("fleetps_program_memory_bytes{host=\"web-1\",program=~\"app|nothing\"}", 205).await;
    assert_eq!(resident, [pair("app", f64::from(20 << 20))]);
    let mean = of("avg_over_time(fleetps_program_processes{host=\"web-1\",user=\"\"}[2m])", 205).await;
    assert_eq!(mean, [pair("idle", 1.0)]);
    assert_eq!(
        of("topk(1, sum by (program) (rate(fleetps_program_cpu_seconds_total[5m])))", 200).await,
        [pair("app", 0.8)]
    );
}

#[tokio::test]
async fn a_question_that_is_not_supported_is_refused_with_its_column() {
    let site = site();
    for (query, column, words) in [
        ("histogram_quantile(0.9, x)", 1, "histogram_quantile is not supported"),
        ("1 + rate(fleetps_host_up)", 10, "needs a window"),
        ("fleetps_host_up[5m]", 1, "a window needs a function"),
        ("rate(fleetps_host_cpu_percent[5m])", 6, "has no rate"),
        ("fleetps_host_up and fleetps_host_up", 17, "`and` is not supported"),
        ("max_over_time(rate(fleetps_host_up[5m])[1h:])", 15, "windows of expressions"),
        ("fleetps_host_up{host=~\"(\"}", 17, "regular expression"),
        ("sum(", 5, "expected a metric"),
        ("fleetps_host_up{host=\"a", 22, "no end"),
        ("é", 1, "begins nothing"),
        ("", 1, "expected a metric"),
        ("1 == 1", 1, "needs `bool`"),
        ("fleetps_host_up * on(host) group_left fleetps_host_up", 28, "group_left"),
    ] {
        let (answer, error) = refused(&site, query).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {error}");
        assert!(error.contains(words), "{query}: {error}");
        assert!(error.ends_with(&format!("at column {column}")), "{query}: {error}");
    }
}

#[tokio::test]
async fn what_grafana_asks_first_is_answered() {
    let site = site();
    let health = site.get("/prometheus/api/v1/query?query=1%2B1&time=4").await;
    assert_eq!(health.body, r#"{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}"#);
    let form = |url: &str, pairs: &[(&str, &str)]| {
        Request::post(url.to_owned())
            .header("host", "localhost")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(encoded(pairs)))
            .unwrap()
    };
    let health = site.send(form("/prometheus/api/v1/query", &[("query", "1+1"), ("time", "4")])).await;
    assert_eq!(health.body, r#"{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}"#);
    let (start, end) = (BEGIN_S.to_string(), (BEGIN_S + 600).to_string());
    let pairs = [("query", "fleetps_host_cpu_percent"), ("start", &start), ("end", &end), ("step", "15")];
    let answer = site.send(form("/prometheus/api/v1/query_range", &pairs)).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["data"]["resultType"], "matrix", "{body}");
    assert_eq!(body["data"]["result"][0]["values"].as_array().unwrap().len(), 41, "{body}");
    for path in ["status/buildinfo", "rules", "alerts", "query_exemplars", "metadata", "labels"] {
        let answer = site.get(&format!("/prometheus/api/v1/{path}")).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, &body["status"]), (StatusCode::OK, &Value::from("success")), "{path}");
    }
    let within = format!("start={start}&end={end}");
    for (path, first) in [
        (format!("label/__name__/values?{within}"), "fleetps_events_total"),
        (format!("label/host/values?{within}"), "web-1"),
        (format!("label/program/values?{within}&match[]=fleetps_program_processes"), "app"),
        (format!("label/host/values?{within}&match[]=fleetps_host_up%7Bhost!%3D%22web-1%22%7D"), "web-2"),
        (format!("labels?{within}&match[]=fleetps_program_processes"), "__name__"),
    ] {
        let answer = site.get(&format!("/prometheus/api/v1/{path}")).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["data"][0], first, "{path}: {body}");
    }
    let series =
        site.get(&format!("/prometheus/api/v1/series?{within}&match[]=fleetps_program_processes")).await;
    let body: Value = serde_json::from_str(&series.body).unwrap();
    assert_eq!(body["data"].as_array().unwrap().len(), 4, "{body}");
}

#[tokio::test]
async fn the_time_in_which_a_host_was_up_is_known_to_the_second() {
    let site = site();
    // Of the five minutes before, web-2 was heard of until 290, and then silent.
    for (second, up) in [(200, 1.0), (297, 1.0), (590, 0.0)] {
        let found = values(&site, "avg_over_time(fleetps_host_up{host=\"web-2\"}[5m])", second, "host").await;
        assert_eq!(found, [("web-2".to_owned(), up)], "{second}");
    }
    let found = values(&site, "avg_over_time(fleetps_host_up{host=\"web-2\"}[5m])", 440, "host").await;
    assert_eq!(found, [("web-2".to_owned(), 0.5)]);
}

#[tokio::test]
async fn the_shape_of_series_is_a_flat_list() {
    let site = site();
    let span = format!("from={}&to={}", time_at(0), time_at(60));
    for (url, value) in [
        (format!("/api/v1/hosts/web-1/metrics?{span}&points=1"), "max"),
        (
            format!("/api/v1/hosts/web-1/processes/10/metrics?{span}&points=1&started=2026-09-21T14:13:20Z"),
            "pid",
        ),
        (format!("/api/v1/top?{span}&by=cpu"), "key"),
        (format!("/api/v1/search?q=app&at={}", time_at(55)), "program"),
    ] {
        let rows = site.json(&format!("{url}&shape=series")).await;
        let rows = rows.as_array().unwrap_or_else(|| panic!("{url}: {rows}"));
        assert!(!rows.is_empty(), "{url}");
        for row in rows {
            let fields = row.as_object().unwrap();
            assert!(fields["time"].as_str().unwrap().ends_with('Z'), "{url}: {row}");
            assert!(fields.contains_key("value") && fields.contains_key(value), "{url}: {row}");
            assert!(fields.values().all(|field| !field.is_object() && !field.is_array()), "{url}: {row}");
        }
        for form in ["shape=series", "shape=series&format=csv", "format=csv"] {
            let headers = site.get(&format!("{url}&{form}")).await.headers;
            assert_eq!(headers["fleetps-resolution"], "samples", "{url}&{form}");
            assert_eq!(headers["fleetps-incomplete"], "0", "{url}&{form}");
        }
        let csv = site.get(&format!("{url}&shape=series&format=csv")).await.body;
        assert!(csv.starts_with("time,host,"), "{url}: {csv}");
        assert_eq!(csv.lines().count(), rows.len() + 1, "{url}: {csv}");
    }
    assert_eq!(site.get("/api/v1/top?shape=round").await.status, StatusCode::BAD_REQUEST);
}
