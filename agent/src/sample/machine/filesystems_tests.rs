//! Mounts that hang, fail and come back.

use std::{
    collections::HashSet,
    fs,
    sync::{Condvar, Mutex},
    thread,
};

use super::*;

/// Mounts that do not answer as long as they are named here.
#[derive(Default)]
struct Dead {
    names: Mutex<HashSet<PathBuf>>,
    changed: Condvar,
    calls: Mutex<Vec<PathBuf>>,
}

impl Dead {
    fn set(&self, name: &str, is_dead: bool) {
        let mut names = self.names.lock().unwrap();
        if is_dead {
            names.insert(name.into())
        } else {
            names.remove(Path::new(name))
        };
        self.changed.notify_all();
    }

    fn ask(&self, point: &Path) -> Result<Sizes, Errno> {
        self.calls.lock().unwrap().push(point.to_owned());
        let mut names = self.names.lock().unwrap();
        while names.contains(point) {
            names = self.changed.wait(names).unwrap();
        }
        match point.to_str().unwrap() {
            "/broken" => Err(Errno::NOTCONN),
            "/gone" => Err(Errno::NOENT),
            "/pseudo" => Ok(Sizes::default()),
            _ => Ok(Sizes { total: 100, used: 60, available: 30, inodes: Some((9, 4)) }),
        }
    }

    fn calls_of(&self, point: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|called| called.as_path() == Path::new(point)).count()
    }
}

fn mounted(folder: &Path, points: &[(&str, &str)]) {
    fs::create_dir_all(folder.join("self")).unwrap();
    let line = |(number, (point, kind)): (usize, &(&str, &str))| {
        format!("{} 1 0:{number} / {point} rw - {kind} dev{number} rw\n", number + 2)
    };
    let text: String = points.iter().enumerate().map(line).collect();
    fs::write(folder.join("self/mountinfo"), text).unwrap();
}

struct Test {
    _folder: tempfile::TempDir,
    dead: Arc<Dead>,
    filesystems: Filesystems,
    lists: Workers,
}

impl Test {
    fn new(points: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        mounted(folder.path(), points);
        let (dead, lists) = (Arc::new(Dead::default()), Workers::new(1));
        let asked = Arc::clone(&dead);
        let filesystems =
            Filesystems::new(folder.path(), lists.clone(), Arc::new(move |point| asked.ask(point)));
        Self { _folder: folder, dead, filesystems, lists }
    }

    fn until(
        &mut self,
        what: &str,
        is_true: impl Fn(&[FilesystemSample], &Dead) -> bool,
    ) -> Vec<FilesystemSample> {
        let began = Instant::now();
        loop {
            self.filesystems.tend();
            self.lists.tend();
            let samples = self.filesystems.samples(1_795_000_000_000_000);
            if is_true(&samples, &self.dead) {
                return samples;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{what} did not come true: {samples:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn sample<'a>(samples: &'a [FilesystemSample], mount: &str) -> &'a FilesystemSample {
    samples.iter().find(|sample| sample.mount == mount).unwrap()
}

#[test]
fn a_mount_that_hangs_from_the_first_is_listed_without_sizes_and_the_others_have_theirs() {
    let mut test = Test::new(&[
        ("/local", "ext4"),
        ("/dead", "fuse.sshfs"),
        ("/nfs", "nfs4"),
        ("/gone", "xfs"),
        ("/pseudo", "x"),
    ]);
    test.dead.set("/dead", true);
    let samples = test.until("sizes of /nfs and the dead mount", |samples, _| {
        samples.iter().filter(|it| it.used_bytes == Some(60)).count() == 2 && samples.len() == 3
    });
    let dead = sample(&samples, "/dead");
    assert_eq!((dead.total_bytes, dead.used_bytes, dead.available_bytes), (None, None, None));
    assert_eq!((dead.kind.as_deref(), dead.device.as_deref()), (Some("fuse.sshfs"), Some("dev1")));
    let since_us = dead.unanswered_since_us.unwrap();
    assert!((1_794_999_900_000_000..=1_795_000_000_000_000).contains(&since_us));
    let later = test.filesystems.samples(1_795_000_000_300_000);
    assert_eq!(sample(&later, "/dead").unanswered_since_us, Some(since_us), "the same moment is told again");
    let corrected = test.filesystems.samples(1_000_000_000_000_000);
    assert!(
        sample(&corrected, "/dead").unanswered_since_us.unwrap() <= 1_000_000_000_000_000,
        "the clock was set back"
    );
    test.dead.set("/dead", false);
    let samples = test.until("the late answer", |samples, _| sample(samples, "/dead").used_bytes == Some(60));
    assert_eq!(sample(&samples, "/dead").unanswered_since_us, None);
}

#[test]
fn a_mount_that_stops_answering_loses_its_sizes_and_keeps_its_last_answer_and_is_not_asked_again() {
    let mut test = Test::new(&[("/local", "ext4"), ("/nas", "nfs4")]);
    test.until("sizes", |samples, _| samples.iter().filter(|it| it.used_bytes.is_some()).count() == 2);
    test.dead.set("/nas", true);
    // As if it had been asked long ago, instead of waiting for that.
    test.filesystems.ask_all();
    let calls = test.dead.calls_of("/nas");
    let known = test.filesystems.known.values_mut().find(|known| known.sizes.pending_since().is_some());
    let since = Instant::now() - 2 * HANGS_AFTER;
    known.unwrap().sizes.pretend_pending_since(since);
    let samples = test.until("silence", |samples, _| sample(samples, "/nas").unanswered_since_us.is_some());
    let nas = sample(&samples, "/nas");
    assert_eq!((nas.total_bytes, nas.used_bytes, nas.inodes_total), (None, None, None));
    assert_eq!((nas.last_total_bytes, nas.last_used_bytes), (Some(100), Some(60)));
    assert!(nas.answered_at_us.is_some());
    assert_eq!(sample(&samples, "/local").used_bytes, Some(60));
    for _ in 0..3 {
        test.filesystems.ask_all();
    }
    test.until("another answer of the other", |_, dead| dead.calls_of("/local") > calls);
    assert!(test.dead.calls_of("/nas") <= calls + 1, "it is asked while its call has not returned");
    test.dead.set("/nas", false);
    let samples = test.until("its answer", |samples, _| sample(samples, "/nas").used_bytes.is_some());
    assert_eq!(sample(&samples, "/nas").last_used_bytes, None);
}

#[test]
fn many_dead_servers_keep_no_local_disk_from_being_asked_and_hold_up_a_bounded_number_of_threads() {
    let names: Vec<String> = (0..30).map(|number| format!("/dead{number}")).collect();
    let mut points: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "nfs")).collect();
    points.push(("/local", "ext4"));
    let mut test = Test::new(&points);
    names.iter().for_each(|name| test.dead.set(name, true));
    test.until("sizes of the local disk", |samples, _| {
        samples.iter().any(|it| it.mount == "/local" && it.used_bytes.is_some())
    });
    test.until("as many threads as may be", |_, dead| dead.calls.lock().unwrap().len() > MOST_REMOTE);
    assert_eq!(test.filesystems.remote.threads(), MOST_REMOTE);
    assert_eq!(test.filesystems.samples(1).len(), 31, "all are listed");
    names.iter().for_each(|name| test.dead.set(name, false));
    test.until("all answers", |samples, _| samples.iter().all(|it| it.used_bytes.is_some()));
}

#[test]
fn a_mount_that_fails_says_why() {
    let mut test = Test::new(&[("/broken", "fuse")]);
    let samples = test.until("an answer", |samples, _| samples.iter().any(|it| it.error.is_some()));
    assert_eq!(samples[0].error.as_deref(), Some("Transport endpoint is not connected"));
    assert_eq!((samples[0].total_bytes, samples[0].unanswered_since_us), (None, None));
}

#[test]
fn sizes_are_those_of_df_and_never_larger_than_sql_holds() {
    let mut statvfs: StatVfs = rustix::fs::statvfs("/").unwrap();
    (statvfs.f_frsize, statvfs.f_bsize) = (4096, 8192);
    (statvfs.f_blocks, statvfs.f_bfree, statvfs.f_bavail) = (100, 40, 35);
    (statvfs.f_files, statvfs.f_ffree) = (10, 3);
    let sizes = Sizes::from(&statvfs);
    assert_eq!(sizes, Sizes { total: 409_600, used: 60 * 4096, available: 35 * 4096, inodes: Some((10, 7)) });
    (statvfs.f_blocks, statvfs.f_bfree, statvfs.f_bavail) = (u64::MAX, 0, u64::MAX - 5);
    statvfs.f_files = u64::MAX;
    let sizes = Sizes::from(&statvfs);
    assert_eq!((sizes.total, sizes.used, sizes.available), (i64::MAX as u64, i64::MAX as u64, 0));
    assert_eq!(sizes.inodes, None);
}

#[test]
fn other_places_are_a_line_each_as_many_as_fit() {
    let places: Vec<Vec<u8>> = (0..500).map(|number| format!("/a\nb/{number:030}").into_bytes()).collect();
    let text = other_mounts(&places).unwrap();
    assert!(text.len() <= MAX_STRING_BYTES && text.len() > MAX_STRING_BYTES - 50);
    assert!(text.lines().all(|line| line.starts_with("/a\\012b/0000") && line.len() == 38));
    assert_eq!(other_mounts(&[]), None);
}
