//! The sizes of mounted file systems, asked off the sampling thread.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use fleetps_nats::snapshot::{FilesystemSample, MAX_FILESYSTEMS, MAX_STRING_BYTES};
use rustix::{fs::StatVfs, io::Errno};

use super::{
    bytes::{text, whole_file},
    mounts::{Listed, listed},
    workers::{HANGS_AFTER, Slot, Workers},
};
use crate::sample::text::cut;

/// A mount appears after this time at the latest, and sizes are as old at most: asking costs microseconds each.
const AGE: Duration = Duration::from_secs(10);
/// Threads that local file systems may hold up, and those that servers and FUSE programs may: a dozen dead servers keep
/// no local disk from being asked.
const MOST_LOCAL: usize = 4;
const MOST_REMOTE: usize = 8;
/// A clock that was corrected by more moves the times that were told.
const CLOCK_MOVED_US: u64 = 1_000_000;

/// What `statvfs` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sizes {
    pub(super) total: u64,
    pub(super) used: u64,
    pub(super) available: u64,
    /// Total and used; absent where the file system has no fixed number.
    pub(super) inodes: Option<(u64, u64)>,
}

/// How a mount is asked; a test asks otherwise.
pub(super) type Ask = Arc<dyn Fn(&Path) -> Result<Sizes, Errno> + Send + Sync>;

/// The mounted file systems and their last answers.
pub(super) struct Filesystems {
    mountinfo: PathBuf,
    ask: Ask,
    lists: Workers,
    local: Workers,
    remote: Workers,
    list: Slot<Arc<Vec<Listed>>>,
    /// The list whose mounts were asked last.
    asked_of: Option<Instant>,
    /// By device and place: a mount that was taken away while it hung is not asked again when it comes back.
    known: HashMap<(String, Vec<u8>), Known>,
}

/// A mount.
#[derive(Default)]
struct Known {
    sizes: Slot<Result<Sizes, Errno>>,
    is_listed: bool,
    unanswered_since_us: Option<i64>,
    answered_at_us: Option<i64>,
}

impl Filesystems {
    /// Reads the list from a `/proc` folder. `lists` reads it, `ask` asks for sizes.
    pub(super) fn new(proc_folder: &Path, lists: Workers, ask: Ask) -> Self {
        Self {
            mountinfo: proc_folder.join("self/mountinfo"),
            ask,
            lists,
            local: Workers::new(MOST_LOCAL),
            remote: Workers::new(MOST_REMOTE),
            list: Slot::default(),
            asked_of: None,
            known: HashMap::new(),
        }
    }

    /// Asks what is due, waits for nothing. To be called in every pass.
    pub(super) fn tend(&mut self) {
        if self.list.is_older_than(AGE) {
            let path = self.mountinfo.clone();
            self.list.ask(&self.lists, move || Arc::new(listed(&whole_file(&path))));
        }
        self.list.tell(|| "the list of mounts (/proc/self/mountinfo)".to_owned());
        let answered_at = self.list.answered_at();
        if answered_at != self.asked_of {
            self.asked_of = answered_at;
            self.ask_all();
        }
        self.local.tend();
        self.remote.tend();
    }

    fn ask_all(&mut self) {
        let list = self.list.answer().unwrap_or_default();
        self.known.values_mut().for_each(|known| known.is_listed = false);
        for mount in list.iter().take(MAX_FILESYSTEMS) {
            let key = (mount.device_number.clone(), mount.point.clone());
            let known = self.known.entry(key).or_default();
            known.is_listed = true;
            let workers = if mount.is_remote() { &self.remote } else { &self.local };
            let (ask, point) = (Arc::clone(&self.ask), mount.point.clone());
            known.sizes.ask(workers, move || ask(Path::new(OsStr::from_bytes(&point))));
        }
        self.known.retain(|_, known| known.is_listed || known.sizes.pending_since().is_some());
    }

    /// Whether everything that was asked is answered.
    pub(super) fn is_settled(&self) -> bool {
        self.asked_of.is_some() && self.known.values().all(|known| known.sizes.pending_since().is_none())
    }

    /// The file systems as of now; `clock_us` is the host's clock, in µs since 1970 UTC.
    pub(super) fn samples(&mut self, clock_us: i64) -> Vec<FilesystemSample> {
        let list = self.list.answer().unwrap_or_default();
        let now = Instant::now();
        let sample = |mount: &Listed| {
            let known = self.known.get_mut(&(mount.device_number.clone(), mount.point.clone()))?;
            known
                .sizes
                .tell(|| format!("the {} mount {:?} of {:?}", mount.kind, text(&mount.point), mount.source));
            known.sample(mount, now, clock_us)
        };
        list.iter().take(MAX_FILESYSTEMS).filter_map(sample).collect()
    }
}

impl Known {
    /// `None` where it holds no files: it has no blocks, or is gone.
    fn sample(&mut self, mount: &Listed, now: Instant, clock_us: i64) -> Option<FilesystemSample> {
        let answer = self.sizes.answer();
        let hangs_since = self
            .sizes
            .pending_since()
            .filter(|since| answer.is_none() || now.duration_since(*since) >= HANGS_AFTER);
        let mut sample = described(mount);
        let Some(hangs_since) = hangs_since else {
            (self.unanswered_since_us, self.answered_at_us) = (None, None);
            match answer? {
                Ok(sizes) if sizes.total == 0 => return None,
                Ok(sizes) => fill(&mut sample, sizes),
                Err(Errno::NOENT | Errno::NOTDIR) => return None,
                Err(error) => sample.error = Some(cut(reason(error))),
            }
            return Some(sample);
        };
        sample.unanswered_since_us =
            steady(&mut self.unanswered_since_us, clock_us, now.duration_since(hangs_since));
        if let Some(Ok(sizes)) = answer {
            let age = self.sizes.answered_at().map_or(Duration::ZERO, |at| now.duration_since(at));
            sample.answered_at_us = steady(&mut self.answered_at_us, clock_us, age);
            sample.last_total_bytes = Some(sizes.total);
            sample.last_used_bytes = Some(sizes.used);
        }
        Some(sample)
    }
}

/// The moment that was `age` ago: what was told before, unless the clock was set meanwhile.
fn steady(told_us: &mut Option<i64>, clock_us: i64, age: Duration) -> Option<i64> {
    let moment_us = clock_us.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)).max(0);
    if told_us.is_none_or(|told_us| told_us.abs_diff(moment_us) > CLOCK_MOVED_US) {
        *told_us = Some(moment_us);
    }
    *told_us
}

fn described(mount: &Listed) -> FilesystemSample {
    let known_text = |text: &str| (!text.is_empty()).then(|| cut(text.to_owned()));
    FilesystemSample {
        mount: cut(text(&mount.point)),
        device: known_text(&mount.source),
        kind: known_text(&mount.kind),
        other_mounts: other_mounts(&mount.others),
        other_mount_count: u32::try_from(mount.others.len()).ok().filter(|count| *count > 0),
        ..FilesystemSample::default()
    }
}

/// A line each, as many as fit.
fn other_mounts(others: &[Vec<u8>]) -> Option<String> {
    let mut all = String::new();
    for point in others {
        let line = text(point).replace('\n', "\\012");
        let separator = if all.is_empty() { "" } else { "\n" };
        if all.len() + separator.len() + line.len() > MAX_STRING_BYTES {
            break;
        }
        all = all + separator + &line;
    }
    (!all.is_empty()).then_some(all)
}

fn fill(sample: &mut FilesystemSample, sizes: Sizes) {
    sample.total_bytes = Some(sizes.total);
    sample.used_bytes = Some(sizes.used);
    sample.available_bytes = Some(sizes.available);
    (sample.inodes_total, sample.inodes_used) = sizes.inodes.unzip();
}

/// "Transport endpoint is not connected (os error 107)" without the number.
fn reason(error: Errno) -> String {
    let text = std::io::Error::from(error).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Asks the kernel. It may never answer.
pub(super) fn ask_kernel(point: &Path) -> Result<Sizes, Errno> {
    Ok(Sizes::from(&rustix::fs::statvfs(point)?))
}

impl From<&StatVfs> for Sizes {
    fn from(statvfs: &StatVfs) -> Self {
        // SQL has no larger numbers, and some FUSE programs say that they have room for all there is.
        let fitting = |value: u64| value.min(i64::MAX as u64);
        let block_bytes = if statvfs.f_frsize > 0 { statvfs.f_frsize } else { statvfs.f_bsize };
        let bytes = |blocks: u64| fitting(blocks.saturating_mul(block_bytes));
        // Where root has used more than its reserve, it is below zero, which wraps around.
        let available = if statvfs.f_bavail > i64::MAX as u64 { 0 } else { statvfs.f_bavail };
        let files = statvfs.f_files;
        let has_inodes = files > 0 && i64::try_from(files).is_ok();
        Self {
            total: bytes(statvfs.f_blocks),
            used: bytes(statvfs.f_blocks.saturating_sub(statvfs.f_bfree)),
            available: bytes(available),
            inodes: has_inodes.then(|| (files, files.saturating_sub(statvfs.f_ffree))),
        }
    }
}

#[cfg(test)]
#[path = "filesystems_tests.rs"]
mod tests;
