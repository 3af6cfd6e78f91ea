//! Messages as frames, within bounds of memory and time.
//!
//! A long message goes out in fragments, so a client that reads slowly holds one fragment beside the message, which
//! others may share. Each message has a deadline of its own: a client that takes a byte now and then would pass
//! [`connections`](crate::connections), where only a write that waits counts.

use std::time::Duration;

use axum::body::Bytes;
use futures_util::{Sink, SinkExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Error, Message,
    error::CapacityError,
    protocol::{
        WebSocketConfig,
        frame::{
            CloseFrame, Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use super::message::Outgoing;

/// The longest message of a client: a filter with a long text has some 8 KB.
const MAX_RECEIVED_BYTES: usize = 64 << 10;
/// What is read at once: a client's message is some hundred bytes. It is taken for each socket from the start.
const READ_BYTES: usize = 4 << 10;
/// A fragment: what a TLS record has at most, and what waits for a slow client beside the message.
const FRAGMENT_BYTES: usize = 16 << 10;
/// What may wait to be written: two fragments, with pongs between them. More is a fault.
const MAX_WAITING_BYTES: usize = 256 << 10;
/// The slowest client takes [`PART_BYTES`] in this time: 9 KB a second, four times as fast as for an answer, because here it
/// holds a message for as long.
const PART_TIMEOUT: Duration = Duration::from_secs(30);
/// See [`PART_TIMEOUT`].
const PART_BYTES: usize = 256 << 10;
/// The longest for one message, whatever its length: others may wait for its place. The largest, of some 14 MB, is then
/// taken with 24 KB a second.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a close may take: it says why, and is no reason to keep a client that does not read. With the client's answer it
/// is less than the second within which rights end.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(200);

/// Why a message could not be sent.
#[derive(Debug)]
pub(super) enum NotSent {
    /// The client does not take it.
    TooSlow,
    /// The connection broke, or the client closed it.
    Broken,
}

/// The limits of a socket.
pub(super) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(FRAGMENT_BYTES)
        .max_write_buffer_size(MAX_WAITING_BYTES)
        .max_message_size(Some(MAX_RECEIVED_BYTES))
        .max_frame_size(Some(MAX_RECEIVED_BYTES))
}

/// Sends a message in its time; the number of its bytes. Safe to cancel between messages only: a close may follow at any time.
///
/// # Errors
/// When the client does not take it in time, or is gone.
pub(super) async fn send(
    sink: &mut (impl Sink<Message, Error = Error> + Unpin),
    message: Outgoing,
) -> Result<usize, NotSent> {
    let (parts, _place) = message.into_parts();
    let bytes = parts.iter().map(Bytes::len).sum::<usize>();
    let parts_within = PART_TIMEOUT * u32::try_from(bytes.div_ceil(PART_BYTES).max(1)).unwrap_or(u32::MAX);
    let within = parts_within.min(MESSAGE_TIMEOUT);
    let sending = async {
        if bytes <= FRAGMENT_BYTES {
            let whole = Bytes::from(parts.concat());
            return sink.send(frame(whole, true, true)).await;
        }
        let mut is_first = true;
        let [head, data, tail] = parts;
        for fragment in std::iter::once(head).chain(fragments(data)) {
            sink.feed(frame(fragment, is_first, false)).await?;
            is_first = false;
        }
        sink.send(frame(tail, false, true)).await
    };
    match timeout(within, sending).await {
        Ok(Ok(())) => Ok(bytes),
        Ok(Err(Error::Io(error))) if error.kind() == std::io::ErrorKind::TimedOut => Err(NotSent::TooSlow),
        Ok(Err(_)) => Err(NotSent::Broken),
        Err(_) => Err(NotSent::TooSlow),
    }
}

fn frame(bytes: Bytes, is_first: bool, is_last: bool) -> Message {
    let kind = if is_first { Data::Text } else { Data::Continue };
    Message::Frame(Frame::message(bytes, OpCode::Data(kind), is_last))
}

/// Slices of a text, none of which is copied.
fn fragments(data: Bytes) -> impl Iterator<Item = Bytes> {
    let starts = (0..data.len()).step_by(FRAGMENT_BYTES);
    starts.map(move |start| data.slice(start..data.len().min(start + FRAGMENT_BYTES)))
}

/// Asks whether the client is there.
///
/// # Errors
/// When it does not take that, or is gone.
pub(super) async fn ping(sink: &mut (impl Sink<Message, Error = Error> + Unpin)) -> Result<(), NotSent> {
    match timeout(PART_TIMEOUT, sink.send(Message::Ping(Bytes::new()))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(NotSent::Broken),
        Err(_) => Err(NotSent::TooSlow),
    }
}

/// Says that the socket ends, and why, as far as the client takes it at once.
pub(super) async fn close(
    sink: &mut (impl Sink<Message, Error = Error> + Unpin),
    code: u16,
    reason: &'static str,
) {
    let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
    let _ = timeout(CLOSE_TIMEOUT, sink.send(Message::Close(Some(frame)))).await;
}

/// The code and the reason of a close after a message that cannot be read; `None` where the client is gone.
pub(super) fn fault(error: &Error) -> Option<(u16, &'static str)> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some((1009, "a message has at most 64 KiB")),
        Error::Utf8(_) => Some((1007, "a text message must be UTF-8")),
        Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => None,
        Error::Protocol(_) => Some((1002, "this is not the WebSocket protocol")),
        _ => None,
    }
}
