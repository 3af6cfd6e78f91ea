//! The frame in force, kept in a file for the next run. Writing is a thread's: the state folder may lie on a mount that hangs. Of
//! frames that come meanwhile the last is written.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use fleetps_nats::{agent_settings::SignedFrame, file};

/// The file.
#[derive(Debug, Clone)]
pub(super) struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    frame: Option<Vec<u8>>,
    is_writing: bool,
}

impl Store {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(Inner { path, pending: Mutex::default() }))
    }

    /// The frame that was kept. One that cannot be read is none: the fleet sends it again.
    pub(super) fn read(&self) -> Option<SignedFrame> {
        let bytes = file::read(&self.0.path).ok()?;
        SignedFrame::read(&bytes)
            .inspect_err(|error| tracing::warn!(path = %self.0.path.display(), %error, "cannot use the settings kept by an earlier run"))
            .ok()
    }

    /// Keeps a frame, without waiting.
    pub(super) fn write(&self, frame: Vec<u8>) {
        let mut pending = self.pending();
        pending.frame = Some(frame);
        if pending.is_writing {
            return;
        }
        let store = self.clone();
        let started =
            thread::Builder::new().name("keep-settings".to_owned()).spawn(move || store.write_all());
        match started {
            Ok(_) => pending.is_writing = true,
            Err(error) => {
                tracing::warn!(%error, "the settings asked of this host are not kept for its next run")
            }
        }
    }

    fn write_all(&self) {
        loop {
            let frame = {
                let mut pending = self.pending();
                let Some(frame) = pending.frame.take() else {
                    pending.is_writing = false;
                    return;
                };
                frame
            };
            let path = &self.0.path;
            let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
            if let Err(error) = folder.and_then(|()| file::replace(path, &frame)) {
                tracing::warn!(path = %path.display(), %error, "the settings asked of this host are not kept for its next run");
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
