//! Real damage and everything that looks like it: each is sorted rightly, and none of it hangs.

use std::{
    io::Write,
    os::unix::fs::{FileExt, symlink},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use fleetps_nats::snapshot::{Process, Snapshot};

use super::*;
use crate::segment::{SegmentRows, make_read_only, open_engine, seal, verify::read_bytes, verify_segment};

/// A folder with one segment.
struct One {
    folder: tempfile::TempDir,
    name: SegmentName,
    whole: Vec<u8>,
}

impl One {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = SegmentRows::new(0, 1_000, 10, 5_000_000);
        let process = |pid| Process { pid, name: format!("process {pid}"), state: 'S', ..Process::default() };
        let processes = (1..200).map(process).collect();
        let (boot_id, run_id) = ("boot".to_owned(), "run".to_owned());
        let snapshot = Snapshot { boot_id, run_id, sequence: 1, processes, ..Snapshot::default() };
        rows.push(10, 0, &"host".parse().unwrap(), &snapshot);
        let name = seal(folder.path(), &mut rows).unwrap();
        let whole = fs::read(folder.path().join(name.to_string())).unwrap();
        Self { folder, name, whole }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name.to_string())
    }

    /// Puts other content in its place.
    fn write(&self, content: &[u8]) {
        self.remove();
        fs::write(self.path(), content).unwrap();
    }

    fn remove(&self) {
        let path = self.path();
        let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
    }

    /// As it is attached, and as it is read whole.
    fn read(&self) -> Result<(), Fault> {
        let engine = open_engine(64, 1, None).unwrap();
        attach_segment(&engine, self.folder.path(), &self.name)?;
        verify_segment(self.folder.path(), &self.name)
    }

    /// Changes the content by SQL.
    fn alter(&self, sql: &str) {
        self.write(&self.whole);
        let engine = open_engine(64, 1, None).unwrap();
        engine
            .execute_batch(&format!("ATTACH '{}' AS altered; USE altered; {sql}", self.path().display()))
            .unwrap();
    }
}

/// DuckDB's checksum of a block.
fn checksum(block: &[u8]) -> u64 {
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    block.chunks_exact(8).fold(5381, |sum, bytes| sum ^ word(bytes).wrapping_mul(0xbf58_476d_1ce4_e5b9))
}

fn is_damaged(read: &Result<(), Fault>) -> bool {
    matches!(read, Err(Fault::Damaged(_)))
}

#[test]
fn a_segment_is_a_file_that_is_only_read() {
    use std::os::unix::fs::PermissionsExt;
    let one = One::new();
    let mode = || fs::metadata(one.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode() & 0o222, 0, "{:o}", mode());
    one.write(&one.whole);
    make_read_only(&one.path()).unwrap();
    assert_eq!(mode() & 0o222, 0, "{:o}", mode());
    assert_eq!(one.read(), Ok(()));
}

#[test]
fn cut_off_or_overwritten_content_is_damage() {
    let one = One::new();
    let length = one.whole.len();
    for end in [0, 1, 4096, HEADER_BYTES - 1, HEADER_BYTES, length / 2, length - 1] {
        one.write(&one.whole[..end]);
        // Behind the last block there may be room that nothing uses.
        let read = one.read();
        assert!(is_damaged(&read) || (read == Ok(()) && end > length / 2), "cut at {end}: {read:?}");
    }
    for content in [&b"hello world"[..], &[0; 100_000]] {
        one.write(content);
        assert!(is_damaged(&one.read()), "{:?}", one.read());
    }
}

#[test]
fn a_flipped_bit_is_damage_or_changes_nothing() {
    let (one, mut rng, mut damaged) = (One::new(), fastrand::Rng::with_seed(7), 0);
    for _ in 0..30 {
        let mut content = one.whole.clone();
        content[rng.usize(..one.whole.len())] ^= 1 << rng.u8(..8);
        one.write(&content);
        let read = one.read();
        assert!(read == Ok(()) || is_damaged(&read), "{read:?}");
        damaged += usize::from(is_damaged(&read));
    }
    assert!(damaged > 10, "{damaged}");
}

#[test]
fn what_another_version_or_program_wrote_is_no_damage() {
    let one = One::new();
    let is_other = |read: &Result<(), Fault>| matches!(read, Err(Fault::OtherVersion(_)));
    let mut newer = one.whole.clone();
    assert_eq!(newer[..8], checksum(&newer[8..4096]).to_le_bytes(), "the checksum of DuckDB's first block");
    newer[12] += 50;
    let sum = checksum(&newer[8..4096]);
    newer[..8].copy_from_slice(&sum.to_le_bytes());
    one.write(&newer);
    assert!(is_other(&one.read()), "storage of a newer DuckDB: {:?}", one.read());
    for sql in [
        "UPDATE segment SET schema_version = 99",
        "UPDATE segment SET first_sequence = 3",
        "UPDATE segment SET last_sequence = 300",
        "DELETE FROM segment",
        "DROP TABLE segment",
        "ALTER TABLE segment DROP schema_version",
        "UPDATE segment SET \"rows\" = NULL",
    ] {
        one.alter(sql);
        let engine = open_engine(64, 1, None).unwrap();
        let attached = attach_segment(&engine, one.folder.path(), &one.name).map(drop);
        assert!(is_other(&attached), "{sql}: {attached:?}");
    }
    // A column that is more is none of ours.
    one.alter("ALTER TABLE host_sample ADD COLUMN more INTEGER; CREATE TABLE another (i INTEGER)");
    assert_eq!(one.read(), Ok(()));
}

/// Locks a file as a program does that has it open to write.
fn lock(path: &Path) -> Child {
    const SCRIPT: &str = "import fcntl, sys
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

#[test]
fn a_lock_passes() {
    let one = One::new();
    one.write(&one.whole);
    let mut child = lock(&one.path());
    let locked = one.read();
    assert!(matches!(&locked, Err(Fault::Unavailable(said)) if said.contains("lock")), "{locked:?}");
    child.stdin.take().unwrap().flush().unwrap();
    child.wait().unwrap();
    assert_eq!(one.read(), Ok(()));
}

#[test]
fn what_is_no_file_is_neither_waited_for_nor_damage() {
    let one = One::new();
    let put = |make: &dyn Fn(&Path)| {
        one.remove();
        make(&one.path());
        one.read()
    };
    let pipe = |path: &Path| {
        let status = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(status.success());
    };
    let socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    let short = one.folder.path().join("s");
    socket(&short);
    for (what, read) in [
        ("pipe", put(&pipe)),
        ("folder", put(&|path| fs::create_dir(path).unwrap())),
        ("socket", put(&|path| symlink(&short, path).unwrap())),
        ("device", put(&|path| symlink("/dev/zero", path).unwrap())),
        ("loop", put(&|path| symlink(path, path).unwrap())),
        ("dangling link", put(&|path| symlink("/no/such/file", path).unwrap())),
    ] {
        assert!(matches!(&read, Err(Fault::Unavailable(_))), "{what}: {read:?}");
    }
    one.remove();
    assert_eq!(one.read(), Err(Fault::Gone));
    // A link to a file is a file.
    let elsewhere = one.folder.path().join("elsewhere");
    fs::write(&elsewhere, &one.whole).unwrap();
    symlink(&elsewhere, one.path()).unwrap();
    assert_eq!(one.read(), Ok(()));
}

#[test]
fn what_the_system_cannot_read_is_no_damage() {
    // The system's own memory as a file: it is one, and reading it is an error.
    let path = Path::new("/proc/self/mem");
    assert!(matches!(look(path), Err(Fault::Unavailable(_))), "{:?}", look(path));
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all_at(&[1; HEADER_BYTES], 0).unwrap();
    assert_eq!((look(file.path()), read_bytes(file.path())), (Ok(()), Ok(())));
}
