//! Why a moment has no snapshot, and where the nearest ones are: in words, and as a refusal.

use axum::http::StatusCode;
use fleetps_ingestor::history::NoSnapshot;
use fleetps_nats::HostName;

use crate::{refusal::Refusal, view::when::written};

/// The problem and its reason, in words.
pub(crate) fn in_words(nothing: &NoSnapshot) -> (&'static str, &'static str) {
    match nothing {
        NoSnapshot::UnknownHost => ("the history has never heard of this host", "it may be called otherwise"),
        NoSnapshot::BeforeFirst { .. } => (
            "that was before the first snapshot that is kept",
            "either older ones were removed by age, or there was no agent yet",
        ),
        NoSnapshot::AfterLast { .. } => (
            "nothing has come from this host since",
            "the machine is off or cut off, or its agent does not run",
        ),
        NoSnapshot::Gap { .. } => {
            ("nothing came from this host then", "the machine was off or cut off, or its agent did not run")
        }
        NoSnapshot::OnlyHours { .. } => (
            "of that time only the sums of every hour are kept",
            "charts go back that far, process tables do not",
        ),
    }
}

/// The nearest snapshots: what they are, and when they were captured.
pub(crate) fn nearest(nothing: &NoSnapshot) -> Vec<(&'static str, i64)> {
    const BEFORE: &str = "The last snapshot before:";
    const AFTER: &str = "The first snapshot after:";
    match *nothing {
        NoSnapshot::UnknownHost | NoSnapshot::OnlyHours { after_us: None } => Vec::new(),
        NoSnapshot::BeforeFirst { first_us } => vec![(AFTER, first_us)],
        NoSnapshot::AfterLast { last_us } => vec![(BEFORE, last_us)],
        NoSnapshot::Gap { before_us, after_us } => vec![(BEFORE, before_us), (AFTER, after_us)],
        NoSnapshot::OnlyHours { after_us: Some(after_us) } => vec![(AFTER, after_us)],
    }
}

/// The same in JSON: a refusal that names the nearest moments.
pub(crate) fn refusal(host: &HostName, at_us: i64, nothing: &NoSnapshot) -> Refusal {
    if *nothing == NoSnapshot::UnknownHost {
        return Refusal::no_such_host(host.as_str());
    }
    let (title, reason) = in_words(nothing);
    let error = format!("there is no snapshot of {host} at {}: {title}", written(at_us));
    let nearest: Vec<String> =
        nearest(nothing).into_iter().map(|(_, at_us)| format!("at={}", written(at_us))).collect();
    let hint =
        if nearest.is_empty() { reason.to_owned() } else { format!("nearest: {}", nearest.join(", ")) };
    Refusal::new(StatusCode::NOT_FOUND, error, hint)
}
