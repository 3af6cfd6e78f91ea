//! Keeps the folder tidy while intake goes on: merges small segments (`plan` decides, `merge` does, in
//! `pieces`), and lets go of what
//! is too old or too much (`retention`). One thread, behind intake in priority, with a database engine of its own.
//!
//! Later, roll-ups and thinning are further steps of [`Upkeep::step`].

mod merge;
mod offline;
mod pieces;
mod plan;
mod retention;

use std::{sync::Arc, time::Duration};

use fleetps_nats::with_causes;
use tokio_util::sync::CancellationToken;

pub(crate) use merge::Interrupt;
pub use merge::MergeError;
pub(crate) use merge::read_whole;
pub use offline::merge_folder;

use crate::{settings::IngestorSettings, shelf::Shelf, status::Progress};

/// After a failure: long enough not to fill the log, short enough to use new space soon.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);
/// How often waiting looks whether to stop.
const TICK: Duration = Duration::from_millis(100);
/// How far the thread stands back behind intake (as the command `nice` counts).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Keeps the folder tidy.
pub(crate) struct Upkeep {
    pub(crate) settings: IngestorSettings,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) interrupt: Arc<Interrupt>,
    pub(crate) cancel: CancellationToken,
}

impl Upkeep {
    /// Works until it is cancelled.
    pub(crate) fn run(&self) {
        stand_back();
        while !self.cancel.is_cancelled() {
            let pause = match self.step() {
                Ok(true) => Duration::ZERO,
                Ok(false) => self.settings.upkeep_interval,
                Err(_) if self.cancel.is_cancelled() => return,
                Err(error) => {
                    tracing::warn!(
                        "{}; upkeep goes on in {PAUSE_AFTER_FAILURE:?}",
                        with_causes(error.as_ref())
                    );
                    PAUSE_AFTER_FAILURE
                }
            };
            self.wait(pause);
        }
    }

    /// One look at the folder; true when there may be more to do at once.
    fn step(&self) -> Result<bool, Box<dyn std::error::Error>> {
        self.progress.set_set_aside(self.shelf.set_aside());
        self.shelf.publish()?;
        self.shelf.unlink_retired(self.settings.unlink_delay);
        let now_s = jiff::Timestamp::now().as_second();
        let expired = retention::expired(&self.shelf.segments(), now_s, &self.settings);
        if !expired.is_empty() {
            tracing::info!(segments = expired.len(), "removing segments that are too old or too much");
            self.shelf.retire(&expired)?;
        }
        let Some(plan) = plan::next_merge(&self.shelf.segments(), now_s, self.settings.merge_fresh_count)
        else {
            return Ok(false);
        };
        match merge::merge(self.shelf.folder(), &plan, &self.interrupt) {
            Ok((name, rows)) => {
                tracing::debug!(segment = %name, sources = plan.sources.len(), rows, "merged");
                let sources: Vec<_> = plan.sources.iter().map(|source| source.name).collect();
                self.shelf.replace(&sources, name, rows)?;
                Ok(true)
            }
            Err(error) => {
                self.put_damaged_aside(&plan)?;
                Err(error.into())
            }
        }
    }

    /// A merge failed: looks whether one of its sources is the reason.
    fn put_damaged_aside(&self, plan: &plan::Plan) -> Result<(), Box<dyn std::error::Error>> {
        for source in &plan.sources {
            if self.cancel.is_cancelled() {
                return Ok(());
            }
            if let Err(error) = merge::read_whole(self.shelf.folder(), &source.name) {
                tracing::error!(segment = %source.name, "set aside: {}", with_causes(&error));
                self.shelf.put_aside(source.name)?;
            }
        }
        Ok(())
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

/// Gives intake the processor where both want it. Elsewhere than on Linux, priorities are not per thread.
fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        tracing::debug!(error = %error, "upkeep runs at the priority of intake");
    }
}
