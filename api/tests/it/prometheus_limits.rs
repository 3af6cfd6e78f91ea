//! What is asked of Prometheus's interface by those who may see little, and by those who mean harm.

use axum::http::StatusCode;
use fleetps::testing::{
    auth::{PrincipalKind, Role},
    routes::table,
};
use fleetps_nats::{Snapshot, snapshot::Process};
use serde_json::Value;

use crate::{
    authz::{OTHER, OWN, ask, person, site as two_hosts},
    prometheus::{BEGIN_S, encoded, site},
    support::{BEGIN_US, Site, process, snapshot_at},
};

#[tokio::test]
async fn nobody_hears_of_a_host_that_they_do_not_see() {
    let site = two_hosts();
    let person = person(Role::Viewer, Some("own"), false);
    let (time, start) = ((BEGIN_S + 55).to_string(), (BEGIN_S - 10).to_string());
    let mut answered = 0;
    for route in table().into_iter().filter(|route| route.path.starts_with("/prometheus/")) {
        assert_eq!(route.policy.open_to, PrincipalKind::PEOPLE, "{}", route.path);
        let path = route.path;
        let labels: &[&str] = match path.contains("{label}") {
            true => &["host", "program", "user", "unit", "group", "__name__", "kind"],
            false => &[""],
        };
        for label in labels {
            for query in [
                "fleetps_host_up",
                "count(fleetps_host_up)",
                "fleetps_host_load",
                "sum by (host) (fleetps_program_processes)",
                "rate(fleetps_program_cpu_seconds_total[1m])",
                "avg_over_time(fleetps_program_memory_bytes[1m])",
                "increase(fleetps_events_total[1m])",
                "fleetps_host_up{group=\"other\"}",
                "fleetps_host_up{host=\"other-1\"}",
                "fleetps_host_up{host=~\"other.*|own.*\"}",
            ] {
                let selector =
                    query.split(['(', ')', '[']).find(|part| part.starts_with("fleetps_")).unwrap();
                let pairs = [
                    ("query", query),
                    ("time", &time),
                    ("start", &start),
                    ("end", &time),
                    ("step", "10"),
                    ("match[]", selector),
                ];
                let url = format!("{}?{}", path.replace("{label}", label), encoded(&pairs));
                let answer = ask(&site, &person, &route, &url).await;
                assert_eq!(answer.status, StatusCode::OK, "{url}: {}", answer.body);
                let echoes = answer.body.replace(query, "");
                assert!(!echoes.contains(OTHER) && !echoes.contains("other"), "{url}: {}", answer.body);
                assert!(!answer.body.contains("hunter2"), "{url}");
                answered += usize::from(answer.body.contains(OWN));
                if query == "count(fleetps_host_up)" && path.ends_with("/query") {
                    let body: Value = serde_json::from_str(&answer.body).unwrap();
                    assert_eq!(body["data"]["result"][0]["value"][1], "1", "{url}: {body}");
                }
            }
        }
    }
    assert!(answered > 20, "{answered} answers were about the host that is seen");
}

#[tokio::test]
async fn a_question_that_would_take_too_much_is_refused() {
    let site = site();
    let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let nested = format!("{}fleetps_host_up{}", "abs(".repeat(60), ")".repeat(60));
    let negatives = format!("{}1", "-".repeat(5_000));
    let chain = vec!["1"; 5_000].join("+");
    let powers = vec!["2"; 2_000].join("^");
    let selectors = vec!["fleetps_host_up"; 40].join("+");
    let matchers = format!("fleetps_host_up{{{}}}", vec!["host=~\"a.*\""; 65].join(","));
    let long_regex = format!("fleetps_host_up{{host=~\"{}\"}}", "a|".repeat(6_000));
    let hostile = [
        deep.as_str(),
        &nested,
        &negatives,
        &chain,
        &powers,
        &selectors,
        &long_regex,
        &matchers,
        // More than 512 KiB when it is compiled.
        "fleetps_host_up{host=~\"a{5000}b{5000}c{5000}d{5000}\"}",
        "fleetps_host_up{host=~\"(((a{100}){100}){100})\"}",
        "fleetps_host_up{host=~\"(?P<a\"}",
        "{__name__=~\".+\"}",
        "rate(fleetps_host_cpu_seconds_total[9999999999999y])",
        "fleetps_host_up offset 99999999999999999999y",
        "fleetps_host_up @ 1e300",
        "topk(1e300, fleetps_host_up)",
        "fleetps_host_up{\u{0}}",
        "\"",
        "{",
        "}{",
        "sum by (host",
        "fleetps_host_up[5m:1s]",
    ];
    for query in hostile {
        let answer = site.form("/prometheus/api/v1/query", &[("query", query)]).await;
        let answer = site.send(answer).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}: {body}",
            &query[..query.len().min(80)]
        );
        assert_eq!(body["errorType"], "bad_data", "{body}");
        assert!(answer.body.len() < 2_000, "an error of {} bytes", answer.body.len());
    }
}

#[tokio::test]
async fn conditions_are_counted_over_all_selectors_and_lists_of_hosts_are_cheap() {
    let site = site();
    let one = format!("fleetps_host_up{{{}}}", vec!["host!~\"b.*\""; 40].join(","));
    let start = BEGIN_S.to_string();
    let two = [("start", start.as_str()), ("match[]", &one), ("match[]", &one)];
    let answer = site.get(&format!("/prometheus/api/v1/series?{}", encoded(&two))).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    assert!(answer.body.contains("64 conditions"), "{}", answer.body);
    // What Grafana makes of many chosen hosts.
    let hosts: Vec<String> = (0..400).map(|host| format!("web\\\\-{host:010}")).collect();
    let query = format!("count(fleetps_host_up{{host=~\"(web\\\\-1|{})\"}})", hosts.join("|"));
    let found = crate::prometheus::values(&site, &query, 205, "").await;
    assert_eq!(found, [(String::new(), 1.0)]);
}

#[tokio::test]
async fn points_are_counted_once() {
    let at = |host: &String| (host.clone(), snapshot_at(0, Vec::new()));
    let hosts: Vec<String> = (0..100).map(|host| format!("web-{host}")).collect();
    let told: Vec<(String, Snapshot)> = hosts.iter().map(at).collect();
    let site =
        Site::with_history(vec![told.iter().map(|(host, told)| (host.as_str(), told.clone())).collect()]);
    let (start, end) = (BEGIN_S.to_string(), (BEGIN_S + 10_999).to_string());
    // 1,100,000 of the 2,000,000 points that there may be.
    let pairs =
        [("query", "count(fleetps_host_up)"), ("start", start.as_str()), ("end", &end), ("step", "1")];
    let answer = site.get(&format!("/prometheus/api/v1/query_range?{}", encoded(&pairs))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test]
async fn events_of_a_program_or_of_some_hosts_are_found_among_very_many() {
    let many = |second: i64| {
        let started_at_us = BEGIN_US + 1_000_000;
        let one =
            |pid| Process { started_at_us, start_ticks: Some(u64::from(pid)), ..process(pid, 1, "many") };
        let few = (second > 0)
            .then(|| Process { start_ticks: Some(5), ..Process { name: "few".to_owned(), ..one(9) } });
        let all = (10..if second > 0 { 10_100 } else { 10 }).map(one).chain(few);
        snapshot_at(second, all.collect())
    };
    let few =
        |second: i64| snapshot_at(second, if second > 0 { vec![process(9, 1, "few")] } else { Vec::new() });
    let told = [0, 10]
        .into_iter()
        .flat_map(|second| [("a-1", few(second)), ("b-1", few(second)), ("c-1", many(second))]);
    let site = Site::with_history(vec![told.collect()]);
    let counted = |selector: &'static str| {
        let query =
            format!("sum by (host) (increase(fleetps_events_total{{kind=\"started\",{selector}}}[1m]))");
        let site = &site;
        async move { crate::prometheus::values(site, &query, 20, "host").await }
    };
    let pair = |host: &str| (host.to_owned(), 1.0);
    assert_eq!(counted("program=\"few\"").await, [pair("a-1"), pair("b-1"), pair("c-1")]);
    assert_eq!(counted("program=~\"few|other\",host!=\"a-1\"").await, [pair("b-1"), pair("c-1")]);
    assert_eq!(counted("host=~\"a-1|b-1\"").await, [pair("a-1"), pair("b-1")]);
}

#[tokio::test]
async fn times_and_steps_that_would_take_too_much_are_refused() {
    let site = site();
    for (start, end, step, status) in [
        ("0", "1e10", "1", StatusCode::UNPROCESSABLE_ENTITY),
        ("0", "1e9", "0.001", StatusCode::UNPROCESSABLE_ENTITY),
        ("0", "100", "0", StatusCode::UNPROCESSABLE_ENTITY),
        ("100", "0", "1", StatusCode::UNPROCESSABLE_ENTITY),
        ("0", "100", "-1", StatusCode::BAD_REQUEST),
        ("0", "100", "NaN", StatusCode::BAD_REQUEST),
        ("-inf", "inf", "1", StatusCode::BAD_REQUEST),
        ("1e300", "1e301", "1e299", StatusCode::BAD_REQUEST),
        ("x", "1", "1", StatusCode::BAD_REQUEST),
        ("-60000000000", "253402300799", "253402300799", StatusCode::OK),
        ("0", "1", "1", StatusCode::OK),
    ] {
        for query in [
            "fleetps_host_up",
            "rate(fleetps_program_cpu_seconds_total[100y])",
            "fleetps_host_load offset -99y",
        ] {
            let pairs = [("query", query), ("start", start), ("end", end), ("step", step)];
            let answer = site.get(&format!("/prometheus/api/v1/query_range?{}", encoded(&pairs))).await;
            // A window that has no common measure with its step is refused as well.
            let is_expected = answer.status == status || answer.status == StatusCode::UNPROCESSABLE_ENTITY;
            assert!(is_expected, "{pairs:?}: {} {}", answer.status, answer.body);
            serde_json::from_str::<Value>(&answer.body).unwrap();
        }
    }
    let missing = site.get("/prometheus/api/v1/query_range?query=1").await;
    assert!(missing.body.contains("parameter start is missing"), "{}", missing.body);
}

#[tokio::test]
async fn hostile_names_of_programs_stay_texts() {
    let names = ["a\"b\\c\nd", "'; DROP TABLE process; --", "<script>", "\u{202e}gnp", "{}|.*", "€ nő"];
    let told = |second: i64| -> Snapshot {
        let named = |(pid, name): (u32, &&str)| Process { cpu_time_ms: Some(10), ..process(pid, 1, name) };
        snapshot_at(second, (10..).zip(&names).map(named).collect())
    };
    let site = Site::with_history(vec![(0..6).map(|step| ("web-1", told(step * 10))).collect()]);
    for name in names {
        for operator in ["=", "=~"] {
            let value = match operator {
                "=" => name.to_owned(),
                _ => regex_escaped(name),
            };
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let query = format!("fleetps_program_processes{{program{operator}\"{quoted}\"}}");
            let time = (BEGIN_US / 1_000_000 + 50).to_string();
            let pairs = [("query", query.as_str()), ("time", &time)];
            let body = site.json(&format!("/prometheus/api/v1/query?{}", encoded(&pairs))).await;
            let found = body["data"]["result"].as_array().unwrap();
            assert_eq!(found.len(), 1, "{query}: {body}");
            assert_eq!(found[0]["metric"]["program"], name, "{body}");
        }
    }
}

fn regex_escaped(text: &str) -> String {
    let escaped = |letter: char| match letter {
        letter if letter.is_ascii_punctuation() => format!("\\{letter}"),
        letter => letter.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[tokio::test]
async fn refusals_of_the_server_are_in_prometheus_form_as_well() {
    let site = Site::new();
    let answer = site.get("/prometheus/api/v1/query?query=fleetps_host_up").await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (answer.status, &body["errorType"]),
        (StatusCode::SERVICE_UNAVAILABLE, &Value::from("unavailable"))
    );
    let answer = site.get("/prometheus/api/v1/nothing").await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &body["status"]), (StatusCode::NOT_FOUND, &Value::from("error")));
}
