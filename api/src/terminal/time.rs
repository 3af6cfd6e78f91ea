//! Times in arguments, as people type them: in the zone of this machine.

use jiff::{Timestamp, tz::TimeZone};

use crate::{live::now_us, query::parameter::Value, view::when::TimeParam};

/// The time of an argument as the server reads it.
///
/// # Errors
/// What it can be.
pub fn exact(typed: &str) -> Result<String, String> {
    let now = Timestamp::from_microsecond(now_us()).unwrap_or_default().to_zoned(TimeZone::system());
    let time = TimeParam::typed(typed, &now).map_err(|expected| format!("expected {expected}"))?;
    Ok(time.written())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_made_exact_and_what_is_no_time_is_refused_with_what_would_be_one() {
        for exact_already in ["-15m", "now", "2026-11-27T15:28:00Z"] {
            assert_eq!(exact(exact_already).as_deref(), Ok(exact_already));
        }
        assert!(exact("yesterday 03:12").unwrap().ends_with('Z'));
        assert!(exact("soon").unwrap_err().starts_with("expected a time as in 16:28"));
    }
}
