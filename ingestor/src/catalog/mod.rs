//! Which segments there are, where, of which hosts and times. The reader (`history`) and the compactor use it, and do not
//! know each other.
//!
//! `folder` lists the files by their names alone; `segment_catalog` keeps which of them are used, and publishes that in
//! `attach.sql`; `index` holds the hosts and times of one attached segment; `views` makes one database of many segments.

mod error;
mod folder;
mod index;
mod meta;
mod segment_catalog;
mod state;
mod unread;
mod views;

pub use error::CatalogError;
pub use folder::{Catalog, LeftOut, Segment};
pub(crate) use index::{Held, HostRange, last_us};
pub(crate) use meta::Shelved;
pub use segment_catalog::ATTACH_SQL;
pub(crate) use segment_catalog::Shelf;
pub(crate) use state::set_file_aside;
pub use views::attach_sql;
pub(crate) use views::{Rows, Tables, attach_empty, attach_one, relation, views_sql};
