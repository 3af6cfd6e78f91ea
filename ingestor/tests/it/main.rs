//! The ingestor with a real nats-server: published snapshots are stored exactly once, through every kind of
//! interruption.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should panic")]

mod alert_day;
mod alerts;
mod audit;
mod backup;
mod chance;
mod charts;
mod clocks;
mod crashes;
mod damage;
mod disk_full;
mod earlier_versions;
mod events;
#[cfg(unix)]
mod files;
mod fleet;
mod flood;
mod hostile_messages;
mod imports;
mod ledger;
mod model_in_sql;
mod naive;
mod over_time;
mod program;
mod publisher;
mod readers;
mod ready_made_library;
mod refusals;
mod scrubbing;
mod shards;
mod shares;
mod spans;
mod streams;
mod support;
mod thinning;
mod upkeep;
