//! The managed server, the stream reader and the buckets, with a real nats-server.
#![cfg(feature = "managed")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should panic")]

mod admission;
mod audit;
mod bucket;
#[path = "../../../ingestor/tests/it/chance.rs"]
#[allow(dead_code, reason = "the ingestor's tests use the rest")]
mod chance;
mod damaged_store;
mod hostile;
mod permissions;
mod reader;
mod server;
mod stream;
mod support;
mod unwell;
