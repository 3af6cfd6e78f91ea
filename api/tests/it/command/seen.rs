//! How soon a signalled process is seen to be gone on an open page of its host, by an agent that samples every ten seconds and, while
//! somebody watches, every second.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Command,
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    kills::{is_up, web},
    real::{Program, agent, helper, join, own_processes},
    scene::Scene,
    way::Way,
};
use crate::chance::{chance, rounds};

/// Processes that are signalled; more with `FLEETPS_TEST_SCALE`.
const ROUNDS: usize = 40;
/// As long as a page takes to have its host sampled every second, and then some.
const WATCHED_BY_THEN: Duration = Duration::from_secs(4);

/// The patches that the page of the processes with this name gets, and when.
fn open_page(address: &str, name: &str) -> Receiver<(Instant, Value)> {
    let url = format!("{address}/hosts/web-01/live?q=name+%3D+{name}");
    let (told, patches) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = ureq::get(url).call().unwrap();
        let lines = BufReader::new(answer.body_mut().as_reader()).lines();
        for line in lines.map_while(Result::ok) {
            let patch = line.strip_prefix("data:").and_then(|patch| serde_json::from_str(patch).ok());
            if patch.is_some_and(|patch| told.send((Instant::now(), patch)).is_err()) {
                return;
            }
        }
    });
    patches
}

/// When a patch comes that has something in this list of a table.
fn when(patches: &Receiver<(Instant, Value)>, list: &str) -> Instant {
    loop {
        let (at, patch) = patches.recv_timeout(Duration::from_secs(30)).expect("the page is told");
        let mut tables = patch["tables"].as_array().into_iter().flatten();
        if tables.any(|table| table[list].as_array().is_some_and(|rows| !rows.is_empty())) {
            return at;
        }
    }
}

fn identity(pid: u32) -> Value {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap();
    json!({"boot_id": boot_id.trim(), "pid": pid, "start_ticks": start.parse::<u64>().unwrap()})
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and asserts nothing about time"]
async fn measures_how_soon_a_signalled_process_is_gone_on_an_open_page() {
    let scene = Scene::start().await;
    let config = join(&scene, &scene.server.url(), "web-01", &[("signals = []", &own_processes())]).await;
    let usual = fs::read_to_string(&config).unwrap().replace("interval = \"300ms\"", "interval = \"10s\"");
    fs::write(&config, usual).unwrap();
    let no_bus = format!("unix:path={}", config.with_file_name("no-bus").display());
    let mut helping = Program::start(&mut helper(&config, &no_bus));
    let _agent = Program::start(&mut agent(&config));
    let web = web(&scene, &scene.folder.path().join("serve"), Way::to(&scene.server.url()).await);
    is_up(&web, 1).await;
    let folder = scene.folder.path().to_owned();
    // A name of its own, so that the page has this process alone.
    fs::copy("/bin/sleep", folder.join("victim")).unwrap();
    let address = web.address.clone();
    let took = tokio::task::spawn_blocking(move || {
        let (mut random, mut took) = (chance(), Vec::new());
        let patches = open_page(&address, "victim");
        std::thread::sleep(WATCHED_BY_THEN);
        for round in 0..rounds(ROUNDS) {
            if round % 9 == 8 {
                // It takes ten commands in a minute, and its next run as many again.
                helping = Program::start(&mut helper(&config, &no_bus));
            }
            let mut victim = Command::new(folder.join("victim")).arg("600").spawn().unwrap();
            let process = identity(victim.id());
            when(&patches, "rows");
            // At any moment between two samples.
            std::thread::sleep(Duration::from_millis(random.u64(..1_000)));
            let body = json!({"signal": "TERM", "process": process}).to_string();
            let asked = Instant::now();
            let url = format!("{address}/api/v1/hosts/web-01/commands");
            let asking = std::thread::spawn(move || ureq::post(url).send(body).map(drop));
            victim.wait().unwrap();
            let ended = Instant::now();
            let seen = when(&patches, "gone");
            took.push((seen.duration_since(ended), ended.duration_since(asked)));
            asking.join().unwrap().unwrap();
        }
        drop(helping);
        took
    });
    let mut took = took.await.unwrap();
    took.sort_unstable();
    let (at, of): (_, Vec<_>) =
        (|part: usize| took[(took.len() - 1) * part / 100].0, took.iter().map(|took| took.1).collect());
    println!(
        "{} processes: end → patch p50 {:?}, p90 {:?}, p99 {:?}, longest {:?}",
        of.len(),
        at(50),
        at(90),
        at(99),
        at(100)
    );
    println!("asked → end at most {:?}", of.iter().max().unwrap());
    scene.stop().await;
}
