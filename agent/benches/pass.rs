//! What one pass of the agent costs with 500 processes, beside the bare cost of reading the same files.
//!
//! `cargo bench -p fleetps-agent --bench pass`; figures are CPU time, so that other work on the machine matters less.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on should panic")]

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this benchmark compares with the cost of reading /proc, which only Linux has");
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs::{self, File},
        io::Read,
        process::{Child, Command, Stdio},
        time::Duration,
    };

    use fleetps_agent::{
        AgentSettings,
        sample::{Boot, Packer, Sampler},
    };

    const CHILDREN: usize = 500;
    /// A second apart, as in an agent's life, so that everything that is read rarely comes around once.
    const PASSES: u32 = 61;
    const PER: f64 = 500.0;

    pub fn main() {
        // `cargo test --benches` only wants to see it run.
        let passes = if std::env::args().any(|argument| argument == "--bench") { PASSES } else { 3 };
        fleetps_agent::sample::prepare_program();
        let mut children = start_children();
        let folder = tempfile::tempdir().unwrap();
        let settings = AgentSettings {
            interval: Duration::from_secs(1),
            state: folder.path().to_owned(),
            ..AgentSettings::default()
        };
        let mut sampler = Sampler::new(&settings, Boot::current(&settings.state)).unwrap();
        let mut packer = Packer::new().unwrap();
        let (mut processes, mut bytes) = (0, 0);
        let mut wait = Duration::ZERO;
        let sampling = cost_of(passes, || {
            std::thread::sleep(wait);
            wait = settings.interval;
            let mut snapshot = sampler.sample(0);
            processes = snapshot.processes.len();
            bytes = sampler.pack(&mut snapshot, &mut packer).unwrap().len();
        });
        let pids = pids();
        let stat = cost_of(passes, || read_files(&pids, &["stat"]));
        let all = cost_of(passes, || read_files(&pids, &["stat", "statm", "status", "io"]));
        println!(
            "{processes} processes, {bytes} bytes a snapshot, {passes} passes; CPU time for each 500 processes:"
        );
        let print = |what: &str, cost: Duration| {
            let scaled_ms = cost.as_secs_f64() * 1000.0 * PER / processes as f64;
            println!("  {what:<44} {scaled_ms:6.2} ms  ({:.2} % of a core at 1 s)", scaled_ms / 10.0);
        };
        print("a pass: sample, pack", sampling);
        print("bare: open, read, close stat", stat);
        print("bare: stat, statm, status and io (as sysinfo)", all);
        println!("  ratio of a pass to bare stat {:.2}", sampling.as_secs_f64() / stat.as_secs_f64());
        println!("  resident set {:.1} MB", resident_kib() / 1024.0);
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn start_children() -> Vec<Child> {
        let mut sleep = Command::new("sleep");
        sleep.arg("1000").stdin(Stdio::null());
        (0..CHILDREN).map(|_| sleep.spawn().unwrap()).collect()
    }

    fn pids() -> Vec<u32> {
        let entries = fs::read_dir("/proc").unwrap();
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
    }

    fn read_files(pids: &[u32], names: &[&str]) {
        let mut buffer = [0; 4096];
        for pid in pids {
            for name in names {
                if let Ok(mut file) = File::open(format!("/proc/{pid}/{name}")) {
                    let _ = file.read(&mut buffer);
                }
            }
        }
    }

    /// Mean CPU time of one call.
    fn cost_of(passes: u32, mut work: impl FnMut()) -> Duration {
        let before = cpu_time();
        for _ in 0..passes {
            work();
        }
        (cpu_time() - before) / passes
    }

    fn cpu_time() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    fn resident_kib() -> f64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}
