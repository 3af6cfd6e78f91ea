//! Where the library comes from that programs are linked with: what `build.rs` does on machines that lack something.
//!
//! The libraries of these tests only say which version they are; servers and package indexes are on this machine.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use libduckdb::{Found, Problem, Wanted, find};

#[path = "../../build/libduckdb.rs"]
#[allow(dead_code, reason = "the build script uses the rest")]
mod libduckdb;
#[path = "../../build/pins.rs"]
#[allow(dead_code, reason = "the build script uses the rest")]
mod pins;

const LIBRARY: &str = "libduckdb.so";
/// A checksum that nothing has.
const WRONG_SHA256: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A machine without anything, of the kind on which the wheel is known.
struct Machine {
    folder: tempfile::TempDir,
    wanted: Wanted,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wanted = Wanted {
            target: "x86_64-unknown-linux-gnu".to_owned(),
            is_native: true,
            named: None,
            installed: Vec::new(),
            caches: vec![folder.path().join("cache")],
            archive: None,
            archive_sha256: None,
            releases: nowhere(),
            python: "python3".into(),
            script: Path::new(env!("CARGO_MANIFEST_DIR")).join("build/fetch.py"),
        };
        let mut machine = Self { folder, wanted };
        machine.python("PIP_NO_INDEX=1 PIP_FIND_LINKS=");
        machine
    }

    /// From now on Python runs with these variables.
    fn python(&mut self, variables: &str) {
        let path = self.path("python");
        fs::write(&path, format!("#!/bin/sh\n{variables} exec python3 \"$@\"\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.wanted.python = path;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder with a library that says this of itself.
    fn library(&self, folder: &str, version: &str) -> PathBuf {
        let folder = self.path(folder);
        fs::create_dir_all(&folder).unwrap();
        let source = folder.join("version.c");
        let text = format!("const char *duckdb_library_version(void) {{ return \"{version}\"; }}\n");
        fs::write(&source, text).unwrap();
        run(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(folder.join(LIBRARY)).arg(source));
        folder
    }

    /// An archive with such a library, behind a link as in the release's, and its checksum.
    fn archive(&self, version: &str) -> (PathBuf, String) {
        let folder = self.library("archive", version);
        fs::rename(folder.join(LIBRARY), folder.join("libduckdb.so.2")).unwrap();
        std::os::unix::fs::symlink("libduckdb.so.2", folder.join(LIBRARY)).unwrap();
        let archive = self.path("archive.tar.gz");
        run(Command::new("python3")
            .args(["-m", "tarfile", "-c"])
            .arg(&archive)
            .args(["libduckdb.so", "libduckdb.so.2", "version.c"])
            .current_dir(&folder));
        let sum = Command::new("sha256sum").arg(&archive).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        (archive, sum.split(' ').next().unwrap().to_owned())
    }

    fn find(&self) -> Result<Found, Problem> {
        find(&self.wanted)
    }

    /// The message of a failure, which always says what else can be done.
    fn problem(&self) -> String {
        let problem = self.find().unwrap_err().join("\n");
        for way in ["DUCKDB_LIB_DIR=", "FLEETPS_LIBDUCKDB_ARCHIVE=", "--features bundled"] {
            assert!(problem.contains(way), "{problem}");
        }
        problem
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An address without a listener.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A server that does this with every connection, and how many there were.
fn server(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let (counting, answer) = (count.clone(), Arc::new(answer));
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            counting.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            thread::spawn(move || answer(connection));
        }
    });
    (format!("http://{address}"), count)
}

fn respond(mut connection: TcpStream, status: &str, body: &[u8]) {
    let mut request = [0; 4096];
    let _ = connection.read(&mut request);
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body));
}

#[test]
fn the_library_that_is_named_is_taken_and_one_that_does_not_fit_is_refused() {
    let mut machine = Machine::new();
    machine.wanted.named = Some(machine.library("named", "v2.0.7"));
    assert_eq!(machine.find().unwrap().folder, machine.path("named"));

    machine.wanted.named = Some(machine.library("older", "v1.5.6"));
    let problem = machine.find().unwrap_err().join("\n");
    assert!(problem.contains("older/libduckdb.so is DuckDB v1.5.6; 2.0 is needed"), "{problem}");

    machine.wanted.named = Some(machine.path("absent"));
    let problem = machine.find().unwrap_err().join("\n");
    assert!(problem.contains("DUCKDB_LIB_DIR: there is no") && problem.contains("absent"), "{problem}");

    // A library that was named is never replaced by another one.
    machine.wanted.installed = vec![machine.library("installed", "v2.0.0")];
    assert!(machine.find().is_err());
}

#[test]
fn an_installed_library_is_taken_where_its_version_fits() {
    let mut machine = Machine::new();
    machine.wanted.installed = vec![
        machine.path("absent"),
        machine.library("older", "v2.1.0"),
        machine.library("installed", "v2.0.0"),
    ];
    let found = machine.find().unwrap();
    assert_eq!(found.folder, machine.path("installed"));
    assert_eq!(found.given_up.len(), 1, "{:?}", found.given_up);
    assert!(found.given_up[0].contains("v2.1.0"), "{:?}", found.given_up);
}

#[test]
fn an_archive_is_fetched_once_and_kept_outside_of_the_clone() {
    let mut machine = Machine::new();
    let (archive, sha256) = machine.archive("v2.0.0");
    let bytes = fs::read(archive).unwrap();
    let (address, count) = server(move |connection| respond(connection, "200 OK", &bytes));
    machine.wanted.releases = address;
    machine.wanted.archive_sha256 = Some(sha256);
    // Four builds at once: one fetches, the others wait for it.
    let folders: Vec<_> = thread::scope(|scope| {
        let builds: Vec<_> = (0..4).map(|_| scope.spawn(|| machine.find().unwrap().folder)).collect();
        builds.into_iter().map(|build| build.join().unwrap()).collect()
    });
    assert!(folders.iter().all(|folder| folder == &folders[0] && folder.starts_with(machine.path("cache"))));
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert!(folders[0].join("libduckdb.so.2").is_file());
    assert!(!folders[0].join("new").exists() && !folders[0].join("version.c").exists());
    // The next one needs neither network nor Python.
    machine.wanted.releases = nowhere();
    machine.wanted.python = machine.path("absent");
    assert_eq!(machine.find().unwrap().folder, folders[0]);
}

#[test]
fn an_archive_with_another_checksum_is_refused() {
    let mut machine = Machine::new();
    let (archive, sha256) = machine.archive("v2.0.0");
    let bytes = fs::read(&archive).unwrap();
    let (address, _) = server(move |connection| respond(connection, "200 OK", &bytes));
    machine.wanted.releases = address;
    machine.wanted.archive_sha256 = Some(WRONG_SHA256.to_owned());
    let problem = machine.problem();
    assert!(problem.contains(&format!("it has SHA-256 {sha256}; {WRONG_SHA256} was expected")), "{problem}");
    // The wheel was tried after it.
    assert!(problem.contains("the wheel duckdb==2.0.0: "), "{problem}");

    // By hand: named with its checksum, or not at all.
    machine.wanted.archive = Some(archive.to_string_lossy().into_owned());
    assert!(machine.problem().contains("was expected"));
    machine.wanted.archive_sha256 = None;
    assert!(machine.problem().contains("it needs its checksum, too: FLEETPS_LIBDUCKDB_SHA256"));
    machine.wanted.archive_sha256 = Some(sha256.to_uppercase());
    assert!(machine.find().unwrap().folder.join(LIBRARY).is_file());
}

#[test]
fn a_wheel_with_another_checksum_is_refused() {
    let mut machine = Machine::new();
    let links = machine.path("links");
    fs::create_dir(&links).unwrap();
    let wheel = links.join("duckdb-2.0.0-cp312-abi3-manylinux_2_28_x86_64.whl");
    fs::write(machine.path("_duckdb.abi3.so"), "not the one").unwrap();
    let metadata = machine.path("duckdb-2.0.0.dist-info");
    fs::create_dir(&metadata).unwrap();
    fs::write(metadata.join("METADATA"), "Metadata-Version: 2.1\nName: duckdb\nVersion: 2.0.0\n").unwrap();
    fs::write(metadata.join("WHEEL"), "Wheel-Version: 1.0\nTag: cp312-abi3-manylinux_2_28_x86_64\n").unwrap();
    fs::write(metadata.join("RECORD"), "").unwrap();
    run(Command::new("python3")
        .args(["-m", "zipfile", "-c"])
        .arg(&wheel)
        .args(["_duckdb.abi3.so", "duckdb-2.0.0.dist-info"])
        .current_dir(machine.folder.path()));
    machine.python(&format!("PIP_NO_INDEX=1 PIP_FIND_LINKS='{}'", links.display()));
    let problem = machine.problem();
    assert!(problem.contains("the wheel duckdb==2.0.0: it has SHA-256 "), "{problem}");
    assert!(problem.contains(pins::PINS[0].wheel.as_ref().unwrap().sha256), "{problem}");
}

#[test]
fn servers_that_are_silent_or_have_nothing_are_given_up() {
    let mut machine = Machine::new();
    machine.wanted.archive_sha256 = Some(WRONG_SHA256.to_owned());
    let (missing, _) = server(|connection| respond(connection, "404 Not Found", b"nothing here"));
    machine.wanted.releases = missing;
    let problem = machine.problem();
    assert!(problem.contains("HTTP Error 404"), "{problem}");

    // It accepts the connection, reads what is asked and never answers.
    let (silent, count) = server(|mut connection| drop(connection.read_to_end(&mut Vec::new())));
    machine.python(&format!("FLEETPS_FETCH_TIMEOUT_S=1 PIP_INDEX_URL={silent}/simple PIP_FIND_LINKS="));
    machine.wanted.releases = silent;
    let problem = machine.problem();
    assert!(problem.contains("timed out"), "{problem}");
    assert!(problem.contains("the wheel duckdb==2.0.0: "), "{problem}");
    assert!(count.load(Ordering::SeqCst) >= 2, "pip did not ask");
}

#[test]
fn without_network_python_or_pip_it_says_so_and_names_the_ways_on() {
    let mut machine = Machine::new();
    machine.wanted.archive_sha256 = Some(WRONG_SHA256.to_owned());
    machine.python(&format!("PIP_INDEX_URL={}/simple PIP_FIND_LINKS=", nowhere()));
    let problem = machine.problem();
    assert!(problem.contains("Connection refused"), "{problem}");
    assert!(problem.contains("No matching distribution found for duckdb==2.0.0"), "{problem}");

    let environment = machine.path("environment");
    run(Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&environment));
    machine.wanted.python = environment.join("bin/python3");
    assert!(machine.problem().contains("No module named pip"));

    machine.wanted.python = machine.path("absent");
    assert!(machine.problem().contains("absent cannot be run"));

    machine.wanted.target = "riscv64gc-unknown-linux-gnu".to_owned();
    assert!(machine.problem().contains("nothing is known for riscv64gc-unknown-linux-gnu"));
    machine.wanted.target = "aarch64-apple-darwin".to_owned();
    assert!(machine.problem().contains("not tried, it cannot be linked on this system"));
}

#[test]
fn a_kept_library_of_another_version_or_a_broken_one_is_fetched_anew() {
    let mut machine = Machine::new();
    let (archive, sha256) = machine.archive("v2.0.0");
    machine.wanted.archive = Some(archive.to_string_lossy().into_owned());
    machine.wanted.archive_sha256 = Some(sha256);
    let folder = machine.find().unwrap().folder;
    let older = machine.library("older", "v1.4.0").join(LIBRARY);
    for make_wrong in [&(|| assert!(fs::copy(&older, folder.join(LIBRARY)).is_ok())) as &dyn Fn(), &|| {
        fs::write(folder.join(LIBRARY), "no library").unwrap()
    }] {
        fs::remove_file(folder.join(LIBRARY)).unwrap();
        make_wrong();
        assert_eq!(machine.find().unwrap().folder, folder);
        assert_eq!(fs::read_link(folder.join(LIBRARY)).unwrap(), Path::new("libduckdb.so.2"));
    }
    // An archive that holds another version than its name says is not kept.
    let (archive, sha256) = {
        fs::remove_dir_all(machine.path("archive")).unwrap();
        machine.archive("v2.1.0")
    };
    machine.wanted.archive = Some(archive.to_string_lossy().into_owned());
    machine.wanted.archive_sha256 = Some(sha256);
    let problem = machine.problem();
    assert!(problem.contains("is DuckDB v2.1.0; 2.0 is needed"), "{problem}");
}

#[test]
fn a_cache_that_cannot_be_written_is_passed_over() {
    let mut machine = Machine::new();
    let (archive, sha256) = machine.archive("v2.0.0");
    machine.wanted.archive = Some(archive.to_string_lossy().into_owned());
    machine.wanted.archive_sha256 = Some(sha256);
    fs::write(machine.path("file"), "").unwrap();
    machine.wanted.caches = vec![machine.path("file").join("cache"), machine.path("own")];
    let found = machine.find().unwrap();
    assert!(found.folder.starts_with(machine.path("own")));
    assert!(found.given_up[0].contains("cannot be written"), "{:?}", found.given_up);
}
