//! The settings of the history.

use std::{path::PathBuf, time::Duration};

use fleetps_nats::{bounds, disk::Disk, settings::Flag, units};
use jiff::{civil::Date, tz::TimeZone};

const DAY_S: u64 = 24 * 3600;
/// The default limit of the history: a year of 50 hosts.
const DEFAULT_HISTORY_BYTES: u64 = 20 << 30;
/// On a smaller disk the default is this part of it.
const HISTORY_PERCENT: u64 = 40;
/// The default limit of the stream: a weekend of 300 hosts.
const DEFAULT_STREAM_BYTES: u64 = 8 << 30;
/// On a smaller disk the default is this part of it. Both may lie on one disk, beside other files.
const STREAM_PERCENT: u64 = 20;

fleetps_nats::settings! {
    /// How the history is stored, and for how long.
    pub struct IngestorSettings in "history" was "ingestor" {
        /// Partition of the stream to store; 0 unless the stream is divided.
        pub partition: u32 = 0, in bounds::number(0..=1023, "readiness follows at most 1,024 partitions");
        /// A fresh segment is sealed this often: that much of the past is in the stream only. One of a large fleet, with 100,000
        /// rows by then, is sealed at every third of these times. More often makes more small files to merge.
        #[serde(with = "units::duration")]
        pub seal_interval: Duration = Duration::from_secs(30), in bounds::duration(100 * MS..=HOUR, OFTEN);
        /// A fresh segment is sealed at this many rows of processes at the latest, and before where it takes 512 MiB of memory.
        /// Three may exist at a time. Fewer make more bytes of each row.
        // 3,000 hosts with 200 processes send 5.4 million in a minute and a half.
        pub seal_rows: usize = 20_000_000, in bounds::number(1..=20_000_000, ROWS);
        /// This many fresh segments are merged before their hour has passed.
        // A quarter of an hour at the seal interval: a query over 30 small segments costs some 4 ms more.
        pub merge_fresh_count: usize = 30,
            in bounds::number(2..=1000, "one is nothing to merge, and every query attaches all");
        /// A merged segment gets at most about this many rows of processes. Where an hour of the fleet has more, segments are
        /// divided by hosts when they are merged first, so that each still holds its hosts for an hour.
        // At 4 bytes a row it is 80 MB, which is still quickly copied, and merging it takes some 20 s of one processor.
        pub merge_rows: u64 = 20_000_000, in bounds::number(100..=200_000_000, MERGED);
        /// How often the folder is checked for segments to merge or remove.
        #[serde(with = "units::duration")]
        pub upkeep_interval: Duration = Duration::from_secs(5),
            in bounds::duration(10 * MS..=HOUR, "between a busy loop and a full disk");
        /// How long a segment stays after `attach.sql` stopped naming it, for readers that are just attaching it.
        #[serde(with = "units::duration")]
        pub unlink_delay: Duration = Duration::from_secs(60),
            in bounds::duration(100 * MS..=DAY, "readers need a moment, and the disk its space");
        /// A segment that is found damaged is left out at once, and renamed to `.damaged` when it is found damaged
        /// again this long after.
        #[serde(with = "units::duration")]
        // Longer than a cable, a controller or a network folder takes to come back.
        pub quarantine_after: Duration = Duration::from_secs(120), in bounds::duration(10 * MS..=DAY, AGAIN);
        /// Keep every sample until it is this old.
        #[serde(with = "units::duration")]
        #[flag(Flag::takes("keep-samples", "DURATION"))]
        pub keep_samples: Duration = Duration::from_secs(7 * DAY_S), in bounds::duration(HOUR..=CENTURY, LASTS);
        /// Keep one sample a minute until it is this old; none where this is less than `keep_samples`.
        #[serde(with = "units::duration")]
        #[flag(Flag::takes("keep-minutes", "DURATION"))]
        pub keep_minutes: Duration = Duration::from_secs(30 * DAY_S), in bounds::duration(HOUR..=CENTURY, LASTS);
        /// Keep sums of every hour until they are this old.
        #[serde(with = "units::duration")]
        #[flag(Flag::takes("keep-hours", "DURATION"))]
        // A year, and the month before to compare with.
        pub keep_hours: Duration = Duration::from_secs(400 * DAY_S), in bounds::duration(HOUR..=CENTURY, LASTS);
        /// This machine's clock is right up to the end of this day (UTC), as in `2026-12-24`, even if snapshots
        /// disagree.
        ///
        /// A clock more than a day past the newest snapshot makes nothing old until hosts agree with it for ten minutes, or
        /// this says so.
        #[serde(with = "day")]
        #[flag(Flag::takes("trust-clock-until", "DAY"))]
        pub trust_clock_until: Option<Date> = None;
        /// Keep the audit for this long, independent of the size limit.
        #[serde(with = "units::duration")]
        pub keep_audit: Duration = Duration::from_secs(400 * DAY_S), in bounds::duration(DAY..=CENTURY, LASTS);
        /// A host that sent nothing for this long leaves the live pages; its history stays. Hosts that were replaced,
        /// as in a fleet that scales by itself, would otherwise stay there for ever.
        #[serde(with = "units::duration")]
        // What the stream keeps, so that a server which starts anew shows the same.
        pub keep_down_hosts: Duration = Duration::from_secs(3 * DAY_S),
            in bounds::duration(60 * SECOND..=CENTURY, "a host that is started again is down for a while");
        /// Keep less of the oldest, and at last nothing, where all segments together take more than this.
        ///
        /// The default of 20 GiB is at most 40 % of the disk; any other size is taken as it is.
        #[serde(with = "units::bytes")]
        #[flag(Flag::takes("max-history", "SIZE"))]
        pub max_history_bytes: u64 = DEFAULT_HISTORY_BYTES, in bounds::bytes(16 << 20..=1 << 50, DISK);
        /// What one host may send in a second over a longer time, and 64 times as much at once; the rest is refused, and not
        /// shown. Below 1 MiB, part of what an agent kept while the broker was away for long is refused, too. A host of
        /// 20,000 processes sends 0.6 MB every interval. Filling the past by simulation takes more.
        #[serde(with = "units::bytes")]
        pub host_bytes_per_s: u64 = 1 << 20, in bounds::bytes(4 << 10..=4 << 30, FLOW);
        /// The size limit of the stream, where the broker keeps snapshots until they are stored; below the broker's own
        /// limit. The default of 8 GiB is at most 20 % of the disk of a broker that fleetps runs; any other size is
        /// taken as it is.
        #[serde(with = "units::bytes")]
        pub max_stream_bytes: u64 = DEFAULT_STREAM_BYTES, in bounds::bytes(16 << 20..=1 << 50, DISK);
    }
    derived {
        /// The folder of the segments: `history` in the data folder.
        pub history: PathBuf = PathBuf::from("history");
        /// The folder of a broker on this machine, whose disk the stream must not fill.
        pub broker: Option<PathBuf> = None;
    }
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(DAY_S);
/// Longer than any program or disk lasts; times of day are computed with it without overflow.
const CENTURY: Duration = Duration::from_secs(36_500 * DAY_S);

const OFTEN: &str = "more often makes more files than can be merged, and what is not sealed is in no backup";
const ROWS: &str = "none would never seal, and more are in no merged segment either";
const MERGED: &str = "less makes many files, and more is long lost work where a merge is interrupted";
const AGAIN: &str = "the second look must be another one, and a damaged file is not to be asked for ever";
const LASTS: &str = "less is gone before anybody can look, and a century is for ever";
const DISK: &str = "less holds no hour of a small fleet, and no file system holds more";
const FLOW: &str = "a small host sends some kilobytes a second, and a network at most gigabytes";

fleetps_nats::settings! {
    /// Where everything is kept.
    pub struct DataSettings in "" {
        /// Data folder; the segments are in `history` in it.
        #[flag(Flag::takes("data", "DIR"))]
        pub data: PathBuf = dirs::data_local_dir().unwrap_or_else(|| PathBuf::from(".")).join("fleetps");
    }
}

impl IngestorSettings {
    /// When [`Self::trust_clock_until`] ends, in seconds since 1970 UTC; long ago where it is not set.
    pub(crate) fn trust_clock_until_s(&self) -> i64 {
        let end = self.trust_clock_until.and_then(|day| day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok());
        end.map_or(i64::MIN, |end| end.timestamp().as_second())
    }
}

/// A day in a settings file; the empty text is none.
mod day {
    use jiff::civil::Date;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(day: &Option<Date>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&day.map(|day| day.to_string()).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let day = (!text.is_empty()).then(|| text.parse());
        day.transpose()
            .map_err(|_| D::Error::custom(format!("{text:?} is no day; expected one as in 2026-12-24")))
    }
}

impl IngestorSettings {
    /// The same; the default limit of the history fits its disk.
    #[must_use]
    pub fn with_history_that_fits(mut self) -> Self {
        let (limit, disk) = (self.max_history_bytes, Disk::of(&self.history));
        self.max_history_bytes = fitted(limit, DEFAULT_HISTORY_BYTES, HISTORY_PERCENT, disk, "history");
        self
    }

    /// The same for a broker that keeps its files in the folder `broker` of this machine: the default limit of the stream fits
    /// its disk.
    #[must_use]
    pub fn with_broker_in(mut self, broker: PathBuf) -> Self {
        let (limit, disk) = (self.max_stream_bytes, Disk::of(&broker));
        self.broker = Some(broker);
        self.max_stream_bytes = fitted(limit, DEFAULT_STREAM_BYTES, STREAM_PERCENT, disk, "stream");
        self
    }
}

/// `limit`, unless it is the default and more than `percent` of the disk.
fn fitted(limit: u64, default: u64, percent: u64, disk: Option<Disk>, what: &str) -> u64 {
    let part = disk.map_or(u64::MAX, |disk| disk.part(percent));
    if limit != default || part >= limit {
        return limit;
    }
    tracing::info!(limit = part, "the {what} may take {percent} % of its disk");
    part
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
    fn a_clock_is_trusted_to_the_end_of_a_day() {
        let settings: IngestorSettings = toml::from_str("trust_clock_until = \"1970-01-02\"").unwrap();
        assert_eq!(settings.trust_clock_until_s(), 2 * 24 * 3600);
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<IngestorSettings>(&text).unwrap(), settings);
        assert_eq!(IngestorSettings::default().trust_clock_until_s(), i64::MIN);
        let refusal = toml::from_str::<IngestorSettings>("trust_clock_until = \"soon\"").unwrap_err();
        assert!(refusal.to_string().contains("2026-12-24"), "{refusal}");
    }

    #[test]
    fn default_limits_fit_the_disk_and_others_are_taken_as_they_are() {
        let disk = |total_bytes| {
            Some(Disk { total_bytes, free_bytes: 0, is_out_of_files: false, is_read_only: false })
        };
        assert_eq!(fitted(20 << 30, 20 << 30, 40, disk(10 << 30), "history"), (10 << 30) / 100 * 40);
        assert_eq!(fitted(20 << 30, 20 << 30, 40, disk(100 << 30), "history"), 20 << 30);
        assert_eq!(fitted(9 << 30, 20 << 30, 40, disk(10 << 30), "history"), 9 << 30);
        assert_eq!(fitted(20 << 30, 20 << 30, 40, None, "history"), 20 << 30);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let refusal = toml::from_str::<IngestorSettings>("seal_intervall = \"30s\"").unwrap_err().to_string();
        assert!(refusal.contains("seal_intervall"), "{refusal}");
    }
}
