//! Who may do what, and see what: the one place that decides, and denies what nothing allows.
//!
//! `may` decides about an action, on a host by the tags that the server knows of it, never by what a request says.
//! `check` asks it before a handler runs: every address of `routes` names its action. `sight` is what a handler gets of the
//! present and the past: only the hosts and command lines that whoever asks may see, so that filters, totals and limits are
//! of nothing else. `groups` is the copy of the hosts' tags that all of this is decided by.

mod check;
mod groups;
mod may;
mod sight;

pub use check::check;
pub use groups::{Groups, HostGroups};
pub use may::{Action, Decision, may};
pub use sight::Sight;
