//! From a message of the stream to the snapshot of a host: the one way for all who read the stream.
//!
//! The host is that of the subject. What goes beyond its `allowance` is refused unread, so that a flood from one host
//! takes no time from the others, neither in the history nor on the pages.

mod allowance;

use std::io;

use crate::{
    HostName, Snapshot,
    reader::Delivered,
    snapshot::{Decoder, Refusal},
    subject::host_of_snapshot,
};
use allowance::{Allowances, Inside};

/// As much of a bad subject as is told.
const MAX_SUBJECT_CHARACTERS: usize = 100;

/// Unpacks messages, as far as their hosts may send them.
pub struct Unpacker {
    decoder: Decoder,
    allowances: Allowances,
}

impl Unpacker {
    /// An unpacker that lets every host send `host_bytes_per_s` over a longer time, and 32 times as much at once.
    ///
    /// # Errors
    /// When there is no memory for a decompressor.
    pub fn new(host_bytes_per_s: u64) -> io::Result<Self> {
        Ok(Self { decoder: Decoder::new()?, allowances: Allowances::new(host_bytes_per_s) })
    }

    /// The snapshot, and whose it is.
    ///
    /// # Errors
    /// When it is none, or its host has sent too much.
    pub fn unpack(&mut self, delivered: &Delivered) -> Result<(HostName, Snapshot), Refusal> {
        let Delivered { subject, payload, stored_at_us, .. } = delivered;
        let Some(host) = host_of_snapshot(subject) else {
            return Err(Refusal::BadSubject(subject.chars().take(MAX_SUBJECT_CHARACTERS).collect()));
        };
        if !self.allowances.take(&host, payload.len(), *stored_at_us) {
            return Err(Refusal::Flood);
        }
        let unpacked = self.decoder.decode(payload, *stored_at_us);
        let inside = unpacked.as_ref().ok().map(|snapshot| Inside {
            processes: snapshot.processes.len(),
            bytes: self.decoder.unpacked_bytes(),
        });
        self.allowances.charge(&host, payload.len(), inside, *stored_at_us);
        Ok((host, unpacked?))
    }
}
