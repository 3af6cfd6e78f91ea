//! Slow filters: they end, or are refused, and delay no other request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use axum::http::StatusCode;
use fastrand::Rng;
use fleetps_nats::{Snapshot, snapshot::Process};

use crate::{
    chance::seeds,
    support::{Site, process, snapshot},
};

/// Processes on the host: on a busy one.
const PROCESSES: u32 = 800;
/// The longest command line that a snapshot can have.
const LONG: usize = 4096;
/// Clients that search all the time, far more than there are processors.
const CLIENTS: usize = 12;
/// Answers that others get while the patterns run.
const ANSWERS: usize = 20;

/// Command lines in which the patterns below nearly match everywhere.
fn long_command_lines(rng: &mut Rng) -> Vec<Process> {
    let mut long = |pid| Process {
        command_line: Some((0..LONG).map(|_| if rng.bool() { '0' } else { '1' }).collect()),
        ..process(pid, 0, "long")
    };
    (1..=PROCESSES).map(&mut long).collect()
}

/// A site, now and at a moment.
fn site(rng: &mut Rng) -> (Site, String) {
    let captured_at_us = fleetps::testing::live::now_us() - 600_000_000;
    let then = Snapshot { captured_at_us, ..snapshot(1, long_command_lines(rng)) };
    let site = Site::with_history(vec![vec![("web-1", then)]]);
    site.tell("web-1", long_command_lines(rng));
    site.tell("web-2", vec![process(1, 0, "init")]);
    (site, jiff::Timestamp::from_microsecond(captured_at_us + 5_000_000).unwrap().to_string())
}

/// A pattern that is small enough to be taken, and large enough to take long.
fn pattern(rng: &mut Rng) -> String {
    let times = rng.usize(350..500);
    match rng.usize(0..4) {
        0 => format!("1[01]{{{times}}}x"),
        1 => format!("(0|1)*1[0-1]{{{}}}y", times - 100),
        2 => format!("(?i)1[01a-j]{{{}}}z", times / 2),
        _ => format!("(1[01]{{{}}}|0[01]{{{}}})x", times / 2 - 20, times / 2 - 30),
    }
}

fn encoded(pattern: &str) -> String {
    form_urlencoded::byte_serialize(format!("cmd ~ \"{pattern}\"").as_bytes()).collect()
}

/// Addresses that evaluate a filter.
fn address(rng: &mut Rng, q: &str, at: &str) -> String {
    let addresses = [
        format!("/hosts/web-1?q={q}"),
        format!("/hosts/web-1?view=flat&q={q}"),
        format!("/api/v1/hosts/web-1/processes?q={q}"),
        format!("/api/v1/hosts/web-1/processes?format=csv&q={q}"),
        format!("/search?q={q}"),
        format!("/api/v1/search?q={q}"),
        format!("/api/v1/search?q={q}&at={at}"),
    ];
    addresses[rng.usize(..addresses.len())].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_answered_while_patterns_run_that_take_long() {
    for seed in seeds(1) {
        let mut rng = Rng::with_seed(seed);
        let (site, at) = site(&mut rng);
        let site = Arc::new(site);
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let is_over = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (site, is_over) = (Arc::clone(&site), Arc::clone(&is_over));
                let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
                let (at, mut rng) = (at.clone(), rng.fork());
                tokio::spawn(async move {
                    while !is_over.load(SeqCst) {
                        let q = encoded(&pattern(&mut rng));
                        begun.fetch_add(1, SeqCst);
                        let answer = site.get(&address(&mut rng, &q, &at)).await;
                        let busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS]
                            .contains(&answer.status);
                        let known =
                            [StatusCode::OK, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::GATEWAY_TIMEOUT];
                        assert!(busy || known.contains(&answer.status), "{}: {}", answer.status, answer.body);
                        ended.fetch_add(usize::from(!busy), SeqCst);
                        // A request that finds no room asks again a little later.
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    }
                })
            })
            .collect();
        // Until all are at it.
        while begun.load(SeqCst) < CLIENTS {
            tokio::task::yield_now().await;
        }
        let before = ended.load(SeqCst);
        for _ in 0..ANSWERS {
            assert_eq!(site.get("/healthz").await.status, StatusCode::OK);
            assert_eq!(site.get("/hosts/web-2").await.status, StatusCode::OK);
        }
        let meanwhile = ended.load(SeqCst) - before;
        is_over.store(true, SeqCst);
        // Where others wait for patterns, at least one of those ends before each answer.
        assert!(meanwhile < ANSWERS, "{meanwhile} searches ended before {ANSWERS} others were answered");
        for client in clients {
            client.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_pattern_that_is_too_large_is_refused_before_it_runs_now_and_then() {
    let (site, at) = site(&mut Rng::with_seed(0));
    let words: Vec<String> = (0..150).map(|number| format!("w{number}")).collect();
    for pattern in [
        "1[01]{900}x",
        "(?i)(.{1,9}[^x]{1,99}){9}",
        "((a{900}){900}){900}",
        &format!("(?i)({}){{99}}", words.join("|")),
    ] {
        let q = encoded(pattern);
        for url in [
            format!("/api/v1/search?q={q}"),
            format!("/api/v1/search?q={q}&at={at}"),
            format!("/api/v1/search?q={q}&format=csv"),
            format!("/api/v1/hosts/web-1/processes?q={q}"),
        ] {
            let answer = site.get(&url).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{url}");
            assert!(answer.body.contains("too large"), "{}", answer.body);
        }
        for url in [format!("/search?q={q}"), format!("/search?q={q}&at={at}"), format!("/hosts/web-1?q={q}")]
        {
            let answer = site.get(&url).await;
            assert!(answer.body.contains("too large"), "{url}: {}", answer.body);
        }
    }
}
