//! Metrics of hosts: hostile names, the cap, hosts that fall silent, and who sees which.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use fleetps::testing::live::now_us;
use fleetps_nats::{
    Snapshot,
    snapshot::{FilesystemSample, Process},
};

use super::{
    OPEN_METRICS, asked_with,
    parsed::{Scrape, parse, parse_with_python},
    scrape, token,
};
use crate::{
    guarded::Guarded,
    support::{Site, family, process, snapshot},
};

/// The most series of an answer.
const MAX_SERIES: usize = 50_000;

async fn hosts(site: &Site, url: &str) -> Scrape {
    let answer = scrape(site, url, OPEN_METRICS).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    parse(&answer.body, true)
}

fn filesystem(mount: &str, used: u64) -> FilesystemSample {
    FilesystemSample {
        mount: mount.to_owned(),
        total_bytes: Some(100),
        used_bytes: Some(used),
        ..FilesystemSample::default()
    }
}

#[tokio::test]
async fn a_host_has_its_figures_as_it_said_them_and_what_it_did_not_say_is_absent() {
    let site = Site::new();
    let mut said = snapshot(1, family());
    said.host.cpu_time_ms = Some(90_500);
    said.host.cpu_idle_ms = Some(10_000);
    said.host.cpu_iowait_ms = Some(1_000);
    said.host.network_sent_bytes = Some(u64::MAX >> 1);
    said.clock_offset_us = Some(-1_500_000);
    said.filesystems =
        vec![filesystem("/", 40), FilesystemSample { mount: "/dead".to_owned(), ..Default::default() }];
    site.tell_snapshot("web-1", said, now_us());
    let read = hosts(&site, "/metrics/hosts").await;
    super::check_declared(&read, "/metrics/hosts");
    let of = |name: &str, more: &[(&str, &str)]| read.value(name, &[&[("host", "web-1")], more].concat());
    assert_eq!(of("fleetps_host_up", &[]), Some(1.0));
    assert_eq!(of("fleetps_host_cpu_percent", &[]), Some(31.4));
    assert_eq!(of("fleetps_host_cpu_seconds_total", &[("mode", "busy")]), Some(90.5));
    assert_eq!(of("fleetps_host_cpu_seconds_total", &[("mode", "idle")]), Some(9.0));
    assert_eq!(of("fleetps_host_cpu_seconds_total", &[("mode", "iowait")]), Some(1.0));
    assert_eq!(of("fleetps_host_load", &[("minutes", "1")]), Some(0.42));
    assert_eq!(of("fleetps_host_load", &[("minutes", "5")]), None, "it did not say");
    assert_eq!(of("fleetps_host_network_sent_bytes_total", &[]), Some((u64::MAX >> 1) as f64));
    assert_eq!(of("fleetps_host_clock_offset_seconds", &[]), Some(-1.5));
    assert_eq!(of("fleetps_host_filesystem_used_bytes", &[("mount", "/")]), Some(40.0));
    assert_eq!(of("fleetps_host_filesystem_used_bytes", &[("mount", "/dead")]), None);
    assert_eq!(read.series("fleetps_program_processes").count(), 0, "none were asked for");
    assert_eq!(read.value("fleetps_series_dropped", &[]), Some(0.0));
    let refused = scrape(&site, "/metrics/hosts?programs=101", OPEN_METRICS).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("from 0 to 100"), "{}", refused.body);
}

#[tokio::test]
async fn hostile_names_are_exact_and_break_no_reader() {
    let site = Site::new();
    let long = "x".repeat(3_000);
    let names = [
        "a\nfleetps_host_up{host=\"web-1\"} 0",
        "a\\\"} 1\n# EOF",
        "\\",
        "\"",
        "\\n",
        "\u{1b}[2J\u{9b}\u{202e}\u{2028}\r\t",
        "",
        "{}=,# HELP x y",
        long.as_str(),
    ];
    let processes = |cpu: u64| -> Vec<Process> {
        let same = ["nul\0", "nul\u{fffd}"];
        (1..)
            .zip(names.into_iter().chain(same))
            .map(|(pid, name)| Process { cpu_time_ms: Some(cpu), ..process(pid, 0, name) })
            .collect()
    };
    for sequence in 1..=2_i64 {
        let mut said = snapshot(sequence, processes(u64::try_from(sequence).unwrap() * 1_000));
        said.filesystems = names.iter().map(|mount| filesystem(mount, 1)).collect();
        site.tell_snapshot("web-1", said, now_us());
        hosts(&site, "/metrics/hosts?programs=20").await;
    }
    for (accept, is_open) in [(OPEN_METRICS, true), ("text/plain", false)] {
        let answer = scrape(&site, "/metrics/hosts?programs=20", accept).await;
        let read = parse(&answer.body, is_open);
        let labels = |series: &str, label: &str| -> BTreeSet<String> {
            read.series(series).map(|sample| sample.label(label).to_owned()).collect()
        };
        let mut expected: BTreeSet<String> =
            names.iter().map(|name| name[..name.len().min(256)].to_owned()).collect();
        assert_eq!(labels("fleetps_host_filesystem_used_bytes", "mount"), expected);
        expected.insert("nul\u{fffd}".to_owned());
        assert_eq!(labels("fleetps_program_processes", "program"), expected);
        assert!(read.series("fleetps_program_cpu_seconds_total").all(|sample| sample.value == 1.0));
        assert_eq!(read.value("fleetps_series_dropped", &[]), Some(3.0), "one of two names that look alike");
        if let Some(python) = parse_with_python(&answer.body, is_open) {
            assert_eq!(python.len(), read.samples.len());
            for sample in &read.samples {
                let labels: std::collections::BTreeMap<_, _> = sample.labels.iter().cloned().collect();
                let known = |line: &String| {
                    let rest = line.strip_prefix(&format!("{} ", sample.name));
                    let json = rest.and_then(|rest| rest.rsplit_once(' ')).map(|(json, _)| json);
                    json.is_some_and(|json| {
                        serde_json::from_str::<std::collections::BTreeMap<String, String>>(json).unwrap()
                            == labels
                    })
                };
                assert!(python.iter().any(known), "{sample:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_has_a_cap_the_same_hosts_are_whole_in_every_one_and_what_is_missing_is_counted() {
    let site = Site::new();
    let processes: Vec<Process> = (1..=40).map(|pid| process(pid, 0, &format!("program-{pid}"))).collect();
    for number in 0..900 {
        site.tell_snapshot(&format!("host-{number:04}"), snapshot(1, processes.clone()), now_us());
    }
    let read = hosts(&site, "/metrics/hosts?programs=20").await;
    assert!(
        read.samples.len() <= MAX_SERIES && read.samples.len() > MAX_SERIES - 3,
        "{}",
        read.samples.len()
    );
    assert_eq!(read.series("fleetps_host_up").count(), 900);
    assert_eq!(read.series("fleetps_host_memory_used_bytes").count(), 900);
    let per_host =
        |read: &Scrape, host: &str| read.samples.iter().filter(|sample| sample.label("host") == host).count();
    let whole = per_host(&read, "host-0000");
    let dropped = read.value("fleetps_series_dropped", &[]).unwrap();
    assert_eq!((read.samples.len() - 1) as f64 + dropped, (900 * whole) as f64);
    assert!(per_host(&read, "host-0899") < whole, "the last by name miss their programs");
    let identities = |read: &Scrape| {
        let all = read.samples.iter().map(|sample| format!("{} {:?}", sample.name, sample.labels));
        all.collect::<BTreeSet<_>>()
    };
    let again = hosts(&site, "/metrics/hosts?programs=20").await;
    assert_eq!(identities(&again), identities(&read));
}

#[tokio::test]
async fn a_silent_host_has_no_series_but_that_it_is_not_up() {
    let site = Site::with("web-1", family());
    let an_hour_ago_us = now_us() - 3_600_000_000;
    let old = Snapshot { captured_at_us: an_hour_ago_us, ..snapshot(1, family()) };
    site.tell_snapshot("web-2", old, an_hour_ago_us);
    let read = hosts(&site, "/metrics/hosts?programs=5").await;
    let of = |host: &str| {
        read.samples.iter().filter(|sample| sample.label("host") == host).cloned().collect::<Vec<_>>()
    };
    assert!(of("web-1").len() > 10);
    let silent = of("web-2");
    assert_eq!((silent.len(), silent[0].name.as_str(), silent[0].value), (1, "fleetps_host_up", 0.0));
    // It comes back, and goes again.
    site.tell_snapshot("web-2", snapshot(2, family()), now_us());
    let read = hosts(&site, "/metrics/hosts?programs=5").await;
    assert_eq!(read.value("fleetps_host_up", &[("host", "web-2")]), Some(1.0));
    assert!(
        read.samples
            .iter()
            .any(|sample| sample.name.starts_with("fleetps_program_") && sample.label("host") == "web-2")
    );
    site.shared.fleet.age(fleetps::testing::live::steady_us() + 3_600_000_000);
    let read = hosts(&site, "/metrics/hosts?programs=5").await;
    assert_eq!(
        read.samples.len(),
        3,
        "two hosts that are not up, and that nothing was dropped: {:?}",
        read.samples
    );
}

#[tokio::test]
async fn a_token_reads_the_metrics_of_the_hosts_that_it_is_for() {
    let guarded = Guarded::new(Default::default()).await;
    let _anna = guarded.anna().await;
    for host in ["db-1", "db-2"] {
        guarded.site.tell(host, family());
    }
    let tags = |host: &str, tags: &[&str]| {
        (host.parse().unwrap(), tags.iter().map(|tag| (*tag).to_owned()).collect())
    };
    let all = [tags("web-1", &["web"]), tags("db-1", &["db", "prod"]), tags("db-2", &["db"])];
    guarded.site.shared.groups.set(all.into());
    guarded.user("bert", "viewer:db").await;
    let token = token(&guarded, "bert", "viewer:db", "metrics").await;
    let ask = async |token: &str, url: &str| asked_with(&guarded, token, url).await;
    let seen = |body: &str| {
        let read = parse(body, false);
        read.series("fleetps_host_up").map(|sample| sample.label("host").to_owned()).collect::<Vec<_>>()
    };
    let (status, body) = ask(&token, "/metrics/hosts?programs=5").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(seen(&body), ["db-1", "db-2"]);
    assert!(!body.contains("web-1") && body.contains("program=\"sshd\""), "{body}");
    assert_eq!(seen(&ask(&token, "/metrics/hosts?group=prod").await.1), ["db-1"]);
    assert!(
        seen(&ask(&token, "/metrics/hosts?group=web").await.1).is_empty(),
        "as a group that does not exist"
    );
    assert_eq!(ask("fleetps_wrong", "/metrics/hosts").await.0, StatusCode::UNAUTHORIZED);
}
