//! The catalog: which segments exist, where, and of which hosts and times. The reader (`history`) and the compactor use
//! it, and do not know each other.
//!
//! `folder` lists the files by their names alone; `segment_catalog` keeps which of them are used, and publishes that in
//! `attach.sql` (`script`), or the newest of them where not all can be attached (`selection`); `index` holds the hosts and times of one
//! segment, and `index_log` keeps that beside the segments; `views` makes one database of many segments.

mod cleanup;
mod error;
mod folder;
mod index;
mod index_log;
mod meta;
mod script;
mod segment_catalog;
mod selection;
mod state;
mod table_columns;
mod templates;
mod unreadable;
mod views;

pub use error::CatalogError;
pub use folder::{SegmentFile, SegmentFolder, SkippedFile};
pub(crate) use index::{HostNames, HostRange, HostRanges, SegmentIndex};
pub(crate) use index_log::IndexLogReader;
pub(crate) use meta::SegmentMeta;
pub use script::{AttachScript, attach_script};
pub use segment_catalog::ATTACH_SQL;
pub(crate) use segment_catalog::SegmentCatalog;
pub use selection::MAX_ATTACHED;
pub(crate) use selection::{Newest, may_hold, newest};
pub(crate) use state::quarantine_file;
pub(crate) use unreadable::{UnreadableSegments, read_again};
pub use views::attach_sql;
pub(crate) use views::{
    Narrow, Rows, Tables, attach_empty, attach_one, columns_of_latest, relation, views_sql,
};
