//! Why a message was not taken as a snapshot.

/// Why a message was not taken as a snapshot. [`BadSnapshot::reason`] is the short name that counters, dead-letter
/// subjects and logs use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadSnapshot {
    /// The subject names no host.
    #[error("the subject {0:?} names no host")]
    BadSubject(String),
    /// The message is longer than a snapshot may be.
    #[error("the message has {0} bytes; at most {max} are taken", max = super::MAX_COMPRESSED_BYTES)]
    TooLong(usize),
    /// The message is not zstd.
    #[error("the message is not zstd: {0}")]
    NotZstd(String),
    /// It decompresses to more than a snapshot may have.
    #[error("the message decompresses to over {max} bytes", max = super::MAX_DECOMPRESSED_BYTES)]
    TooLongInside,
    /// It is MessagePack, but nested too deeply.
    #[error("the MessagePack inside is nested too deeply")]
    TooDeep,
    /// It is not MessagePack, or not of a snapshot's shape.
    #[error("the MessagePack inside is not a snapshot: {0}")]
    NotASnapshot(String),
    /// A later format that this version cannot read.
    #[error("the snapshot has format {0}; this version reads format {format}", format = super::FORMAT)]
    UnknownFormat(u32),
    /// More processes or file systems than a snapshot may have.
    #[error("the snapshot has more {0}")]
    TooMany(String),
    /// A string longer than a snapshot may have.
    #[error("a string in {0} is longer than {max} bytes", max = super::MAX_STRING_BYTES)]
    StringTooLong(&'static str),
    /// A time that cannot be right.
    #[error("{what} is {value_us} µs since 1970, which cannot be right")]
    BadTime {
        /// Which time.
        what: &'static str,
        /// The time given.
        value_us: i64,
    },
    /// A number that cannot be right.
    #[error("{0} is not a number that can be right")]
    BadNumber(&'static str),
    /// The same pid twice.
    #[error("the pid {0} occurs twice")]
    PidTwice(u32),
    /// An identifier is missing.
    #[error("{0} is missing or longer than 64 bytes")]
    BadIdentifier(&'static str),
    /// The host sends more than its rate limit allows; the message was not decoded.
    #[error("the host sends more than one host may (setting host_bytes_per_s)")]
    Flood,
    /// The headers are longer than an agent's; the message was not decoded.
    #[error("the message has {0} bytes of headers; at most {max} are taken", max = super::MAX_HEADER_BYTES)]
    LongHeaders(usize),
    /// The host was revoked or forgotten before the broker stored the message; the message was not decoded.
    #[error("the host was revoked or forgotten before it sent this")]
    Revoked,
}

impl BadSnapshot {
    /// Every short name, for counters that must exist before the first refusal.
    pub const REASONS: [&'static str; 16] = [
        "bad_subject",
        "too_long",
        "not_zstd",
        "too_long_inside",
        "too_deep",
        "not_a_snapshot",
        "unknown_format",
        "too_many",
        "string_too_long",
        "bad_time",
        "bad_number",
        "pid_twice",
        "bad_identifier",
        "flood",
        "long_headers",
        "revoked",
    ];

    /// The short name: one subject token, one of [`BadSnapshot::REASONS`].
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadSubject(_) => "bad_subject",
            Self::TooLong(_) => "too_long",
            Self::NotZstd(_) => "not_zstd",
            Self::TooLongInside => "too_long_inside",
            Self::TooDeep => "too_deep",
            Self::NotASnapshot(_) => "not_a_snapshot",
            Self::UnknownFormat(_) => "unknown_format",
            Self::TooMany(_) => "too_many",
            Self::StringTooLong(_) => "string_too_long",
            Self::BadTime { .. } => "bad_time",
            Self::BadNumber(_) => "bad_number",
            Self::PidTwice(_) => "pid_twice",
            Self::BadIdentifier(_) => "bad_identifier",
            Self::Flood => "flood",
            Self::LongHeaders(_) => "long_headers",
            Self::Revoked => "revoked",
        }
    }
}
