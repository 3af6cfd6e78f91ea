//! Decodes what is to be stored, on threads that may take their time: the largest snapshot takes tens of milliseconds.

use std::{io, sync::Arc};

use fleetps_nats::{
    decode::Inside,
    now_us,
    snapshot::{BadSnapshot, Decoder, Sent},
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{Incoming, NotStored};

/// Decoders at work at once: each keeps buffers of at most 16 MiB.
const MAX_DECODERS: usize = 4;

/// What is to be known of a snapshot before it is stored.
pub(super) struct Decoded {
    pub(super) run_id: String,
    pub(super) sequence: u64,
    pub(super) inside: Inside,
}

/// Decoders, kept from one snapshot to the next.
pub(super) struct Decoders {
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Decoder>>>,
}

impl Default for Decoders {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { turns: Arc::new(Semaphore::new(threads.min(MAX_DECODERS))), idle: Arc::default() }
    }
}

impl Decoders {
    /// Decodes and checks a snapshot as readers of the stream do.
    pub(super) async fn decode(&self, incoming: &Incoming) -> Result<Decoded, NotStored> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| NotStored::Unavailable)?;
        let idle = Arc::clone(&self.idle);
        let (message, age) = (incoming.message.clone(), incoming.age);
        let decoding = tokio::task::spawn_blocking(move || {
            let mut decoder = match idle.lock().pop() {
                Some(decoder) => decoder,
                None => Decoder::new()?,
            };
            let now_us = now_us();
            let age_us = age.map(|age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
            let decoded = decoder.decode_sent(&message, Sent { stored_at_us: now_us, age_us }, now_us);
            let bytes = decoder.unpacked_bytes();
            idle.lock().push(decoder);
            drop(turn);
            Ok::<_, io::Error>(decoded.map(|snapshot| Decoded {
                inside: Inside { processes: snapshot.processes.len(), bytes },
                run_id: snapshot.run_id,
                sequence: snapshot.sequence,
            }))
        });
        let decoded: Result<Decoded, BadSnapshot> =
            decoding.await.map_err(|_| NotStored::Unavailable)?.map_err(|_| NotStored::Unavailable)?;
        Ok(decoded?)
    }
}
