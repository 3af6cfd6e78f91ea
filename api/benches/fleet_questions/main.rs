//! What questions about a large fleet cost, over HTTP: a web server of its own process that reads an hour of 2,000 hosts
//! × 200 processes, and then shows as many hosts that publish every 10 s. Median and 99th percentile of each question,
//! beside what should hold; and the server's highest resident set meanwhile.
//!
//! `cargo bench -p fleetps --bench fleet_questions -- --folder FOLDER`, where FOLDER gets the history the first
//! time; `--help` lists what else can be said. Linux only: memory and CPU time are read from `/proc`.
//!
//! Questions of the past are asked while nothing else happens, and no ingestor touches the history, so that every run reads
//! the same. Where a question is not answered in time the server is started anew, because it may still be at it.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on should panic")]

mod arguments;
mod make;
mod measure;
mod process;
mod questions;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use arguments::Arguments;
use clap::Parser;
use fleetps_nats::server::{ManagedServer, Part, ServerSettings};
use measure::{MEMORY_AIM_MIB, Question, ask, print_heads};
use process::{Process, be_a_part};
use questions::{Draw, nothing, past, present};
use serde_json::Value;
use tokio::runtime::Runtime;

/// Set for the process that makes the history, with lower priority than all others.
const MAKE: &str = "FLEETPS_BENCH_MAKE";
/// How long live hosts may take to be seen, all of them.
const SEEN_WITHIN: Duration = Duration::from_secs(180);
/// How often it is looked whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Over which time the load of the live fleet is measured by itself: three samples of each host.
const LOAD_OVER: Duration = Duration::from_secs(30);

fn main() {
    let arguments = Arguments::parse();
    if be_a_part(&arguments) {
        return;
    }
    if std::env::var_os(MAKE).is_some() {
        return make::make(&arguments);
    }
    println!("{}; load average {}", arguments.fleet(), load_average());
    if !make::is_made(&arguments) {
        make_behind_others();
    }
    describe(&make::history(&arguments.folder));
    if !arguments.make_only {
        Bench::start(&arguments).ask_everything();
    }
}

/// Runs this program again with the same arguments, where it only makes the history.
fn make_behind_others() {
    let mut command = Command::new("nice");
    command.args(["-n", "10"]).arg(std::env::current_exe().unwrap()).args(std::env::args_os().skip(1));
    assert!(command.env(MAKE, "").status().unwrap().success());
}

fn describe(history: &Path) {
    let files = fs::read_dir(history).unwrap().map(|entry| entry.unwrap());
    let segments = files.filter(|file| file.file_name().to_string_lossy().ends_with(".duckdb"));
    let sizes: Vec<u64> = segments.map(|file| file.metadata().unwrap().len()).collect();
    println!("{} segments, {:.2} GB", sizes.len(), sizes.iter().sum::<u64>() as f64 / 1e9);
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Everything that runs.
struct Bench<'a> {
    arguments: &'a Arguments,
    /// Of the parts; its `history` leads to the one that was made.
    data: PathBuf,
    server: Process,
    address: String,
    ingestor: Process,
    /// The highest resident set of the server in any question, in MiB.
    peak_mib: u64,
    broker: ManagedServer,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    fn start(arguments: &'a Arguments) -> Self {
        let folder = tempfile::tempdir_in(&arguments.folder).unwrap();
        let data = folder.path().to_owned();
        let history = make::history(&arguments.folder).canonicalize().unwrap();
        std::os::unix::fs::symlink(history, data.join("history")).unwrap();
        let runtime = Runtime::new().unwrap();
        let settings = ServerSettings {
            data: data.clone(),
            program: None,
            public: None,
            simulator: true,
            max_file_store_bytes: 10 << 30,
        };
        let broker = runtime.block_on(ManagedServer::start(settings)).unwrap();
        // Makes the streams that a web server needs.
        let ingestor = Process::ingestor(&data, arguments);
        let (server, address) = Process::server(&data, &broker.broker(Part::Api));
        let (peak_mib, _folder) = (0, folder);
        Self { arguments, data, server, address, ingestor, peak_mib, broker, runtime, _folder }
    }

    fn ask_everything(mut self) {
        let draw = Draw::new(self.arguments);
        self.wait_for_history();
        print_heads();
        self.ask(nothing());
        for question in past(&draw, self.arguments) {
            self.ask(question);
        }
        if !self.arguments.past_only {
            self.ask_about_the_present(&draw);
        }
        println!(
            "the server's resident set at most: {} MiB (aim: {MEMORY_AIM_MIB}); load average {}",
            self.peak_mib,
            load_average()
        );
        drop((self.server, self.ingestor));
        self.runtime.block_on(self.broker.stop());
    }

    fn ask(&mut self, mut question: Question) {
        self.server.forget_peak();
        let outcome = ask(&self.address, &mut question, self.arguments);
        let (peak_mib, timed_out) = (self.server.peak_mib(), outcome.timed_out);
        self.peak_mib = self.peak_mib.max(peak_mib);
        outcome.print(&question, peak_mib);
        if timed_out {
            self.restart_server();
        }
    }

    /// Also ends what a question that nobody waits for still does.
    fn restart_server(&mut self) {
        (self.server, self.address) = Process::server(&self.data, &self.broker.broker(Part::Api));
        self.wait_for_history();
    }

    fn ask_about_the_present(&mut self, draw: &Draw) {
        let simulator = Process::simulator(&self.data, self.arguments);
        self.wait_until("every host is seen", |bench| bench.hosts_seen() >= bench.arguments.hosts);
        self.print_load(&simulator);
        for question in present(draw) {
            self.ask(question);
        }
    }

    /// What a live fleet takes of the machine while nobody asks.
    fn print_load(&self, simulator: &Process) {
        let all = [&self.server, &self.ingestor, simulator];
        let (start, before) = (Instant::now(), all.map(Process::cpu));
        std::thread::sleep(LOAD_OVER);
        for (process, before) in all.into_iter().zip(before) {
            let cores = (process.cpu() - before).as_secs_f64() / start.elapsed().as_secs_f64();
            println!("  {} takes {cores:.2} cores, {} MiB at most", process.name, process.peak_mib());
        }
    }

    fn hosts_seen(&self) -> usize {
        let answer = ureq::get(format!("{}/api/v1/hosts", self.address)).call();
        let text = answer
            .ok()
            .and_then(|mut answer| answer.body_mut().with_config().limit(u64::MAX).read_to_string().ok());
        let hosts: Value = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        hosts["hosts"].as_array().map_or(0, Vec::len)
    }

    fn status(&self, path: &str) -> Option<u16> {
        Some(ureq::get(format!("{}{path}", self.address)).call().ok()?.status().as_u16())
    }

    fn wait_for_history(&self) {
        self.wait_until("the history is open", |bench| bench.status("/top") == Some(200));
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < SEEN_WITHIN, "not within {SEEN_WITHIN:?}: {what}");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
