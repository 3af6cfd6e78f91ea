//! Commands on this host: the helper over its socket, with real processes, a real bus and a real broker.

mod desk;
mod hostile;
mod program;
mod races;
mod relay;
mod signals;
mod systemd;
mod units;
