//! When a file system will be full, by how its use has grown: a function of the stream, as everything else that is evaluated.
//!
//! Of each hour of the last day, and of each four hours of the last week, the greatest use is remembered, so that what is written
//! and removed within an hour counts as used. The growth of either time is the lower quartile of the slopes between any two of
//! these (Theil and Sen take the median): half an hour of copying hardly moves it. Both times must agree: the smaller growth
//! counts. A use that falls by 30 % of what it had risen is that of logs that are rotated or of builds, and no growth.

use std::collections::{BTreeMap, HashSet, VecDeque};

use fleetps_nats::{Snapshot, snapshot::FilesystemSample};
use serde::{Deserialize, Serialize};

const HOUR_US: i64 = 3_600_000_000;
const HOUR_S: f64 = 3600.0;
/// Hours of the shorter time.
const DAY: Window = Window { hours: 1, slots: 24, least: 18 };
/// Four hours each of the longer one; of a file system that is known for a day, that is all there is.
const WEEK: Window = Window { hours: 4, slots: 42, least: 6 };
/// A fall by this part of what the use has risen in a time is no growth.
const SAWTOOTH: f64 = 0.3;
/// A disk with more than this part free is not about to be full: what fills it that fast is a copy that ends.
const ROOMY: f64 = 0.4;
/// Less than this part of the disk in a day is noise. On a disk where it is not, `disk-full` is raised already.
const NOISE: f64 = 0.005;
/// Said of a disk that does not grow, in s: a year.
const FAR_S: f64 = 366.0 * 24.0 * HOUR_S;
/// File systems of a host whose use is remembered: up to 400 bytes each in a checkpoint, and machines have a handful.
const MAX_FILESYSTEMS: usize = 64;
/// A file system with a longer path, in bytes, is not remembered: people's are shorter, and a checkpoint holds each path.
const MAX_MOUNT_BYTES: usize = 256;
/// One that was not there for a week is forgotten.
const FORGET_HOURS: u64 = 7 * 24;
/// The use in a slot of which nothing is known.
const UNKNOWN: u32 = u32::MAX;

/// A time that is looked back at.
struct Window {
    /// The length of a slot.
    hours: i64,
    /// How many there are.
    slots: u8,
    /// With fewer, nothing is said.
    least: usize,
}

/// How the file systems of a host were used, by where they are mounted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Growths(BTreeMap<String, Growth>);

/// How a file system was used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Growth {
    day: Slots,
    week: Slots,
    /// What the slots that are over say; worked out again after a restart.
    #[serde(skip)]
    trend: Option<Trend>,
}

/// The greatest use in each slot of a time. The last slot is not over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Slots {
    /// The number of the last slot, counted from 1970.
    last: i64,
    /// The use in MiB in each slot up to the last one, in the order of time; [`UNKNOWN`] where nothing was heard.
    uses: VecDeque<u32>,
}

/// What is known of the growth.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Trend {
    /// In bytes per second; `None` where too little is known.
    bytes_per_s: Option<f64>,
    /// From the least to the greatest use of a day, in bytes.
    rise_of_day: f64,
}

impl Growths {
    /// Takes note of the file systems of a snapshot.
    pub(super) fn note(&mut self, snapshot: &Snapshot) {
        let hour = snapshot.captured_at_us.div_euclid(HOUR_US);
        self.0.retain(|_, growth| hour.abs_diff(growth.day.last) <= FORGET_HOURS);
        let mut absent: Option<Vec<String>> = None;
        for FilesystemSample { mount, used_bytes, .. } in &snapshot.filesystems {
            let Some(used) = used_bytes.filter(|_| mount.len() <= MAX_MOUNT_BYTES) else { continue };
            if let Some(growth) = self.0.get_mut(mount) {
                growth.note(hour, used);
                continue;
            }
            if self.0.len() >= MAX_FILESYSTEMS {
                let oldest = absent.get_or_insert_with(|| self.absent_from(snapshot)).pop();
                let Some(oldest) = oldest else { continue };
                self.0.remove(&oldest);
            }
            self.0.entry(mount.clone()).or_default().note(hour, used);
        }
    }

    /// The remembered file systems that are not in `snapshot`. The one that was seen longest ago is the last; of several, the
    /// one that is known for the shortest time.
    fn absent_from(&self, snapshot: &Snapshot) -> Vec<String> {
        let present: HashSet<&str> = snapshot.filesystems.iter().map(|it| it.mount.as_str()).collect();
        let absent = self.0.iter().filter(|(mount, _)| !present.contains(mount.as_str()));
        let mut absent: Vec<(i64, usize, &String)> =
            absent.map(|(mount, growth)| (growth.day.last, growth.week.uses.len(), mount)).collect();
        absent.sort_unstable();
        absent.into_iter().rev().map(|(.., mount)| mount.clone()).collect()
    }

    /// When a file system will be full, in s from now; `None` where that is not known.
    pub(super) fn full_in_s(&self, filesystem: &FilesystemSample) -> Option<f64> {
        let trend = self.0.get(&filesystem.mount)?.trend?;
        let (used, total) = (filesystem.used_bytes?, filesystem.total_bytes?);
        let available = filesystem.available_bytes.unwrap_or_else(|| total.saturating_sub(used)) as f64;
        let usable = used as f64 + available;
        let bytes_per_s = trend.bytes_per_s?;
        let is_roomy = available > ROOMY * usable;
        if is_roomy || bytes_per_s <= 0.0 || trend.rise_of_day < NOISE * usable {
            return Some(FAR_S);
        }
        Some((available / bytes_per_s).min(FAR_S))
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Growth {
    fn note(&mut self, hour: i64, used_bytes: u64) {
        let mib = u32::try_from(used_bytes >> 20).unwrap_or(UNKNOWN).min(UNKNOWN - 1);
        let is_new = [DAY.note(&mut self.day, hour, mib), WEEK.note(&mut self.week, hour, mib)];
        if is_new.contains(&true) || self.trend.is_none() {
            self.trend = Some(self.trend());
        }
    }

    fn trend(&self) -> Trend {
        let (day, week) = (self.day.over(), self.week.over());
        let growth = DAY.growth(&day).zip(WEEK.growth(&week)).map(|(day, week)| day.min(week));
        let uses = || day.iter().map(|(_, mib)| f64::from(*mib));
        let rise = uses().fold(0.0, f64::max) - uses().fold(f64::INFINITY, f64::min);
        let bytes = f64::from(1 << 20);
        let bytes_per_s = growth.map(|mib_per_hour| mib_per_hour * bytes / HOUR_S);
        Trend { bytes_per_s, rise_of_day: rise.max(0.0) * bytes }
    }
}

impl Slots {
    /// The slots that are over and of which something is known, in the order of time: the number and the use of each.
    fn over(&self) -> Vec<(i64, u32)> {
        let backwards = (0_i64..).zip(self.uses.iter().rev()).skip(1);
        let known = backwards.filter(|(_, mib)| **mib != UNKNOWN);
        let mut known: Vec<(i64, u32)> = known.map(|(back, mib)| (self.last - back, *mib)).collect();
        known.reverse();
        known
    }
}

impl Window {
    /// Takes note of the use in an hour; whether it begins a slot.
    fn note(&self, slots: &mut Slots, hour: i64, mib: u32) -> bool {
        let slot = hour.div_euclid(self.hours);
        let ahead = slot.saturating_sub(slots.last);
        if slots.uses.is_empty() || ahead < -1 || ahead > i64::from(self.slots) {
            // The first one, a clock that was set back from a time that never was, or a gap as long as the time.
            slots.uses.clear();
        } else if ahead < 0 {
            // The clock was set back by a little, which is waited for.
            return false;
        } else if ahead == 0 {
            if let Some(greatest) = slots.uses.back_mut() {
                *greatest = mib.max(*greatest);
            }
            return false;
        } else {
            slots.uses.extend((1..ahead).map(|_| UNKNOWN));
        }
        slots.uses.push_back(mib);
        slots.last = slot;
        // The last one is not over, and comes beside the others.
        let excess = slots.uses.len().saturating_sub(usize::from(self.slots) + 1);
        slots.uses.drain(..excess);
        true
    }

    /// The growth over these slots in MiB an hour; zero where it is none, `None` where too little is known.
    fn growth(&self, slots: &[(i64, u32)]) -> Option<f64> {
        if slots.len() < self.least {
            return None;
        }
        let (mut peak, mut least, mut fall) = (0.0_f64, f64::INFINITY, 0.0_f64);
        for mib in slots.iter().map(|(_, mib)| f64::from(*mib)) {
            (peak, least) = (peak.max(mib), least.min(mib));
            fall = fall.max(peak - mib);
        }
        if fall >= SAWTOOTH * (peak - least) {
            return Some(0.0);
        }
        let mut slopes: Vec<f64> = Vec::with_capacity(slots.len() * slots.len() / 2);
        for (place, (from, before)) in slots.iter().enumerate() {
            let later = slots.iter().skip(place + 1);
            slopes.extend(later.map(|(to, after)| {
                (f64::from(*after) - f64::from(*before)) / ((to - from) * self.hours) as f64
            }));
        }
        slopes.sort_by(f64::total_cmp);
        Some(slopes.get(slopes.len() / 4).copied().unwrap_or_default().max(0.0))
    }
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;
