//! Events: what happened to processes and hosts, decided when it happens.
//!
//! **A function of the stream.** [`Detector`] gets every message in the order of the stream and returns what it decides:
//! processes that started and exited (`host`), services that loop (`loops`, `supervisor`), hosts that fell silent by the
//! broker's clock (`clock`; ticks let time go on while nothing comes). Nothing else goes in: no clock of this machine, no
//! file. So the same stream gives the same events, whoever computes them and whenever.
//!
//! **Once.** Events of the messages that a segment covers are in that segment (table `event`), which appears with one
//! rename. A start goes on after the highest sealed sequence, with the state that the segments give back (`restore`).
//!
//! **At once.** Until a segment has them, events are in the stream `EVENTS` of the broker, which the web server reads
//! ([`to_messages`]). An event that is in both has the same [`EventPlace`].

mod clock;
mod detector;
mod event;
mod host;
mod interner;
mod life;
mod loops;
mod message;
mod supervisor;

pub use clock::StreamClock;
pub(crate) use detector::FORGET_AFTER_MS;
pub use detector::{Detector, MessagePlace};
pub use event::{Event, EventKind, EventPlace, EventProcess, EventProgram};
pub(crate) use host::KnownHost;
pub(crate) use loops::LOOP_WINDOW_MS;
pub use message::{from_message, to_messages};
