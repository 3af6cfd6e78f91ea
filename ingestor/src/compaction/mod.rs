//! The compactor: keeps the folder small while intake goes on. It merges small segments (`plan` decides, `merge` does,
//! in `chunks`), keeps less of the past when it is old or takes too much (`retention` decides by the retention clock,
//! `shares` by host), and reads segments whole to find damage (`verify`). One thread, behind intake in priority, with a
//! database engine of its own.
//!
//! **Every step makes one segment of others and takes effect with its one rename.** A downsampled segment has the sequences of
//! its sources and a later level, so by its name alone it replaces them. Only the first merge of a large fleet makes several:
//! it divides fresh segments by hosts into shards, and takes effect with the last rename. From then on each shard goes its own
//! way, so no later step is larger than one segment.

mod chunks;
mod error;
mod failures;
mod merge;
mod offline;
mod plan;
mod retention;
mod shares;
mod stored;
mod templates;
mod verify;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use fleetps_nats::{HostName, disk, error_chain};
use tokio_util::sync::CancellationToken;

pub use error::CompactionError;
pub(crate) use merge::Interrupt;
pub use merge::MergeError;
pub use offline::{check_folder, merge_folder, merge_folder_by, tidy_folder};

use self::{
    failures::Failures,
    plan::{Limits, Plan},
    retention::SizeStep,
    shares::{Shares, Trim},
    verify::Verifier,
};
use crate::{
    catalog::{SegmentCatalog, SegmentMeta},
    retention_clock::RetentionClock,
    segment::SegmentName,
    settings::IngestorSettings,
    status::Progress,
};

/// After a failure: long enough not to fill the log, short enough to use new space soon.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// How often waiting looks whether to stop.
const TICK: Duration = Duration::from_millis(100);
/// How far the thread stands back behind intake (as the command `nice` counts).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Merges, downsamples, removes and verifies the segments of a folder.
pub(crate) struct Compactor {
    pub(crate) settings: IngestorSettings,
    pub(crate) catalog: Arc<SegmentCatalog>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) clock: Arc<RetentionClock>,
    pub(crate) interrupt: Arc<Interrupt>,
    pub(crate) cancel: CancellationToken,
}

impl Compactor {
    /// Works until it is cancelled.
    pub(crate) fn run(&self) {
        stand_back();
        let (mut verifier, mut failures) = (Verifier::of(self.catalog.folder()), Failures::default());
        let mut shares = Shares::default();
        while !self.cancel.is_cancelled() {
            let stepped = self.step(&mut verifier, &mut failures, &mut shares);
            self.progress.set_upkeep_error(stepped.as_ref().err().map(|error| error_chain(error)));
            let pause = match stepped {
                Ok(true) => Duration::ZERO,
                Ok(false) => self.settings.upkeep_interval,
                Err(_) if self.cancel.is_cancelled() => return,
                Err(error) => {
                    tracing::warn!("{}; compaction goes on in {PAUSE_AFTER_FAILURE:?}", error_chain(&error));
                    PAUSE_AFTER_FAILURE
                }
            };
            self.wait(pause);
        }
    }

    /// One look at the folder; true when there may be more to do at once.
    fn step(
        &self,
        verifier: &mut Verifier,
        failures: &mut Failures,
        shares: &mut Shares,
    ) -> Result<bool, CompactionError> {
        let looked = self.catalog.look_again(self.settings.quarantine_after);
        self.progress.set_set_aside(self.catalog.missing_files());
        looked?;
        let segments = self.catalog.segments();
        self.progress.set_segments(&segments);
        failures.forget_gone(&segments);
        self.progress.set_failed_merges(failures.reasons());
        let warning = disk::warning(self.catalog.folder());
        self.progress.set_disk_warning(warning.map(|warning| warning.to_string()));
        self.catalog.publish()?;
        self.catalog.unlink_retired(self.settings.unlink_delay);
        let times = self.times(jiff::Timestamp::now().as_second());
        let task = next_task(&self.catalog, (failures, shares), times, &self.settings);
        self.progress.set_beyond_share(shares.said());
        match task {
            Some(task) => self.perform(&task, failures).map(|()| true),
            // One at a time: what there is to do is looked for again after each.
            None => Ok(verifier.step(&self.catalog, times.clock_s).map(|()| false)?),
        }
    }

    /// The times for merging and for retention. Reports what waits for the clock to be trusted.
    fn times(&self, clock_s: i64) -> Times {
        self.clock.save();
        let judged = self.clock.judge(clock_s);
        self.progress.set_waits_for_clock(judged.waits);
        Times { clock_s, history_s: judged.now_s }
    }

    /// Does a task. A plan that fails waits, unless one of its sources is at fault, which is then left out.
    fn perform(&self, task: &Task, failures: &mut Failures) -> Result<(), CompactionError> {
        let began = Instant::now();
        let made = perform(&self.catalog, task, &self.interrupt);
        // A merge that was interrupted by the end did not fail.
        if !matches!(task, Task::Remove(_)) && (made.is_ok() || !self.cancel.is_cancelled()) {
            self.progress.count_merge(began.elapsed(), made.is_ok());
        }
        let (Err(error), false) = (&made, self.cancel.is_cancelled()) else { return made };
        let sources = match task {
            Task::Make(plan) => plan.sources.as_slice(),
            Task::Trim(trim) => std::slice::from_ref(&trim.source),
            Task::Remove(_) => return made,
        };
        let mut are_whole = true;
        for source in sources {
            are_whole &= verify::is_whole(&self.catalog, &source.name)?;
        }
        match task {
            Task::Make(plan) if are_whole => {
                let error = error_chain(error);
                tracing::warn!("{error}; trying again later");
                failures.add(plan, error, Instant::now());
                Ok(())
            }
            _ if are_whole => made,
            _ => Ok(()),
        }
    }

    fn wait(&self, pause: Duration) {
        let mut waited = Duration::ZERO;
        while waited < pause && !self.cancel.is_cancelled() {
            let step = TICK.min(pause - waited);
            std::thread::sleep(step);
            waited += step;
        }
    }
}

/// The next step.
enum Task {
    /// Make a segment of others.
    Make(Plan),
    /// Write a segment again with less of some hosts.
    Trim(Trim),
    /// Let go of segments.
    Remove(Vec<SegmentName>),
}

/// Which time it is, in seconds since 1970 UTC.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// By this machine's clock, for merging, which loses nothing.
    clock_s: i64,
    /// For how old history is, as far as the clock is believed.
    history_s: i64,
}

/// Room is made first: without it, nothing else can be done. Size limits never wait for a clock. Failed plans that wait
/// are skipped.
fn next_task(
    catalog: &SegmentCatalog,
    (failures, shares): (&Failures, &mut Shares),
    times: Times,
    settings: &IngestorSettings,
) -> Option<Task> {
    let (segments, now) = (catalog.mergeable(), Instant::now());
    let (mergeable, downsamplable) =
        (failures.mergeable(&segments, now), failures.downsamplable(&segments, now));
    let expired = retention::expired(&segments, times.history_s, settings);
    if !expired.is_empty() {
        tracing::info!(segments = expired.len(), "removing segments that are too old");
        return Some(Task::Remove(expired));
    }
    of_shares(catalog.folder(), &segments, &mergeable, settings, shares)
        .or_else(|| enforce_size_limit(&segments, &downsamplable, settings))
        .or_else(|| Some(Task::Make(plan::next_merge(&mergeable, times.clock_s, Limits::from(settings))?)))
        .or_else(|| {
            Some(Task::Make(retention::next_downsampling(&downsamplable, times.history_s, settings)?))
        })
}

/// The step that makes room at the cost of hosts above their share.
fn of_shares(
    folder: &Path,
    segments: &[SegmentMeta],
    mergeable: &[SegmentMeta],
    settings: &IngestorSettings,
    shares: &mut Shares,
) -> Option<Task> {
    let limit = settings.max_history_bytes;
    Some(match shares.next_task(folder, segments, mergeable, settings)? {
        shares::ShareStep::Merge(plan) => Task::Make(plan),
        shares::ShareStep::Trim(trim) => {
            let hosts = trim.hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ");
            tracing::warn!(limit, hosts, keep = ?trim.keep, segment = %trim.source.name,
                "the history takes too much: keeping less of hosts that take more than their share");
            Task::Trim(trim)
        }
    })
}

/// The step that makes room where `segments` take more than the limit, among the `downsamplable` ones.
fn enforce_size_limit(
    segments: &[SegmentMeta],
    downsamplable: &[SegmentMeta],
    settings: &IngestorSettings,
) -> Option<Task> {
    let bytes = |segments: &[SegmentMeta]| segments.iter().map(|segment| segment.bytes).sum::<u64>();
    let waiting_bytes = bytes(segments) - bytes(downsamplable);
    let limit = settings.max_history_bytes;
    let left =
        IngestorSettings { max_history_bytes: limit.saturating_sub(waiting_bytes), ..settings.clone() };
    Some(match retention::enforce_size_limit(downsamplable, &left)? {
        SizeStep::Downsample(plan) => {
            tracing::warn!(
                limit,
                level = plan.level.as_str(),
                "the history takes too much: keeping less of the oldest"
            );
            Task::Make(plan)
        }
        SizeStep::Remove(name) => {
            tracing::warn!(limit, segment = %name, "the history takes too much: removing the oldest");
            Task::Remove(vec![name])
        }
    })
}

fn perform(catalog: &SegmentCatalog, task: &Task, interrupt: &Interrupt) -> Result<(), CompactionError> {
    match task {
        Task::Remove(names) => Ok(catalog.retire(names)?),
        Task::Trim(trim) => {
            let made = merge::trim(catalog.folder(), trim, interrupt)?;
            Ok(catalog.replace(&[trim.source.name], &made)?)
        }
        Task::Make(plan) => {
            let made = merge::merge(catalog.folder(), plan, interrupt)?;
            let (sources, rows) = (plan.sources.len(), plan.rows());
            if let Some((segment, _)) = made.first() {
                tracing::debug!(%segment, shards = plan.shards, sources, rows, "merged");
            }
            let sources: Vec<_> = plan.sources.iter().map(|source| source.name).collect();
            Ok(catalog.replace(&sources, &made)?)
        }
    }
}

/// Gives intake the processor where both want it. Elsewhere than on Linux, priorities are not per thread.
fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        tracing::debug!(error = %error, "compaction runs at the priority of intake");
    }
}
