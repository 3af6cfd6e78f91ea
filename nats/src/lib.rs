//! What the parts of fleetps say to each other over NATS.
//!
//! `host` and `subject` name things, `snapshot` is the message every agent sends, `stream` is where the broker keeps
//! those messages, `reader` reads them in order, `direct` some of them at once, and `unpack` makes snapshots of them,
//! `status` is how a part says how it is doing, `audit` is who did what, and `connection` is the one way to reach a broker,
//! kept safe by `wire`; `key` reads and makes the keys for it. `bucket` is what the broker keeps under keys, `hosts` the one
//! of the hosts, `admission` decides who may speak for them, and `standing` since when somebody may no longer. `server`
//! (feature `managed`) finds, installs and runs a local nats-server; `lock` keeps two processes out of one folder, `disk`
//! says how full one is, `file` reads and replaces small files, `settings` declares and merges settings, `bounds` checks
//! their range, `units` reads durations and sizes as people write them, `output` is how programs print, `log` starts the
//! log, `shutdown` listens for signals, `patience` waits for a broker, `causes` writes an error as one line, `clock` tells
//! the time.

// They panic where nobody reads any more; `output` does not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod admission;
pub mod audit;
pub mod bounds;
pub mod bucket;
mod causes;
mod clock;
pub mod connection;
pub mod direct;
pub mod disk;
pub mod file;
pub mod host;
pub mod hosts;
pub mod key;
pub mod lock;
pub mod log;
pub mod model;
pub mod output;
pub mod patience;
pub mod reader;
#[cfg(feature = "managed")]
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod snapshot;
mod standing;
pub mod status;
pub mod stream;
pub mod subject;
pub mod units;
pub mod unpack;
mod wire;

pub use causes::with_causes;
pub use clock::{now_us, steady_us};
pub use host::HostName;
pub use snapshot::Snapshot;
pub use standing::Standing;
pub use wire::Wire;
