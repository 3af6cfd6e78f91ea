//! How many rows of processes a segment has, as it says itself.

use std::path::Path;

use duckdb::Connection;

use super::{Fault, SegmentName, attach_segment, detach_statement, open_engine};

/// As for reading a file whole, although only one row of each segment is read.
const MEMORY_MIB: u64 = 256;

/// The rows of processes in segments, as they say themselves. Reads little, but notices a file that is no segment.
pub(crate) struct RowCounts<'a> {
    folder: &'a Path,
    /// Started when the first segment is read.
    engine: Option<Connection>,
}

impl<'a> RowCounts<'a> {
    /// The row counts of segments in `folder`.
    pub(crate) fn of(folder: &'a Path) -> Self {
        Self { folder, engine: None }
    }

    /// The rows of this one.
    pub(crate) fn read(&mut self, name: &SegmentName) -> Result<u64, Fault> {
        Ok(self.read_with(name, |_| Ok(()))?.0)
    }

    /// The same, with what `more` reads of the segment while it is attached.
    pub(crate) fn read_with<T>(
        &mut self,
        name: &SegmentName,
        more: impl Fn(&Connection) -> duckdb::Result<T>,
    ) -> Result<(u64, T), Fault> {
        self.ask(name, &more).or_else(|_| {
            // The engine may be what failed: a damaged file can end it for all that follow.
            self.engine = None;
            self.ask(name, &more)
        })
    }

    fn ask<T>(
        &mut self,
        name: &SegmentName,
        more: &impl Fn(&Connection) -> duckdb::Result<T>,
    ) -> Result<(u64, T), Fault> {
        let engine = match &mut self.engine {
            Some(engine) => engine,
            none => none.insert(open_engine(MEMORY_MIB, 1, None).map_err(|error| Fault::of(&error))?),
        };
        let rows = attach_segment(engine, self.folder, name)?;
        let read = more(engine).map_err(|error| Fault::of(&error));
        engine.execute_batch(&detach_statement(&name.alias())).map_err(|error| Fault::of(&error))?;
        Ok((rows, read?))
    }
}
