//! What an ingestor can be told.

use std::{path::PathBuf, time::Duration};

use fleetps_nats::units;
use serde::{Deserialize, Serialize};

const DAY_S: u64 = 24 * 3600;

/// What an ingestor can be told; each has a default that suits one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestorSettings {
    /// The folder of the segments; not a setting of its own in a file, it lies in the data folder.
    #[serde(skip)]
    pub history: PathBuf,
    /// The partition of the stream to store; 0 unless the stream is divided.
    pub partition: u32,
    /// A fresh segment is sealed at least this often: that much of the past is in the stream only. More often makes
    /// more small files to merge.
    #[serde(with = "units::duration")]
    pub seal_interval: Duration,
    /// A fresh segment is sealed at this many rows of processes, which bounds memory: about 100 MB for each of the
    /// three that may exist at a time.
    pub seal_rows: usize,
    /// This many fresh segments are merged before their hour has passed.
    pub merge_fresh_count: usize,
    /// How often the folder is looked at for something to merge or remove.
    #[serde(with = "units::duration")]
    pub upkeep_interval: Duration,
    /// How long a segment stays after `attach.sql` stopped naming it, for readers that are just attaching it.
    #[serde(with = "units::duration")]
    pub unlink_delay: Duration,
    /// A segment that is found damaged is left out at once, and set aside as `.damaged` when it is found damaged again this
    /// long after.
    #[serde(with = "units::duration")]
    pub quarantine_after: Duration,
    /// Every sample is kept for this long.
    #[serde(with = "units::duration")]
    pub keep_samples: Duration,
    /// After that, one sample a minute is kept, until it is this old; not at all where this is less.
    #[serde(with = "units::duration")]
    pub keep_minutes: Duration,
    /// After that, sums of every hour are kept, until they are this old.
    #[serde(with = "units::duration")]
    pub keep_hours: Duration,
    /// Who did what is kept for this long, however much it takes.
    #[serde(with = "units::duration")]
    pub keep_audit: Duration,
    /// A host that was not heard of for this long leaves the live pages; its history stays. What is down because it was
    /// replaced, as in a fleet that scales by itself, would stay there for ever.
    #[serde(with = "units::duration")]
    pub keep_down_hosts: Duration,
    /// Where all segments together take more, less is kept of the oldest, and at last nothing.
    #[serde(with = "units::bytes")]
    pub max_history_bytes: u64,
    /// What one host may send in a second over a longer time, and 64 times as much at once; the rest is refused, and not
    /// shown. Below 1 MiB, part of what an agent kept while the broker was away for long is refused, too. A host of 20,000 processes sends 0.6 MB every interval. Filling the past by simulation takes more.
    #[serde(with = "units::bytes")]
    pub host_bytes_per_s: u64,
    /// The most that the broker keeps of what is not stored yet; below the broker's own limit.
    #[serde(with = "units::bytes")]
    pub max_stream_bytes: u64,
}

impl Default for IngestorSettings {
    fn default() -> Self {
        Self {
            history: PathBuf::from("history"),
            partition: 0,
            seal_interval: Duration::from_secs(30),
            seal_rows: 500_000,
            // A quarter of an hour at the seal interval: a query over 30 small segments costs some 4 ms more.
            merge_fresh_count: 30,
            upkeep_interval: Duration::from_secs(5),
            unlink_delay: Duration::from_secs(60),
            // Longer than a cable, a controller or a network folder takes to come back.
            quarantine_after: Duration::from_secs(120),
            keep_samples: Duration::from_secs(7 * DAY_S),
            keep_minutes: Duration::from_secs(30 * DAY_S),
            // A year, and the month before to compare with.
            keep_hours: Duration::from_secs(400 * DAY_S),
            keep_audit: Duration::from_secs(400 * DAY_S),
            // What the stream keeps, so that a server which starts anew shows the same.
            keep_down_hosts: Duration::from_secs(3 * DAY_S),
            max_history_bytes: 20 << 30,
            host_bytes_per_s: 1 << 20,
            max_stream_bytes: 8 << 30,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let settings = IngestorSettings::default();
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<IngestorSettings>(&text).unwrap(), settings);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let refusal = toml::from_str::<IngestorSettings>("seal_intervall = \"30s\"").unwrap_err().to_string();
        assert!(refusal.contains("seal_intervall"), "{refusal}");
    }
}
