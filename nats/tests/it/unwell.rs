//! A broker in trouble: its disk is full or out of inodes, it hangs, another program has its port, its store is
//! damaged. Afterwards all acknowledged messages are there, and nothing but room was needed.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use async_nats::jetstream::{self, stream::Config};
use fleetps_nats::server::{ManagedServer, Part, PublicServer, ServerSettings};
use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::{Pid, Signal, kill_process},
};

use crate::support::{settings, within};

/// A server that hangs is given 15 s, and one whose store failed up to 20; on a busy machine it takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} did not come true"));
}

/// A file system in memory of 24 MiB and some hundred inodes.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, and said, where this user may not make one.
    fn mount() -> Option<Self> {
        let path = tempfile::tempdir().unwrap().keep();
        match mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(c"size=24m,nr_inodes=200")) {
            Ok(()) => Some(Self(path)),
            Err(error) => {
                eprintln!("skipped: a small file system cannot be mounted here ({error}); it takes root");
                fs::remove_dir(&path).unwrap();
                None
            }
        }
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// To the last byte.
    fn fill(&self) {
        fs::create_dir_all(self.filler()).unwrap();
        let mut file = fs::File::create(self.filler().join("bytes")).unwrap();
        for piece in [64 << 10, 512, 1] {
            while file.write(&vec![0; piece]).is_ok_and(|written| written > 0) {}
        }
    }

    /// To the last inode, and to the last byte but some hundred KiB, so that new files are what fails.
    fn use_up_inodes(&self) {
        fs::create_dir_all(self.filler()).unwrap();
        for number in 0.. {
            if fs::File::create(self.filler().join(number.to_string())).is_err() {
                return;
            }
        }
    }

    fn make_room(&self) {
        fs::remove_dir_all(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

async fn start(folder: &Path) -> ManagedServer {
    within(ManagedServer::start(settings(folder))).await.unwrap()
}

/// A stream of its own, with small files.
async fn stream(server: &ManagedServer, name: &str) -> jetstream::Context {
    let client = server.broker(Part::Ingestor).connect("test").await.unwrap();
    let jetstream = jetstream::new(client);
    let config = Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.>")],
        max_bytes: 8 << 20,
        ..Config::default()
    };
    jetstream.get_or_create_stream(config).await.unwrap();
    jetstream
}

/// Whether the stream takes a message of 100 KB.
async fn takes(jetstream: &jetstream::Context, name: &str) -> bool {
    let published = jetstream.publish(format!("{name}.x"), vec![7; 100_000].into()).await.unwrap();
    let answered = tokio::time::timeout(Duration::from_millis(500), published.into_future()).await;
    answered.is_ok_and(|answer| answer.is_ok())
}

async fn messages(jetstream: &jetstream::Context, name: &str) -> u64 {
    jetstream.get_stream(name).await.map_or(0, |stream| stream.cached_info().state.messages)
}

/// The stream accepts no more, health says why, and it accepts again once there is room.
async fn recovers(disk: &SmallDisk, fill: fn(&SmallDisk), says: &str) {
    let server = start(&disk.0).await;
    let jetstream = stream(&server, "a").await;
    for _ in 0..10 {
        assert!(takes(&jetstream, "a").await);
    }
    fill(disk);
    until("the stream takes nothing", || async { !takes(&jetstream, "a").await }).await;
    let kept = messages(&jetstream, "a").await;
    assert!(kept >= 10);
    let health = server.health();
    until("it is said", || async { health.problem().is_some() }).await;
    let problem = health.problem().unwrap();
    assert!(problem.contains(says) && problem.contains("make room"), "{problem}");
    assert_eq!(server.restarts(), 0, "there is no room yet");
    disk.make_room();
    until("the stream takes again", || async { takes(&jetstream, "a").await }).await;
    until("and is well", || async { health.problem().is_none() }).await;
    assert!(messages(&jetstream, "a").await > kept, "what was acknowledged is there");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_full_disk_the_broker_takes_again_by_itself() {
    let Some(disk) = SmallDisk::mount() else { return };
    recovers(&disk, SmallDisk::fill, "No space left").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_disk_without_inodes_the_broker_takes_again_by_itself() {
    let Some(disk) = SmallDisk::mount() else { return };
    recovers(&disk, SmallDisk::use_up_inodes, "No space left").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_starts_on_a_full_disk_and_says_so() {
    let Some(disk) = SmallDisk::mount() else { return };
    let server = start(&disk.0).await;
    let jetstream = stream(&server, "a").await;
    assert!(takes(&jetstream, "a").await);
    server.stop().await;
    disk.fill();
    let server = start(&disk.0).await;
    let warnings = server.health().warnings();
    assert!(warnings.iter().any(|warning| warning.contains("full")), "{warnings:?}");
    let jetstream = stream(&server, "a").await;
    assert_eq!(messages(&jetstream, "a").await, 1);
    server.stop().await;
}

/// Any failed write, with any error: here a file grows beyond the limit of its process.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_write_on_a_disk_with_room_the_broker_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let jetstream = stream(&server, "a").await;
    assert!(takes(&jetstream, "a").await);
    let (resource, pid) = (rustix::process::Resource::Fsize, pid_of(&server));
    let limit = rustix::process::Rlimit { current: Some(300_000), maximum: None };
    rustix::process::prlimit(Some(pid), resource, limit).unwrap();
    until("the stream takes nothing", || async { !takes(&jetstream, "a").await }).await;
    until("the stream takes again", || async { takes(&jetstream, "a").await }).await;
    assert!(server.restarts() > 0 && pid_of(&server) != pid);
    until("and is well", || async { server.health().problem().is_none() }).await;
    server.stop().await;
}

fn pid_of(server: &ManagedServer) -> Pid {
    Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_is_killed_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let jetstream = stream(&server, "a").await;
    assert!(takes(&jetstream, "a").await);
    let before = pid_of(&server);
    kill_process(before, Signal::STOP).unwrap();
    until("another is started", || async { pid_of(&server) != before }).await;
    until("the stream takes again", || async { takes(&jetstream, "a").await }).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_others_know_is_waited_for_and_one_that_they_do_not_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let url = server.url();
    server.stop().await;
    let taken = TcpListener::bind(url.strip_prefix("nats://").unwrap()).unwrap();
    let public = PublicServer { listen: "127.0.0.1:0".parse().unwrap(), tls: None };
    let settings_for_others = ServerSettings { public: Some(public), ..settings(folder.path()) };
    let refusal = within(ManagedServer::start(settings_for_others)).await.unwrap_err().to_string();
    assert!(refusal.contains("cannot listen on 127.0.0.1:"), "{refusal}");
    let elsewhere = start(folder.path()).await;
    assert_ne!(elsewhere.url(), url);
    drop(taken);
    elsewhere.stop().await;
}

/// The name of a fault, and the fault.
type Damage = (&'static str, fn(&Path));

/// Damage to the folders of a store, and whether what was in it can still be there.
const DAMAGES: [Damage; 5] = [
    ("the store is a file", |nats| put_file(&nats.join("jetstream"))),
    ("its inner folder is a file", |nats| put_file(&nats.join("jetstream/jetstream"))),
    ("the account is a file", |nats| put_file(&nats.join("jetstream/jetstream/FLEET"))),
    ("the stream is a file", |nats| put_file(&nats.join("jetstream/jetstream/FLEET/streams/a"))),
    ("a block is a FIFO", |nats| {
        let block = nats.join("jetstream/jetstream/FLEET/streams/a/msgs/1.blk");
        fs::remove_file(&block).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&block).status().unwrap().success());
    }),
];

fn put_file(path: &Path) {
    fs::remove_dir_all(path).unwrap();
    fs::write(path, "not a folder").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_over_which_no_broker_starts_is_kept_aside_and_a_new_one_is_begun() {
    for (what, damage) in DAMAGES {
        eprintln!("{what}");
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await;
        let jetstream = stream(&server, "a").await;
        assert!(takes(&jetstream, "a").await);
        server.stop().await;
        damage(&folder.path().join("nats"));
        let server = start(folder.path()).await;
        let jetstream = within(stream(&server, "a")).await;
        assert!(takes(&jetstream, "a").await, "{what}");
        let warnings = server.health().warnings();
        assert!(warnings.iter().any(|warning| warning.contains(".damaged-")), "{what}: {warnings:?}");
        let kept = fs::read_dir(folder.path().join("nats")).unwrap();
        let kept =
            kept.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".damaged-"));
        assert_eq!(kept.count(), 1, "{what}");
        server.stop().await;
    }
}
