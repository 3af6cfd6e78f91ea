//! Who may do what, and see what: the one place that decides, and denies what nothing allows.
//!
//! `may` decides about an action, on a host by the tags that the server knows of it, never by what a request says.
//! `middleware::authorize` asks it before a handler runs: every route names its action. `groups` is the copy of the hosts'
//! tags that all of this is decided by. What a handler gets of the present and the past is a `sight`.

mod groups;
mod may;

pub use groups::Groups;
pub use may::{Action, Decision, HostGroups, may};
