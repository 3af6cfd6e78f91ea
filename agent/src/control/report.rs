//! How a command in execution tells how far it is.

use std::time::Duration;

use fleetps_nats::command::{CommandId, Progress, Stage};
use tokio::sync::watch;

use super::{clock, refusal::Refusal};

/// The one who tells what becomes of one command. Dropped before the end, it tells of a failure.
#[derive(Debug)]
pub(super) struct Report {
    id: CommandId,
    taken_at: Duration,
    /// What the unit wrote meanwhile; told at the end.
    pub(super) output: Vec<String>,
    state: watch::Sender<Option<Progress>>,
}

impl Report {
    pub(super) fn new(id: CommandId, state: watch::Sender<Option<Progress>>) -> Self {
        Self { id, taken_at: clock::now(), output: Vec::new(), state }
    }

    /// It is in `stage`, and goes on.
    pub(super) fn goes_on(&self, stage: Stage, detail: impl Into<String>) {
        self.send(Progress { detail: detail.into(), ..Progress::new(self.id.clone(), stage) });
    }

    /// It has ended in `stage`, with nothing to complain about.
    pub(super) fn ends(self, stage: Stage, detail: impl Into<String>, gone: Option<bool>) {
        self.end(Progress { detail: detail.into(), gone, ..Progress::new(self.id.clone(), stage) });
    }

    /// It has ended in `stage` for this reason.
    pub(super) fn ends_for(self, stage: Stage, refusal: Refusal) {
        let Refusal { reason, detail } = refusal;
        self.end(Progress { detail, reason: Some(reason), ..Progress::new(self.id.clone(), stage) });
    }

    fn end(&self, progress: Progress) {
        let took_ms = clock::now().saturating_sub(self.taken_at).as_millis();
        self.send(Progress { took_ms: u64::try_from(took_ms).ok(), output: self.output.clone(), ..progress });
    }

    fn send(&self, progress: Progress) {
        let progress = progress.within_limits();
        tracing::info!(
            command = %progress.id, stage = ?progress.stage, reason = ?progress.reason, detail = progress.detail,
            "command"
        );
        self.state.send_replace(Some(progress));
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let has_ended = self.state.borrow().as_ref().is_some_and(|progress| progress.stage.is_final());
        if !has_ended {
            let refusal = Refusal::internal("the control helper gave up; please report this");
            let Refusal { reason, detail } = refusal;
            let failed = Progress::new(self.id.clone(), Stage::Failed);
            self.end(Progress { detail, reason: Some(reason), ..failed });
        }
    }
}
