//! One file per page: what it reads from the URL, its template, and its live updates.

pub mod assets;
pub mod csv;
pub mod fleet;
pub mod health;
pub mod history;
pub mod host;
pub mod host_head;
pub mod hosts_json;
pub mod json;
pub mod metrics_json;
pub mod nothing;
pub mod page;
pub mod processes_json;
pub mod push;
pub mod sql;
pub mod system;
pub mod timeline;
