//! Files of the history that cannot be read, or that are none: an ingestor starts, serves everything else, says what is
//! missing, and takes it up again by itself.

use std::{
    fs,
    io::Read,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use duckdb::Connection;
use fastrand::Rng;
use fleetps_ingestor::{
    IngestorSettings,
    audit::AuditFolder,
    catalog::SegmentFolder,
    check::{check, restore},
    history::{History, Span},
    segment::{Level, SegmentName},
};
use fleetps_nats::{
    audit::{Audit, AuditEntry, Outcome},
    server::Part,
};

use crate::{
    chance::{rounds, seeds},
    publisher::{Publisher, assert_stored},
    refusals::status_where,
    support::{Fixture, until},
};

/// The segments of a folder, those that are covered too.
fn segments(folder: &Path) -> Vec<SegmentName> {
    let SegmentFolder { current, covered, .. } = SegmentFolder::scan(folder).unwrap();
    current.iter().map(|segment| segment.name).chain(covered).collect()
}

/// A folder of `count` fresh segments with a snapshot each; nothing merges them.
async fn with_segments(count: u64) -> (Fixture, Publisher, IngestorSettings) {
    let fixture = Fixture::start().await;
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    let settings = IngestorSettings { seal_rows: 1, merge_fresh_count: usize::MAX, ..fixture.settings() };
    let ingestor = fixture.ingestor(settings.clone()).await;
    for _ in 0..count {
        publisher.publish().await;
    }
    fixture.until_count("SELECT count(*) FROM segment", count).await;
    ingestor.stop().await;
    (fixture, publisher, settings)
}

/// What `attach.sql` counts.
fn attached(folder: &Path) -> Option<u64> {
    let connection = Connection::open_in_memory().ok()?;
    connection.execute_batch(&fs::read_to_string(folder.join("attach.sql")).ok()?).ok()?;
    connection.query_row("SELECT count(*) FROM host_sample", [], |row| row.get(0)).ok()
}

/// Puts other content in the place of a file.
fn overwrite(path: &Path, content: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, content).unwrap();
}

/// A program that has a file open to write, as `duckdb FILE` does; it ends when its input is closed.
fn open_to_write(path: &Path) -> Child {
    const SCRIPT: &str = "import fcntl, os, sys
os.chmod(sys.argv[1], 0o644)
file = open(sys.argv[1], 'r+b')
fcntl.lockf(file, fcntl.LOCK_EX)
print('locked', flush=True)
sys.stdin.read()";
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 7]).unwrap();
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_a_program_has_open_is_missing_until_it_is_closed() {
    let (fixture, publisher, settings) = with_segments(3).await;
    let folder = fixture.history();
    let locked = segments(&folder)[1];
    let mut program = open_to_write(&folder.join(locked.to_string()));
    let ingestor = fixture.ingestor(settings).await;
    let history = History::open(&folder).unwrap();
    let status = status_where(&fixture, |status| !status.set_aside.is_empty()).await;
    assert_eq!(status.set_aside, [locked.to_string()]);
    assert!(status.set_aside_reasons[0].1.contains("lock"), "{status:?}");
    // A reader finds out when it needs it.
    history.cpu_peaks(Span { from_us: 0, to_us: i64::MAX / 2 }).unwrap();
    let [missing] = &history.missing_segments()[..] else { panic!("{:?}", history.missing_segments()) };
    assert!(missing.segment == locked.to_string() && missing.reason.contains("lock"), "{missing:?}");
    assert_eq!(attached(&folder), Some(2));

    drop(program.stdin.take());
    program.wait().unwrap();
    until("it is attached again", || attached(&folder) == Some(3)).await;
    status_where(&fixture, |status| status.set_aside.is_empty()).await;
    until("it is read again", || history.refresh().is_ok() && history.missing_segments().is_empty()).await;
    ingestor.stop().await;
    assert_stored(&folder, &[publisher]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_set_aside_when_it_is_found_damaged_again_and_not_before() {
    let (fixture, publisher, settings) = with_segments(3).await;
    let folder = fixture.history();
    let damaged = segments(&folder)[1];
    let path = folder.join(damaged.to_string());
    let whole = fs::read(&path).unwrap();
    overwrite(&path, &whole[..whole.len() / 2]);
    let patient = IngestorSettings { quarantine_after: Duration::from_secs(3600), ..settings.clone() };
    let ingestor = fixture.ingestor(patient).await;
    let status = status_where(&fixture, |status| !status.set_aside.is_empty()).await;
    assert!(status.set_aside_reasons[0].1.contains("damaged"), "{status:?}");
    // It is whole by the second look, as when a network folder was at fault.
    overwrite(&path, &whole);
    status_where(&fixture, |status| status.set_aside.is_empty()).await;
    until("it is attached again", || attached(&folder) == Some(3)).await;
    ingestor.stop().await;

    overwrite(&path, &whole[..whole.len() / 2]);
    let ingestor = fixture.ingestor(settings).await;
    let aside = folder.join(damaged.damaged_file_name());
    until("it is set aside", || aside.exists() && !path.exists()).await;
    let status = status_where(&fixture, |status| !status.set_aside.is_empty()).await;
    assert_eq!((status.set_aside, attached(&folder)), (vec![damaged.to_string()], Some(2)));
    // A damaged file is not put back.
    assert_eq!(restore(&folder).unwrap().0, Vec::<String>::new());
    let [problem] = &check(&folder, true).unwrap().problems[..] else { panic!() };
    assert!(problem.file == damaged.damaged_file_name() && problem.reason.contains("damaged"), "{problem:?}");
    // A whole one is put back, and read by the running ingestor.
    overwrite(&aside, &whole);
    assert!(check(&folder, true).unwrap().problems[0].reason.contains("--restore"));
    assert_eq!(restore(&folder).unwrap().0, [damaged.to_string()]);
    status_where(&fixture, |status| status.set_aside.is_empty()).await;
    ingestor.stop().await;
    assert_eq!(check(&folder, true).unwrap().problems, []);
    assert_stored(&folder, &[publisher]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_by_another_segment_by_now_is_not_put_back() {
    let (fixture, publisher, settings) = with_segments(3).await;
    let folder = fixture.history();
    let first = segments(&folder)[0];
    let copy = fs::read(folder.join(first.to_string())).unwrap();
    let merging = IngestorSettings { merge_fresh_count: 2, ..settings };
    let ingestor = fixture.ingestor(merging).await;
    until("the merge", || segments(&folder).iter().all(|name| name.level == Level::Hour)).await;
    ingestor.stop().await;
    overwrite(&folder.join(first.damaged_file_name()), &copy);
    let (restored, problems) = restore(&folder).unwrap();
    assert!(restored.is_empty() && problems[0].reason.contains("holds its rows"), "{problems:?}");
    assert_stored(&folder, &[publisher]);
}

/// Puts what a later version could leave into a folder; returns what the files are called.
fn write_newer(folder: &Path, like: &SegmentName) -> Vec<String> {
    let later = SegmentName { schema_version: 99, ..*like };
    fs::rename(folder.join(like.to_string()), folder.join(later.to_string())).unwrap();
    let path = folder.join(later.to_string());
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let connection = Connection::open_in_memory().unwrap();
    let sql = "UPDATE segment SET schema_version = 99; ALTER TABLE host_sample DROP load_1;
        ALTER TABLE host_sample ADD COLUMN boots INTEGER; DROP VIEW process_sample; DROP TABLE process_hour";
    connection.execute_batch(&format!("ATTACH '{}' AS later; USE later; {sql}", path.display())).unwrap();
    let other_level = later.to_string().replace("fresh", "week").replace("v99", "v100-zstd");
    fs::copy(&path, folder.join(&other_level)).unwrap();
    let mut files = vec![later.to_string(), other_level];
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_of_a_later_version_are_left_out_and_named_and_nothing_is_stored_twice() {
    let (fixture, mut publisher, settings) = with_segments(3).await;
    let folder = fixture.history();
    // The newest, so that its name alone says where to go on.
    let newest = *segments(&folder).iter().max_by_key(|name| name.last_sequence).unwrap();
    let mut files = write_newer(&folder, &newest);
    // One whose name does not say it.
    let second = segments(&folder)[1].to_string();
    fs::set_permissions(folder.join(&second), PermissionsExt::from_mode(0o644)).unwrap();
    let connection = Connection::open_in_memory().unwrap();
    let path = folder.join(&second).display().to_string();
    connection
        .execute_batch(&format!("ATTACH '{path}' AS s; UPDATE s.segment SET schema_version = 99; DETACH s"))
        .unwrap();
    files.push(second);
    files.sort();

    let ingestor = fixture.ingestor(settings).await;
    let status = status_where(&fixture, |status| status.set_aside.len() == 3).await;
    let mut named = status.set_aside.clone();
    named.sort();
    assert_eq!((named, status.stored), (files.clone(), 0));
    publisher.publish().await;
    until("it goes on", || attached(&folder) == Some(2)).await;
    ingestor.stop().await;
    let history = History::open(&folder).unwrap();
    let mut missing: Vec<_> = history.missing_segments().into_iter().map(|missing| missing.segment).collect();
    missing.sort();
    assert_eq!(missing, files);
    assert!(files.iter().all(|file| folder.join(file).exists()), "none is renamed or removed");
    let problems = check(&folder, false).unwrap().problems;
    assert!(problems.len() == 3 && problems.iter().all(|one| one.reason.contains("version")), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_named_and_holds_nothing_up() {
    let (fixture, publisher, settings) = with_segments(5).await;
    let folder = fixture.history();
    let names = segments(&folder);
    let path = |name: &SegmentName| folder.join(name.to_string());
    let kept: Vec<Vec<u8>> = names.iter().map(|name| fs::read(path(name)).unwrap()).collect();
    names[..4].iter().for_each(|name| fs::remove_file(path(name)).unwrap());
    let pipe = |path: PathBuf| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    pipe(path(&names[0]));
    fs::create_dir(path(&names[1])).unwrap();
    symlink(path(&names[2]), path(&names[2])).unwrap();
    symlink("/dev/zero", path(&names[3])).unwrap();
    // Where something is to be written.
    let _ = fs::remove_file(folder.join("attach.sql"));
    for file in ["attach.sql.tmp", "verified.json", "verified-audit.json", "verified.json.tmp", "x.tmp"] {
        pipe(folder.join(file));
    }
    let socket = UnixListener::bind(folder.join("s.tmp")).unwrap();

    let ingestor = fixture.ingestor(settings).await;
    let status = status_where(&fixture, |status| status.set_aside.len() == 4).await;
    let mut expected: Vec<_> = names[..4].iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(status.set_aside, expected);
    until("the rest is served", || attached(&folder) == Some(1)).await;
    assert_eq!(History::open(&folder).unwrap().missing_segments().len(), 4);
    assert_eq!(check(&folder, true).unwrap().problems.len(), 4);
    // And is back when the files are.
    for (name, content) in names[..4].iter().zip(&kept) {
        let path = path(name);
        if path.is_dir() {
            fs::remove_dir(&path).unwrap()
        } else {
            fs::remove_file(&path).unwrap()
        }
        fs::write(path, content).unwrap();
    }
    status_where(&fixture, |status| status.set_aside.is_empty()).await;
    until("all are served", || attached(&folder) == Some(5)).await;
    ingestor.stop().await;
    drop(socket);
    assert_stored(&folder, &[publisher]);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_of_earlier_builds_become_files_that_are_only_read() {
    let (fixture, _, settings) = with_segments(2).await;
    let mode =
        |name: &SegmentName| fs::metadata(fixture.history().join(name.to_string())).unwrap().mode() & 0o777;
    let names = segments(&fixture.history());
    assert!(names.iter().all(|name| mode(name) & 0o222 == 0));
    for name in &names {
        let path = fixture.history().join(name.to_string());
        fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    }
    let ingestor = fixture.ingestor(settings).await;
    until("they are only read", || names.iter().all(|name| mode(name) == 0o444)).await;
    ingestor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_folder_that_cannot_be_used_is_named_and_taken_up_when_it_can_be() {
    let fixture = Fixture::start().await;
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    let folder = fixture.history();
    fs::write(&folder, "no folder").unwrap();
    let ingestor = fixture.ingestor(fixture.settings()).await;
    let status = status_where(&fixture, |status| status.write_error.is_some()).await;
    let said = status.write_error.unwrap();
    assert!(said.contains(&*folder.to_string_lossy()) && said.contains("may read and write"), "{said}");
    publisher.publish().await;
    fs::remove_file(&folder).unwrap();
    status_where(&fixture, |status| status.write_error.is_none()).await;
    fixture.until_count("SELECT count(*) FROM host_sample", 1).await;
    ingestor.stop().await;
    assert_stored(&folder, &[publisher]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_fails_is_said_and_stops_no_other() {
    let fixture = Fixture::start().await;
    let folder = fixture.history();
    fs::create_dir_all(&folder).unwrap();
    let mut rng = Rng::with_seed(5);
    let mut ledger = crate::ledger::Ledger::random(&mut rng, 2);
    ledger.seal(&folder, &mut rng);
    let first = *segments(&folder).iter().min_by_key(|name| name.first_sequence).unwrap();
    // It says more rows than it has, so that no merge with it comes out right; by itself it is whole.
    let path = folder.join(first.to_string());
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let connection = Connection::open_in_memory().unwrap();
    let sql =
        format!("ATTACH '{}' AS s; UPDATE s.segment SET \"rows\" = \"rows\" + 1; DETACH s", path.display());
    connection.execute_batch(&sql).unwrap();
    let settings =
        IngestorSettings { keep_samples: Duration::from_secs(10_000 * 86_400), ..fixture.settings() };
    let ingestor = fixture.ingestor(settings).await;
    let status = status_where(&fixture, |status| !status.failed_merges.is_empty()).await;
    let [(segment, reason)] = &status.failed_merges[..] else { panic!("{status:?}") };
    assert!(*segment == first.to_string() && reason.contains("should have"), "{status:?}");
    let is_merged = || segments(&folder).iter().any(|name| name.level != Level::Fresh);
    until("others are merged", is_merged).await;
    assert!(path.exists(), "it is still there, and answers");
    ingestor.stop().await;
}

fn entry(written: u64) -> AuditEntry {
    AuditEntry {
        at_us: 0,
        who: "test".to_owned(),
        from: None,
        action: "test".to_owned(),
        host: None,
        what: format!("entry {written}"),
        outcome: Outcome::Done,
    }
}

/// Flips some bits of a file, or cuts off its end.
fn damage(path: &Path, rng: &mut Rng) -> String {
    let mut content = fs::read(path).unwrap();
    let place = rng.usize(..content.len().max(1));
    let what = if content.is_empty() || rng.u8(..3) == 0 {
        content.truncate(place);
        format!("cut off at {place}")
    } else {
        let flips = rng.usize(1..20).min(content.len() - place);
        content[place..place + flips].iter_mut().for_each(|byte| *byte ^= 1 << rng.u8(..8));
        format!("{flips} bytes changed at {place}")
    };
    overwrite(path, &content);
    what
}

/// The start of an ingestor over a folder with one damaged file, whichever it is.
#[tokio::test(flavor = "multi_thread")]
async fn damage_to_any_file_keeps_no_ingestor_from_starting_and_gives_no_wrong_value() {
    for seed in seeds(1) {
        damage_to_any_file(seed).await;
    }
}

async fn damage_to_any_file(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let (fixture, mut publisher, settings) = with_segments(4).await;
    let folder = fixture.history();
    let audit = Audit::open(&fixture.client(Part::Api).await).await.unwrap();
    let ingestor = fixture.ingestor(settings.clone()).await;
    audit.record(entry(1)).await.unwrap();
    until("the audit is sealed", || AuditFolder::scan(&folder).is_ok_and(|found| found.current.len() == 1))
        .await;
    until("it was read", || folder.join("verified-audit.json").exists()).await;
    ingestor.stop().await;
    fs::write(folder.join("verified.json"), "{}").unwrap();
    for _ in 0..rounds(6) {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let path = files[rng.usize(..files.len())].clone();
        let (whole, file_name) =
            (fs::read(&path).unwrap(), path.file_name().unwrap().to_str().unwrap().to_owned());
        let what = format!("{file_name}: {}", damage(&path, &mut rng));
        eprintln!("{what}");
        // Long enough that nothing is renamed: the file is made whole again below.
        let patient = IngestorSettings { quarantine_after: Duration::from_secs(3600), ..settings.clone() };
        let ingestor = fixture.ingestor(patient).await;
        publisher.publish().await;
        let count = publisher.ledger.len() as u64;
        let is_segment = SegmentName::parse(&file_name).is_some();
        let history = History::open(&folder).unwrap();
        let is_right = || {
            let served = attached(&folder);
            history.refresh().unwrap();
            let missing: Vec<_> =
                history.missing_segments().into_iter().map(|missing| missing.segment).collect();
            let is_named = missing.is_empty() || (is_segment && missing == [file_name.clone()]);
            assert!(is_named, "{what}: {missing:?}");
            served == Some(count) || (is_segment && served == Some(count - 1))
        };
        until(&what, is_right).await;
        // Every value that is given is the right one.
        let sequences: Result<Vec<u64>, _> = history
            .database()
            .unwrap()
            .prepare("SELECT sequence FROM host_sample")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect());
        if let Ok(mut sequences) = sequences {
            sequences.sort_unstable();
            sequences.dedup();
            let known = sequences.iter().all(|sequence| (1..=count).contains(sequence));
            assert!(
                known && sequences.len() as u64 >= count - u64::from(is_segment),
                "{what}: {sequences:?}"
            );
        }
        ingestor.stop().await;
        overwrite(&path, &whole);
    }
    let ingestor = fixture.ingestor(settings).await;
    until("all is served", || attached(&folder) == Some(publisher.ledger.len() as u64)).await;
    ingestor.stop().await;
    assert_stored(&folder, &[publisher]);
}

/// Bits in the blocks of rows: the file can be attached, and what it says of itself can be read.
#[tokio::test(flavor = "multi_thread")]
async fn damage_behind_the_beginning_of_a_recent_segment_keeps_no_ingestor_from_starting() {
    /// Of a small segment.
    const BLOCK_BYTES: usize = 16 << 10;
    let (fixture, _, settings) = with_segments(2).await;
    let folder = fixture.history();
    let name = segments(&folder)[0].to_string();
    let path = folder.join(&name);
    let whole = fs::read(&path).unwrap();
    let mut started = 0;
    for place in (3 * 4096 + 64..whole.len()).step_by(BLOCK_BYTES) {
        let mut content = whole.clone();
        content[place..].iter_mut().take(BLOCK_BYTES / 2).for_each(|byte| *byte ^= 1);
        overwrite(&path, &content);
        let is_hidden = check(&folder, false).unwrap().problems.is_empty();
        if !is_hidden || check(&folder, true).unwrap().problems.is_empty() {
            continue;
        }
        started += 1;
        fs::remove_file(folder.join("attach.sql")).unwrap();
        let patient = IngestorSettings { quarantine_after: Duration::from_secs(3600), ..settings.clone() };
        let ingestor = fixture.ingestor(patient).await;
        // The parts read for the start were right, or the file is left out.
        until("it starts", || attached(&folder).is_some() || folder.join("attach.sql").exists()).await;
        ingestor.stop().await;
    }
    eprintln!("{started} blocks");
    assert!(started > 2, "{started}");
}
