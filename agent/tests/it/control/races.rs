//! Pids that are reused: in a pid namespace, where the next pid can be chosen, a process ends and another takes its pid while it
//! is being signalled.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use fleetps_nats::command::{Reason, Signal, Stage};

use super::desk::{Desk, Running, own_processes, signal, start_ticks};

/// How many pids are reused.
const RACES: usize = 1000;
/// Commands that one helper takes in a minute.
const OF_ONE_HELPER: usize = 10;
const NEXT_PID: &str = "/proc/sys/kernel/ns_last_pid";

#[test]
fn of_a_thousand_reused_pids_no_wrong_process_is_signalled() {
    let can =
        Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "test", "-w", NEXT_PID]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: it takes root and unshare to choose pids");
        return;
    }
    let inside = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "control::races::inside_a_pid_namespace"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stdout);
    println!("{said}");
    assert!(
        inside.status.success() && said.contains("1 passed"),
        "{}",
        String::from_utf8_lossy(&inside.stderr)
    );
}

/// The process that is meant, and the one that takes its pid.
struct Race {
    meant: Running,
    ticks: u64,
}

impl Race {
    fn new() -> Self {
        let meant = Running::sleeping();
        let ticks = start_ticks(meant.pid()).unwrap();
        Self { meant, ticks }
    }

    /// Ends the one that is meant, and starts another with its pid, in a later tick: two processes of one pid in one tick of 10 ms
    /// are one process to the kernel's own bookkeeping, too.
    fn reuse(mut self) -> Running {
        let pid = self.meant.pid();
        let _ = self.meant.0.kill();
        let _ = self.meant.0.wait();
        let began = Instant::now();
        loop {
            fs::write(NEXT_PID, (pid - 1).to_string()).unwrap();
            let other = Running::sleeping();
            if other.pid() == pid && start_ticks(pid) != Some(self.ticks) {
                return other;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "the pid cannot be had");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a pid namespace of its own, by the test above"]
async fn inside_a_pid_namespace() {
    let mut random = fastrand::Rng::with_seed(3);
    let (mut done, mut other, mut none, mut wrong) = (0, 0, 0, 0);
    let mut desk = Desk::start(&own_processes());
    for number in 0..RACES {
        if number % OF_ONE_HELPER == 0 {
            desk.restart();
        }
        let race = Race::new();
        let what = signal(Signal::Kill, super::desk::identity(race.meant.pid()));
        let delay = Duration::from_micros(random.u64(..1500));
        let (ended, mut reused) = match number % 4 {
            // Signalled before, after, and meanwhile.
            0 => (desk.run(what).await, race.reuse()),
            1 => {
                let reused = race.reuse();
                (desk.run(what).await, reused)
            }
            _ => {
                let reusing = tokio::task::spawn_blocking(move || {
                    let began = Instant::now();
                    while began.elapsed() < delay {
                        std::hint::spin_loop();
                    }
                    race.reuse()
                });
                (desk.run(what).await, reusing.await.unwrap())
            }
        };
        match (ended.stage, ended.reason) {
            (Stage::Done, None) => done += 1,
            (Stage::Refused, Some(Reason::OtherProcess)) => other += 1,
            (Stage::Refused, Some(Reason::NoSuchProcess)) => none += 1,
            _ => panic!("{ended:?}"),
        }
        wrong += usize::from(!reused.is_running());
    }
    println!(
        "{RACES} reused pids: {done} signalled in time, {other} other processes and {none} gone, {wrong} wrong"
    );
    assert_eq!(wrong, 0);
    assert!(done >= RACES / 4 && other >= RACES / 4, "each happened");
}
