//! A plan for a hundred hosts: never more at a time than it says, nothing after a failure, and how long it takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use fleetps_nats::command::{Ask, Stage};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    helper::{FakeHost, Turn, is_run},
    scene::{Scene, Web},
};
use crate::ingest::until;

const HOSTS: usize = 100;
const PARALLEL: usize = 10;
/// The number of the host that fails.
const FAILS: usize = 40;

fn name(number: usize) -> String {
    format!("web-{number:03}")
}

async fn fleet(scene: &Scene, web: &Web) -> Vec<FakeHost> {
    (0..HOSTS).for_each(|number| web.knows(&name(number)));
    join_all((0..HOSTS).map(async |number| scene.host(&name(number)).await)).await
}

async fn restart_all(web: &Web, parallel: usize, stop_after: usize) -> String {
    let hosts: Vec<String> = (0..HOSTS).map(name).collect();
    let body = json!({
        "hosts": hosts, "action": "restart", "unit": "nginx.service", "why": "release 7",
        "parallel": parallel, "stop_after": stop_after,
    });
    let (status, answer) = web.ask("POST", "/api/v1/commands", &body).await;
    assert!(status.is_success(), "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

fn count(plan: &Value, state: &str) -> usize {
    plan["commands"].as_array().unwrap().iter().filter(|command| command["state"] == state).count()
}

/// Counts the commands that hosts execute at the same time, and returns the most of them so far.
fn most_at_once(hosts: &[FakeHost]) -> Arc<AtomicUsize> {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for host in hosts {
        let (now, counted) = (Arc::clone(&now), Arc::clone(&most));
        host.directed(move |helper, ask| {
            match ask {
                Ask::Run { .. } => {
                    helper.runs_for = 3;
                    counted.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                }
                // The next question is answered by its end.
                Ask::Wait { .. } if helper.runs_for == 1 => {
                    now.fetch_sub(1, SeqCst);
                }
                _ => {}
            }
            Turn::Usual
        });
    }
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_hosts_as_many_go_at_a_time_as_the_plan_says_and_the_rest_is_cancelled_after_a_failure()
{
    let scene = Scene::start().await;
    let web = scene.web(true).await;
    let hosts = fleet(&scene, &web).await;
    let most = most_at_once(&hosts);
    let over = web.when_over(&restart_all(&web, PARALLEL, 1).await).await;
    assert_eq!(count(&over, "done"), HOSTS, "{over}");
    assert!((2..=PARALLEL).contains(&most.load(SeqCst)), "{most:?} at a time");
    assert!(hosts.iter().all(|host| host.executed().len() == 1));

    hosts[FAILS].helper.lock().ends = Stage::Failed;
    let may_end = Arc::new(AtomicBool::new(false));
    for later in &hosts[FAILS + 1..] {
        let may_end = Arc::clone(&may_end);
        later.directed(move |helper, ask| {
            if is_run(ask) {
                helper.runs_for = if may_end.load(SeqCst) { 1 } else { usize::MAX };
            }
            Turn::Usual
        });
    }
    let id = restart_all(&web, PARALLEL, 1).await;
    until("one has failed", async || count(&web.command(&id).await, "failed") == 1).await;
    may_end.store(true, SeqCst);
    hosts.iter().for_each(|host| host.helper.lock().runs_for = 1);
    let over = web.when_over(&id).await;
    let states: Vec<_> = over["commands"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    // What was under way beside the one that failed was carried out, and nothing was begun after it.
    assert!(states[..FAILS].iter().all(|state| *state == "done"), "{states:?}");
    assert!(states[FAILS + PARALLEL..].iter().all(|state| *state == "cancelled"), "{states:?}");
    let sent: Vec<usize> = hosts.iter().map(|host| host.count(is_run) - 1).collect();
    let is_sent = |state: &&Value| usize::from(**state != "cancelled");
    assert_eq!(sent, states.iter().map(is_sent).collect::<Vec<_>>(), "each once, or not at all");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and asserts nothing about time"]
async fn measures_how_long_a_plan_for_a_hundred_hosts_takes_beyond_its_slowest_units() {
    let scene = Scene::start().await;
    let web = scene.web(true).await;
    let hosts = fleet(&scene, &web).await;
    for (parallel, stop_after) in [(HOSTS, 1), (HOSTS, 1), (PARALLEL, 1), (1, 1), (HOSTS, HOSTS)] {
        let mut random = fastrand::Rng::with_seed(7);
        let takes: Vec<Duration> = (0..HOSTS).map(|_| Duration::from_millis(random.u64(20..3_000))).collect();
        let takes = if parallel == 1 { vec![Duration::from_millis(50); HOSTS] } else { takes };
        for (host, takes) in hosts.iter().zip(&takes) {
            host.helper.lock().takes = Some(*takes);
        }
        let asked = Instant::now();
        let over = web.when_over(&restart_all(&web, parallel, stop_after).await).await;
        let took = asked.elapsed();
        assert_eq!(count(&over, "done"), HOSTS, "{over}");
        let least = least(&takes, parallel);
        println!(
            "{HOSTS} hosts, {parallel} at a time: {took:?}; the units alone {least:?}, slowest {:?}; beyond that {:?}",
            takes.iter().max().unwrap(),
            took.saturating_sub(least)
        );
    }
    scene.stop().await;
}

/// How long units that take so long need, the first alone and then some at a time in their order.
fn least(takes: &[Duration], parallel: usize) -> Duration {
    let mut free = vec![takes[0]; parallel];
    for takes in &takes[1..] {
        let first = free.iter_mut().min().unwrap();
        *first += *takes;
    }
    free.into_iter().max().unwrap()
}
