//! Starts that miss something: fleetps waits for it, names it, and can be ended.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fleetps_nats::server::find_or_install;

use crate::{
    chance::{chance, rounds},
    described::got,
    program::{brokers_of, fleetps_on, until},
};

/// A `fleetps` whose address is known before it has started.
struct Starting {
    child: Child,
    address: String,
}

impl Starting {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = fleetps_on(data, &listen);
        command.args(arguments).stdout(Stdio::null());
        Self { child: command.spawn().unwrap(), address: format!("http://{listen}") }
    }

    /// The status and the body of what is at `path`.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        got(&self.address, path)
    }

    /// Waits until readiness has this status and says `wanted`.
    fn until(&self, status: u16, wanted: &str) -> String {
        let mut last = None;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("readiness", || {
                last = self.get("/readyz");
                last.clone().filter(|(is, body)| *is == status && body.contains(wanted))
            })
        }));
        found.unwrap_or_else(|_| panic!("never {status} with {wanted:?}, at last {last:?}")).1
    }

    fn until_ready(&self) {
        self.until(200, "\"ready\":true");
        until("this host is up", || self.get("/api/v1/hosts").filter(|(_, hosts)| hosts.contains("\"up\"")));
    }

    /// Asks it to end; it ends well.
    fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(asked.success());
        let status = until("it has ended", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kill_brokers(data: &Path) {
    for broker in brokers_of(data) {
        let _ = Command::new("kill").args(["-9", &broker]).stderr(Stdio::null()).status();
    }
}

#[test]
fn a_broker_that_is_killed_at_any_moment_of_a_start_keeps_nobody_from_starting() {
    let mut chance = chance();
    for _ in 0..rounds(2) {
        let data = tempfile::tempdir().unwrap();
        let starting = Starting::start(data.path(), &["--auth", "off"]);
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(chance.u64(0..400)));
            kill_brokers(data.path());
        }
        starting.until_ready();
        starting.stop();
        assert_eq!(brokers_of(data.path()), Vec::<String>::new());
    }
}

#[test]
fn a_program_that_is_not_there_yet_is_waited_for_and_named() {
    let [data, folder] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let program: PathBuf = folder.path().join("nats-server");
    let starting = Starting::start(data.path(), &["--nats-server", program.to_str().unwrap()]);
    starting.until(503, program.to_str().unwrap());
    assert_eq!(starting.get("/healthz").unwrap().0, 200);
    let (status, page) = starting.get("/").unwrap();
    assert!(status == 503 && page.contains("is starting"), "{status}: {page}");
    fs::copy(find_or_install(None, &|_| {}).unwrap(), folder.path().join("new")).unwrap();
    fs::rename(folder.path().join("new"), &program).unwrap();
    starting.until_ready();
    starting.stop();
}

#[test]
fn a_start_that_waits_can_be_asked_to_end_and_tells_strangers_nothing() {
    let data = tempfile::tempdir().unwrap();
    let starting = Starting::start(data.path(), &["--nats-server", "/nowhere/nats-server", "--auth", "on"]);
    let body = starting.until(503, "\"ready\":false");
    assert!(!body.contains("nowhere"), "{body}");
    starting.stop();
}

#[test]
fn a_port_that_was_asked_for_is_waited_for() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let starting = Starting::start(data.path(), &["--broker-listen", &port, "--plaintext"]);
    starting.until(503, &port);
    drop(taken);
    starting.until_ready();
    starting.stop();
}

/// Fills the rest of a disk, over and over, until it is dropped: removing a file makes no room.
struct Filler {
    file: PathBuf,
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Filler {
    fn start(folder: &Path) -> Self {
        let (file, is_over) = (folder.join("filler"), Arc::new(AtomicBool::new(false)));
        let (path, over) = (file.clone(), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut file = fs::File::create(path).unwrap();
            while !over.load(Ordering::SeqCst) {
                for piece in [64 << 10, 512, 1] {
                    while std::io::Write::write(&mut file, &vec![0; piece]).is_ok_and(|written| written > 0) {
                    }
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { file, is_over, thread: Some(thread) }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.take().map(std::thread::JoinHandle::join);
        let _ = fs::remove_file(&self.file);
    }
}

/// A file system in memory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let options = ["-t", "tmpfs", "-o", "size=40m", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(&path).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(path));
        }
        eprintln!("skipped: a small file system cannot be mounted here; it takes root");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// The disk on which `folder` of the data folder lies is filled while everything runs, stays full over a restart, and gets
/// room again.
fn survives_a_full_disk(folder: &str) {
    let data = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(data.path().join(folder)) else { return };
    let starting = Starting::start(data.path(), &["--auth", "off"]);
    starting.until_ready();
    let filler = Filler::start(&disk.0);
    starting.until(503, "\"ok\":false");
    starting.stop();
    let starting = Starting::start(data.path(), &["--auth", "off"]);
    starting.until(503, "\"ok\":false");
    drop(filler);
    starting.until_ready();
    starting.stop();
}

#[test]
fn a_full_disk_of_everything_is_survived() {
    survives_a_full_disk("");
}

#[test]
fn a_full_disk_of_the_broker_is_survived() {
    survives_a_full_disk("nats");
}

#[test]
fn a_full_disk_of_the_history_is_survived() {
    survives_a_full_disk("history");
}
