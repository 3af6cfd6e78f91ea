//! The contract between the parts of fleetps, and the managed nats-server that carries it.
//!
//! * **Contract:** `model` declares every field of a process and of a host, `snapshot` is the message that agents
//!   send, `host` and `subject` name things.
//! * **Streams:** `stream` declares them, `reader` reads snapshots in order, `direct` reads several messages at once,
//!   `decode` decodes them within each host's rate limit, `dead_letter` keeps what was refused, `standing` knows since
//!   when a revoked host's messages no longer count.
//! * **Buckets:** `bucket` keeps values under keys, `hosts` is the bucket of hosts, `admission` decides which
//!   connection may speak for which host.
//! * **Connections:** `connection` opens them, `tls_options` protects them, `key` reads and makes keys, `patience`
//!   waits for a broker, `signed` signs what hosts send over HTTP.
//! * **Control:** `agent_settings` is what the fleet asks of a host's agent and how that is signed, `command` what it tells a host
//!   to do.
//! * **Reports:** `status` publishes how a part is doing, `own_figures` says so in the stream, for alerts, and `audit` writes who
//!   did what.
//! * **Broker:** `server` (feature `managed`) finds, installs and runs a local nats-server.
//! * **Tools:** `settings` declares and merges settings, `bounds` checks their range, `units` parses durations and
//!   sizes, `lock` keeps two processes out of one folder, `disk` says how full one is, `file` reads and replaces
//!   small files, `output` prints, `log` starts the log, `shutdown` listens for signals, `error_chain` writes an error as
//!   one line, `clock` tells the time, `service_manager` tells systemd that the program works and goes on.

// They panic when the pipe is closed; `output` does not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]
// Tests declare settings of their own, which are `pub`.
#![cfg_attr(not(test), warn(unreachable_pub))]

pub mod admission;
pub mod agent_settings;
pub mod audit;
pub mod bounds;
pub mod bucket;
mod clock;
pub mod command;
pub mod connection;
pub mod dead_letter;
pub mod decode;
pub mod direct;
pub mod disk;
mod error_chain;
pub mod exchange;
pub mod file;
pub mod host;
pub mod hosts;
pub mod key;
pub mod lock;
pub mod log;
pub mod log_settings;
pub mod model;
pub mod output;
pub mod own_figures;
pub mod patience;
pub mod reader;
#[cfg(feature = "managed")]
pub mod server;
pub mod service_manager;
pub mod settings;
pub mod shutdown;
pub mod signed;
mod standing;
pub mod status;
pub mod stream;
pub mod subject;
mod tls_options;
pub mod units;

pub use clock::{now_us, steady_us};
pub use error_chain::error_chain;
pub use host::HostName;
pub use model::snapshot::{self, Snapshot};
pub use standing::Standing;
pub use tls_options::TlsOptions;
