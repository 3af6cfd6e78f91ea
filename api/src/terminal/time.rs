//! Times in arguments, as people type them: in the zone of this machine.

use clap::Args;
use fleetps_ingestor::history::Span;
use jiff::{Timestamp, tz::TimeZone};

use crate::{live::now_us, query::parameter::Value, view::when::TimeParam};

/// The time of an argument as the server reads it.
///
/// # Errors
/// What it can be.
pub(super) fn exact(typed: &str) -> Result<String, String> {
    let now = Timestamp::from_microsecond(now_us()).unwrap_or_default().to_zoned(TimeZone::system());
    let time = TimeParam::typed(typed, &now).map_err(|expected| format!("expected {expected}"))?;
    Ok(time.written())
}

/// The part of the history that a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct SpanArgs {
    /// Only files of a time: from when, in this machine's zone, or how long ago as in -7d; without it as far back as fits
    #[arg(long, value_name = "TIME", value_parser = exact, allow_hyphen_values = true)]
    from: Option<String>,
    /// Until when; now without it
    #[arg(long, value_name = "TIME", value_parser = exact, requires = "from", allow_hyphen_values = true)]
    to: Option<String>,
}

impl SpanArgs {
    /// The span that it says now; absent where it says none.
    ///
    /// # Errors
    /// When it ends before it begins.
    pub(crate) fn span(&self) -> anyhow::Result<Option<Span>> {
        let Some(from) = &self.from else { return Ok(None) };
        let now_us = now_us();
        let moment = |time: &str| TimeParam::exact(time).map_or(now_us, |time| time.resolve(now_us));
        let (from_us, to_us) = (moment(from), self.to.as_deref().map_or(now_us, moment));
        anyhow::ensure!(from_us < to_us, "--from is not before --to");
        Ok(Some(Span { from_us, to_us }))
    }
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
