//! A program that hangs.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

/// A process that does nothing and holds its connections, until this is dropped.
pub struct Hung(u32);

impl Hung {
    /// Stops this process. The signal alone is not enough: a thread that runs on another processor may do more.
    pub fn new(pid: u32) -> Self {
        signal(pid, "-STOP");
        let hung = Self(pid);
        let until = Instant::now() + Duration::from_secs(10);
        while !is_stopped(pid) {
            assert!(Instant::now() < until, "process {pid} goes on");
            std::thread::yield_now();
        }
        hung
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        signal(self.0, "-CONT");
    }
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// Whether every thread is stopped.
fn is_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name; a thread that has ended has none.
        stat.is_empty() || stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}
