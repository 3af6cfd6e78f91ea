//! Positions: places in a stream of the broker, as clients know them.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// A place in a stream: behind the message of this sequence, or behind some of the parts of that message. Written
/// `1764323456-1042`, or with the parts `1764323456-1042-3`; clients send it back as it came.
///
/// The numbering of a stream begins anew when the stream is made anew, so a position says of which one it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// When the stream was made, in s since 1970 UTC; 0 where there is no stream.
    pub epoch_s: i64,
    /// The sequence of the message.
    pub sequence: u64,
    /// How many parts of the message are before this place, where it is told in parts.
    pub parts: Option<u32>,
}

/// The text is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no position: expected one that a message of this server had, such as \"1764323456-1042\"")]
pub struct NotAPosition(String);

impl Position {
    /// The place behind a whole message.
    pub fn new(epoch_s: i64, sequence: u64) -> Self {
        Self { epoch_s, sequence, parts: None }
    }

    /// Whether the message is behind that of `other`, or in a later numbering.
    pub fn is_behind(&self, other: Self) -> bool {
        (self.epoch_s, self.sequence) > (other.epoch_s, other.sequence)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.epoch_s, self.sequence)?;
        match self.parts {
            Some(parts) => write!(formatter, "-{parts}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let bad = || NotAPosition(crate::display::cut(text, 64).into_owned());
        let mut numbers = text.split('-');
        let (epoch, sequence, parts) = (numbers.next(), numbers.next(), numbers.next());
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if numbers.next().is_some() || ![epoch, sequence].into_iter().all(|text| text.is_some_and(is_number))
        {
            return Err(bad());
        }
        let read = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok()).ok_or_else(bad);
        let epoch_s = i64::try_from(read(epoch)?).map_err(|_| bad())?;
        let parts = match parts {
            Some(text) if is_number(text) => Some(text.parse().map_err(|_| bad())?),
            Some(_) => return Err(bad()),
            None => None,
        };
        Ok(Self { epoch_s, sequence: read(sequence)?, parts })
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nothing_else_is_a_position() {
        for text in ["0-0", "1764323456-1042", "1764323456-1042-3", "1-18446744073709551615-4294967295"] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1-2",
            "1-2-",
            "1-2-3-4",
            "1--2",
            "+1-2",
            "1-2-x",
            "1-18446744073709551616",
            "9223372036854775808-1",
            "1-2-4294967296",
            " 1-2",
            "1-２",
            "NaN",
            "1-2\0",
        ] {
            let error = text.parse::<Position>().unwrap_err();
            assert!(error.to_string().contains("no position"), "{text}");
        }
        assert!("9".repeat(100_000).parse::<Position>().unwrap_err().to_string().len() < 300);
    }
}
