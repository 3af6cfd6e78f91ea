//! Why a step of the audit keeper failed.

use fleetps_nats::audit::AuditError;

use crate::{
    audit::AuditFileError,
    segment::{Fault, FileError, FolderError},
};

/// The audit could not be kept just now.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    #[error(transparent)]
    Stream(#[from] AuditError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Segment(#[from] AuditFileError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the audit stream was recreated, or lost its end")]
    Replaced,
    #[error("the newest audit segment {0} is not read: {1}. The broker keeps what came after it meanwhile")]
    SkippedFile(String, Fault),
    #[error("a thread that keeps the audit failed; that is a bug, please report it with the log")]
    Panicked,
}
