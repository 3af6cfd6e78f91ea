//! How bad an alert is, in the colours of states of hosts.

use fleetps_ingestor::alerts::Severity;

/// The colour of a severity: that of a state of hosts.
pub(super) fn shade(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "down",
        Severity::Warning => "silent",
        Severity::Info => "",
    }
}
