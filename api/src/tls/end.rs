//! When a certificate ends, read from its DER: the second time of `validity` in `tbsCertificate` (RFC 5280, 4.1).

use jiff::civil::DateTime;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate ends, in seconds since 1970 UTC; `None` where it cannot be read.
pub(super) fn end_of(der: &[u8]) -> Option<i64> {
    let (certificate, _) = element(der, Some(SEQUENCE))?;
    let (mut rest, _) = element(certificate, Some(SEQUENCE))?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest, None)?.1;
    }
    // Serial number, signature, issuer.
    for _ in 0..3 {
        rest = element(rest, None)?.1;
    }
    let (validity, _) = element(rest, Some(SEQUENCE))?;
    let (_, ends) = element(validity, None)?;
    let tag = *ends.first()?;
    let text = std::str::from_utf8(element(ends, None)?.0).ok()?;
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME if digits.len() == 12 => {
            let year: i16 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        GENERALIZED_TIME if digits.len() == 14 => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let two = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let ends = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    Some(ends.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

/// The content of the first element, which has this tag, and what comes behind it.
fn element(der: &[u8], tag: Option<u8>) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    if tag.is_some_and(|tag| tag != first) {
        return None;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            let (bytes, rest) =
                rest.split_at_checked(usize::from(long & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(ends: (i32, u8, u8)) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(ends.0, ends.1, ends.2);
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_and_damage_is_no_panic() {
        let seconds = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
        assert_eq!(end_of(&der((2031, 2, 3))), Some(seconds("2031-02-03T00:00:00Z")));
        assert_eq!(end_of(&der((2061, 12, 31))), Some(seconds("2061-12-31T00:00:00Z")), "a GeneralizedTime");
        let whole = der((2031, 2, 3));
        for length in 0..whole.len() {
            assert_eq!(end_of(&whole[..length]), None);
        }
        for place in 0..whole.len() {
            for byte in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] = byte;
                let _ = end_of(&damaged);
            }
        }
    }
}
