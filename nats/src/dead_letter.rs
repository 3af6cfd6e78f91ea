//! Dead letters: refused messages, kept for a while so that the cause can be found.

use async_nats::{Client, HeaderMap, client::PublishError};
use bytes::Bytes;

use crate::{HostName, snapshot::BadSnapshot, subject};

/// The part of a refused message that is kept: enough to see what it is, and 1,000 of them fit the broker's stream.
const MAX_EVIDENCE_BYTES: usize = 64 << 10;
/// The longest reason in a header.
const MAX_REASON_CHARACTERS: usize = 500;

/// A refused message, on its way to the dead letters.
#[derive(Debug)]
pub struct DeadLetter {
    /// Where it goes.
    pub subject: String,
    /// The reason, and what the message was.
    pub headers: HeaderMap,
    /// The beginning of the message.
    pub payload: Bytes,
}

impl DeadLetter {
    /// The letter of a `message` of `host`, where that is known; `sequence` is its place in the stream, where it has one.
    pub fn new(
        host: Option<&HostName>,
        message: &Bytes,
        sequence: Option<u64>,
        refusal: &BadSnapshot,
    ) -> Self {
        // Escaped: it may quote the message, and a header must not hold a line break.
        let reason: String = refusal.to_string().escape_default().take(MAX_REASON_CHARACTERS).collect();
        let mut headers = HeaderMap::new();
        headers.insert("Fp-Refusal", reason);
        if let Some(sequence) = sequence {
            headers.insert("Fp-Stream-Sequence", sequence.to_string());
        }
        headers.insert("Fp-Bytes", message.len().to_string());
        let kept = message.len().min(MAX_EVIDENCE_BYTES);
        let subject = subject::dead_letter(host, refusal.reason());
        Self { subject, headers, payload: message.slice(..kept) }
    }

    /// Publishes it; returns before the broker has it.
    ///
    /// # Errors
    /// When the client cannot take it.
    pub async fn publish(self, client: &Client) -> Result<(), PublishError> {
        client.publish_with_headers(self.subject, self.headers, self.payload).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_escaped_and_evidence_is_cut() {
        let refusal = BadSnapshot::NotASnapshot("a\r\nFp-Forged: 1\u{1b}[31m".to_owned());
        let message = Bytes::from(vec![0; 1 << 20]);
        let letter = DeadLetter::new("a.b".parse().ok().as_ref(), &message, Some(7), &refusal);
        let reason = letter.headers.get("Fp-Refusal").unwrap().as_str();
        assert!(
            reason.chars().all(|character| character.is_ascii_graphic() || character == ' '),
            "{reason:?}"
        );
        assert_eq!(letter.payload.len(), MAX_EVIDENCE_BYTES);
        assert_eq!(letter.subject, "fleetps-dead.a=b.not_a_snapshot");
    }
}
