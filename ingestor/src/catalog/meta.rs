//! The metadata of each segment in use.

use crate::segment::SegmentName;

/// A segment and what planning needs to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentMeta {
    pub(crate) name: SegmentName,
    /// Rows of processes.
    pub(crate) rows: u64,
    /// Size of the file.
    pub(crate) bytes: u64,
}
