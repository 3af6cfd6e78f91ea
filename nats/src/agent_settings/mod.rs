//! What the fleet asks of a host's agent: how often it samples, what it leaves out, and whether it samples at all.
//!
//! * `asked` declares each setting with its range, and says which of host and groups decides;
//! * `bucket` keeps what was asked for hosts and for groups, what was signed for each host, and what each host applied;
//! * `frame` signs what is sent to a host, and checks it there;
//! * `control_key` is the key that signs, and `succession` how another takes its place;
//! * `applied` is what a host reports;
//! * `watch` asks for more samples while somebody looks.
//!
//! A web server resolves groups to hosts and signs the outcome with the control key of the fleet, which is no login of the
//! broker. The signed frame is kept in the bucket [`SETTINGS`] under the host's subject token, and published to
//! [`subject::settings`](crate::subject::settings). A host believes a frame of the key that it pinned when it joined, for its own
//! name, and newer than the one it has. So neither another host, nor the broker, nor somebody who replays a frame can change
//! how a host is sampled.

mod applied;
mod asked;
mod bucket;
mod control_key;
mod frame;
mod succession;
mod watch;

pub use applied::Applied;
pub use asked::{AskedOfAgent, BadSetting, CommandLines, Decider, Resolved, Setting, resolve};
pub use bucket::{APPLIED, ASKED, AgentSettingsBucket, SETTINGS, applied_bucket, forget, frames};
pub use watch::Watch;

pub use control_key::{ControlKey, RotationError};
pub use frame::{Kind, MAX_FRAME_BYTES, NotBelieved, SignedFrame};
pub use succession::{MAX_SUCCESSIONS, Succession, is_control_key};
