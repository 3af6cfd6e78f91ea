//! Packing and unpacking snapshots, and every check a received one must pass.

use std::io::Read;

use serde::{Deserialize, Serialize};

use super::{
    BadSnapshot, Columns, FORMAT, MAX_COMPRESSED_BYTES, MAX_DECOMPRESSED_BYTES, MAX_STRING_BYTES, Process,
    Sent, Snapshot,
};
use crate::model::{
    Field, Kind, Value,
    bounded::TOO_MANY,
    filesystem::FILESYSTEM,
    host::{AGENT, HOST, HOST_INFO},
    interface::INTERFACE,
    process::{PROCESS, TICK_US},
};

/// Speed before size: level 1 packs a snapshot of 300 processes sevenfold in a fraction of a millisecond.
const COMPRESSION_LEVEL: i32 = 1;
/// Memory for looking at a message again: as much as the longest that is taken, 2^24 bytes.
const MAX_WINDOW_LOG: u32 = 24;
/// Snapshots nest four levels; the rest is room for later fields. Deeper input could overflow the stack.
const MAX_DEPTH: usize = 16;
/// Identifiers are UUIDs or shorter.
const MAX_IDENTIFIER_BYTES: usize = 64;
/// A host whose clock is more than a day ahead would hide its own newer samples for that long.
const MAX_CLOCK_AHEAD_US: i64 = 24 * 3600 * 1_000_000;
/// 2000-01-01: a clock before it was never set.
const EARLIEST_CAPTURE_US: i64 = 946_684_800_000_000;
/// A day: no host is sampled more rarely, and a host's state is judged by multiples of its interval.
const MAX_INTERVAL_MS: u32 = 24 * 3600 * 1000;

/// A snapshot could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It packs to more than one message may have.
    #[error("the snapshot packs to {0} bytes; a message holds {MAX_COMPRESSED_BYTES}")]
    TooLong(usize),
    /// A failure inside the packing libraries.
    #[error("cannot pack the snapshot")]
    Pack(#[from] rmp_serde::encode::Error),
    /// A failure inside the compressor.
    #[error("cannot compress the snapshot")]
    Compress(#[source] std::io::Error),
}

/// Packs snapshots, keeping its buffers from one to the next.
pub struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
    packed: Vec<u8>,
}

impl Encoder {
    /// A new one; about 1 MB.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { compressor: zstd::bulk::Compressor::new(COMPRESSION_LEVEL)?, packed: Vec::new() })
    }

    /// The message for `snapshot`: MessagePack, compressed.
    pub fn encode(&mut self, snapshot: &Snapshot) -> Result<Vec<u8>, EncodeError> {
        self.packed.clear();
        snapshot.serialize(&mut rmp_serde::Serializer::new(&mut self.packed).with_struct_map())?;
        let message = self.compressor.compress(&self.packed).map_err(EncodeError::Compress)?;
        if message.len() > MAX_COMPRESSED_BYTES || self.packed.len() > MAX_DECOMPRESSED_BYTES {
            return Err(EncodeError::TooLong(message.len()));
        }
        Ok(message)
    }
}

/// Unpacks and checks messages, keeping its buffers from one to the next.
pub struct Decoder {
    decompressor: zstd::bulk::Decompressor<'static>,
    packed: Vec<u8>,
    /// The same with some columns only.
    cut: Vec<u8>,
}

impl Decoder {
    /// A new one.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { decompressor: zstd::bulk::Decompressor::new()?, packed: Vec::new(), cut: Vec::new() })
    }

    /// The snapshot in `message`, checked; `received_at_us` (µs since 1970 UTC) is what its clock is judged by.
    pub fn decode(&mut self, message: &[u8], received_at_us: i64) -> Result<Snapshot, BadSnapshot> {
        self.decode_sent(message, Sent::default(), received_at_us)
    }

    /// The same, with its times on the broker's clock where the host's is off.
    pub fn decode_sent(
        &mut self,
        message: &[u8],
        sent: Sent,
        received_at_us: i64,
    ) -> Result<Snapshot, BadSnapshot> {
        if message.len() > MAX_COMPRESSED_BYTES {
            return Err(BadSnapshot::TooLong(message.len()));
        }
        self.decompress(message)?;
        let snapshot = unpack(&self.packed, sent)?;
        check(&snapshot, received_at_us)?;
        Ok(snapshot)
    }

    /// The snapshot in a message that was decoded and checked when it came, and is not checked again. With some columns of its
    /// processes alone, the other fields of these are absent, and it takes a third of the time.
    pub fn decode_taken(
        &mut self,
        message: &[u8],
        sent: Sent,
        columns: Option<&Columns>,
    ) -> Result<Snapshot, BadSnapshot> {
        self.decompress(message)?;
        match columns.and_then(|columns| columns.cut_out(&self.packed, &mut self.cut)) {
            Some(()) => unpack(&self.cut, sent),
            None => unpack(&self.packed, sent),
        }
    }

    /// How long the last message was when it was decompressed.
    pub fn unpacked_bytes(&self) -> usize {
        self.packed.len()
    }

    fn decompress(&mut self, message: &[u8]) -> Result<(), BadSnapshot> {
        let bound = zstd::bulk::Decompressor::upper_bound(message);
        if bound.is_some_and(|bytes| bytes > MAX_DECOMPRESSED_BYTES) {
            return Err(BadSnapshot::TooLongInside);
        }
        self.packed.clear();
        self.packed.reserve(bound.unwrap_or(MAX_DECOMPRESSED_BYTES));
        match self.decompressor.decompress_to_buffer(message, &mut self.packed) {
            Ok(_) if self.packed.len() > MAX_DECOMPRESSED_BYTES => Err(BadSnapshot::TooLongInside),
            Ok(_) => Ok(()),
            Err(_) if is_too_long_inside(message) => Err(BadSnapshot::TooLongInside),
            Err(error) => Err(BadSnapshot::NotZstd(error.to_string())),
        }
    }
}

fn unpack(packed: &[u8], sent: Sent) -> Result<Snapshot, BadSnapshot> {
    let mut message_decoder = rmp_serde::Deserializer::from_read_ref(packed);
    message_decoder.set_max_depth(MAX_DEPTH);
    let mut snapshot = Snapshot::deserialize(&mut message_decoder).map_err(refusal_of)?;
    complete_starts(&mut snapshot);
    sent.correct(&mut snapshot);
    Ok(snapshot)
}

/// Whether a message that did not decompress holds more than is accepted: it is decompressed once more without keeping
/// the result, because the library's errors differ only in their words.
fn is_too_long_inside(message: &[u8]) -> bool {
    let count = || {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(message)?.single_frame();
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        let mut limited = decoder.take(MAX_DECOMPRESSED_BYTES as u64 + 1);
        std::io::copy(&mut limited, &mut std::io::sink())
    };
    count().is_ok_and(|bytes| bytes > MAX_DECOMPRESSED_BYTES as u64)
}

fn refusal_of(error: rmp_serde::decode::Error) -> BadSnapshot {
    match error {
        rmp_serde::decode::Error::DepthLimitExceeded => BadSnapshot::TooDeep,
        rmp_serde::decode::Error::Syntax(text) if text.starts_with(TOO_MANY) => {
            BadSnapshot::TooMany(text[TOO_MANY.len()..].to_owned())
        }
        // The text may quote the message, which is hostile: what logs it must escape it, as tracing does with `?`.
        other => BadSnapshot::NotASnapshot(other.to_string().chars().take(200).collect()),
    }
}

/// Fills in the ticks where an agent of before has sent only times. It derived them from the boot, so they are whole numbers
/// of ticks after it. Where they are not, its system does not count in ticks.
fn complete_starts(snapshot: &mut Snapshot) {
    let Some(boot_at_us) = snapshot.host_info.boot_at_us else { return };
    for process in snapshot.processes.iter_mut().filter(|process| process.start_ticks.is_none()) {
        let since_boot_us =
            process.started_at_us.checked_sub(boot_at_us).and_then(|us| u64::try_from(us).ok());
        process.start_ticks = since_boot_us
            .filter(|since_boot_us| since_boot_us.is_multiple_of(TICK_US))
            .map(|since_boot_us| since_boot_us / TICK_US);
    }
}

fn check(snapshot: &Snapshot, received_at_us: i64) -> Result<(), BadSnapshot> {
    if snapshot.format != FORMAT {
        return Err(BadSnapshot::UnknownFormat(snapshot.format));
    }
    check_identifier("boot_id", &snapshot.boot_id)?;
    check_identifier("run_id", &snapshot.run_id)?;
    check_text("agent_version", Some(&snapshot.agent_version))?;
    check_text("os_host_name", Some(&snapshot.os_host_name))?;
    if snapshot.interval_ms == 0 || snapshot.interval_ms > MAX_INTERVAL_MS {
        return Err(BadSnapshot::BadNumber("interval_ms"));
    }
    if snapshot.sequence == 0 {
        return Err(BadSnapshot::BadNumber("sequence"));
    }
    check_time("captured_at", snapshot.captured_at_us, EARLIEST_CAPTURE_US, received_at_us)?;
    check_counts("a number of the agent", [Some(snapshot.sequence), Some(snapshot.monotonic_ms)])?;
    check_record(&AGENT, &snapshot.agent.values(), snapshot.agent.too_large(), received_at_us)?;
    check_record(&HOST, &snapshot.host.values(), snapshot.host.too_large(), received_at_us)?;
    let info = &snapshot.host_info;
    check_record(&HOST_INFO, &info.values(), info.too_large(), received_at_us)?;
    for filesystem in &snapshot.filesystems {
        check_record(&FILESYSTEM, &filesystem.values(), filesystem.too_large(), received_at_us)?;
    }
    for interface in &snapshot.interfaces {
        check_record(&INTERFACE, &interface.values(), interface.too_large(), received_at_us)?;
    }
    for process in &snapshot.processes {
        check_record(&PROCESS, &process.values(), process.too_large(), received_at_us)?;
    }
    check_pids(&snapshot.processes)
}

fn check_record(
    fields: &[Field],
    values: &[Value<'_>],
    too_large: Option<&'static str>,
    received_at_us: i64,
) -> Result<(), BadSnapshot> {
    if let Some(name) = too_large {
        return Err(BadSnapshot::BadNumber(name));
    }
    for (field, value) in fields.iter().zip(values) {
        match *value {
            Value::Text(text) => check_text(field.name, Some(text))?,
            Value::Integer(time_us) if field.kind == Kind::Time => {
                check_time(field.column, time_us, 0, received_at_us)?;
            }
            Value::Float(share) if !(share.is_finite() && share >= 0.0) => {
                return Err(BadSnapshot::BadNumber(field.name));
            }
            Value::Absent | Value::Letter(_) | Value::Integer(_) | Value::Float(_) => {}
        }
    }
    Ok(())
}

fn check_pids(processes: &[Process]) -> Result<(), BadSnapshot> {
    let mut pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
    pids.sort_unstable();
    match pids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(BadSnapshot::PidTwice(pair[0])),
        None => Ok(()),
    }
}

fn check_identifier(what: &'static str, text: &str) -> Result<(), BadSnapshot> {
    let fits = (1..=MAX_IDENTIFIER_BYTES).contains(&text.len());
    if fits { Ok(()) } else { Err(BadSnapshot::BadIdentifier(what)) }
}

fn check_text(what: &'static str, text: Option<&str>) -> Result<(), BadSnapshot> {
    let fits = text.is_none_or(|text| text.len() <= MAX_STRING_BYTES);
    if fits { Ok(()) } else { Err(BadSnapshot::StringTooLong(what)) }
}

fn check_time(
    what: &'static str,
    value_us: i64,
    earliest_us: i64,
    received_at_us: i64,
) -> Result<(), BadSnapshot> {
    let latest_us = received_at_us.saturating_add(MAX_CLOCK_AHEAD_US);
    let fits = (earliest_us..=latest_us).contains(&value_us);
    if fits { Ok(()) } else { Err(BadSnapshot::BadTime { what, value_us }) }
}

/// Counters are stored as signed 64-bit numbers.
fn check_counts<const N: usize>(what: &'static str, counts: [Option<u64>; N]) -> Result<(), BadSnapshot> {
    let fit = counts.into_iter().flatten().all(|count| i64::try_from(count).is_ok());
    if fit { Ok(()) } else { Err(BadSnapshot::BadNumber(what)) }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
