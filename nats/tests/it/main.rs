//! The managed server and the stream reader, with a real nats-server.
#![cfg(feature = "managed")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should panic")]

mod reader;
mod server;
mod support;
