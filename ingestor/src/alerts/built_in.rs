//! The rules that are on from the start.
//!
//! They are quiet on a healthy fleet: what a busy host does for an hour is no alert.

use super::rule::Severity;

/// A rule that needs nobody to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its id. A saved rule of this id takes its place.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The rule.
    pub sentence: &'static str,
    /// What it means, and what to look at.
    pub note: &'static str,
}

/// All of them.
pub fn built_in() -> &'static [BuiltIn] {
    &BUILT_IN
}

static BUILT_IN: [BuiltIn; 17] = [
    BuiltIn {
        id: "host-silent",
        severity: Severity::Critical,
        // After the three intervals by which a page says "silent": one that is booted is back by then or not soon.
        sentence: "silent for 1m",
        note: "The host sends nothing: it is down, cut off, or its agent does not run. Its other rules wait meanwhile.",
    },
    BuiltIn {
        id: "disk-full",
        severity: Severity::Critical,
        sentence: "disk > 97% clear 95% for 2m",
        note: "Hardly anything can be written to this file system.",
    },
    BuiltIn {
        id: "disk-nearly-full",
        severity: Severity::Warning,
        // A backup or a build that fills a disk for some minutes is no news.
        sentence: "disk > 90% clear 87% for 30m",
        note: "The file system has been nearly full for half an hour. The named processes have written most since they started.",
    },
    BuiltIn {
        id: "disk-full-soon",
        severity: Severity::Warning,
        // Over a weekend it is too late on Monday.
        sentence: "disk_full_in < 2d clear 3d for 30m",
        note: "The file system has grown steadily over a day and a week, and is full within two days if it goes on so.",
    },
    BuiltIn {
        id: "memory-nearly-gone",
        severity: Severity::Critical,
        sentence: "memory > 95% clear 90% for 5m",
        note: "Less than a twentieth of the memory is available; the kernel may end processes soon.",
    },
    BuiltIn {
        id: "out-of-memory",
        severity: Severity::Warning,
        sentence: "oom_kills/s > 0",
        note: "The kernel has ended a process, because the host or a group of processes was out of memory. Its log names it.",
    },
    BuiltIn {
        id: "memory-leak",
        severity: Severity::Warning,
        // A restart at the end of the week is in time.
        sentence: "memory_full_in < 3d clear 5d for 30m over process",
        note: "The process needs more and more memory, steadily for hours. If that goes on, the host has none left within three days.",
    },
    BuiltIn {
        id: "service-gone",
        severity: Severity::Warning,
        // A large database takes minutes to stop and start.
        sentence: "gone for 5m over unit",
        note: "A systemd service, or a program of a container, that always ran here runs no longer. Was it removed on purpose? Then acknowledge it: it is forgotten after three days.",
    },
    BuiltIn {
        id: "restart-loop",
        severity: Severity::Warning,
        sentence: "restart_loop",
        note: "A service starts and exits again and again. Its log says why.",
    },
    BuiltIn {
        id: "core-pegged",
        severity: Severity::Warning,
        sentence: "cpu > 95% clear 80% for 4h over process",
        note: "One process has kept a core busy for hours. If it has nothing to do, it is in an endless loop.",
    },
    BuiltIn {
        id: "cpu-busy",
        severity: Severity::Info,
        sentence: "cpu > 95% clear 85% for 1h",
        note: "All cores of the host have been busy for an hour.",
    },
    BuiltIn {
        id: "clock-off",
        severity: Severity::Warning,
        sentence: "clock_offset > 5 clear 4 for 5m",
        note: "The host's clock is off by more than five seconds. Is its time service running?",
    },
    BuiltIn {
        id: "agent-drops",
        severity: Severity::Info,
        sentence: "dropped_snapshots/s > 0 for 1m",
        note: "The agent could not send snapshots in time and dropped some: a part of the host's history is missing.",
    },
    BuiltIn {
        id: "fleetps-history-behind",
        severity: Severity::Critical,
        // All is well up to a minute and a half; a large merge or a restart takes some more.
        sentence: "history_behind > 5m clear 3m for 2m",
        note: "What hosts send is not stored in time. Is the disk full, or the machine too small for the fleet? The page /readyz and the log of fleetps say more. The broker keeps what waits for three days.",
    },
    BuiltIn {
        id: "fleetps-disk-full",
        severity: Severity::Critical,
        sentence: "history_disk > 95% clear 93% for 5m",
        note: "Soon nothing can be stored. Make room on the disk of the history, or keep less: max_history_bytes, keep_samples and keep_minutes in the section history of the settings.",
    },
    BuiltIn {
        id: "fleetps-merges-behind",
        severity: Severity::Warning,
        // Segments are merged when their hour has passed; two hours more are not just a busy machine.
        sentence: "merges_behind > 3h clear 2h for 10m",
        note: "Questions about the past open more and more files. failed_merges at /readyz and the log of the ingestor say why, or the machine is too small for the fleet.",
    },
    BuiltIn {
        id: "fleetps-certificate-ends",
        severity: Severity::Warning,
        // Certificates of 90 days are renewed 30 before their end; two weeks later, that has failed.
        sentence: "certificate_ends_in < 14d clear 15d",
        note: "The certificate of the pages expires, and browsers and hosts will refuse it. Renew it; the new file is read without a restart.",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::alerts::Rule;

    #[test]
    fn every_one_is_a_rule_and_has_an_id_of_its_own() {
        let ids: BTreeSet<&str> = built_in().iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), built_in().len());
        for BuiltIn { id, severity, sentence, note } in built_in() {
            let rule = Rule::parse(id, 0, *severity, sentence);
            assert!(rule.is_ok() && note.ends_with(['.', '?']), "{id}: {rule:?}");
        }
    }
}
