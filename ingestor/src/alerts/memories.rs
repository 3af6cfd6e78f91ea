//! Processes whose memory only grows, and when the host's is used up by that: a function of the stream, as everything else that
//! is evaluated.
//!
//! Of each process with much memory of its own, the least that it had in each ten minutes is remembered: what is left after
//! garbage collection. When four hours are full, pairs become one of twice the length, up to 160 minutes; so the same few
//! numbers tell of hours first, and of days later.
//!
//! **A leak grows steadily.** It hardly ever falls, and its last third grows about as much as all of it: a service that warms up, or
//! a cache that fills, grows less and less. It must go on for half a day, in which what follows the hours of work has had its rise
//! and its end. Two hours are enough where the host's memory lasts no longer than the growth went on already, and where an
//! earlier life of the same program grew as fast: a restart that takes the memory back, and does not end the growth, is evidence.
//! **One that begins late is found late:** in a process that ran quietly before, growth must go on for most of what is remembered,
//! which is 23 hours after half a quiet day, and 43 after a day or more.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use fleetps_nats::{Snapshot, snapshot::Process};
use serde::{Deserialize, Serialize};

use super::measure::Key;

/// The shortest slot, in µs: ten minutes.
const SLOT_US: i64 = 600_000_000;
/// Hours of the shortest slot.
const SLOT_HOURS: f64 = 1.0 / 6.0;
/// Slots that are remembered of a process, beside the one that is not over.
const SLOTS: usize = 24;
/// How often slots are doubled: to 160 minutes, of which 24 are 64 hours.
const MAX_DOUBLED: u8 = 4;
/// With fewer slots, nothing is said; of 24 that became 12, the first is left out.
const LEAST_SLOTS: usize = 11;
/// The memory of a process that is looked at, in MiB; one that leaks has it soon.
const LARGE_MIB: u32 = 64;
/// The same in bytes.
pub(crate) const LARGE_BYTES: u64 = (LARGE_MIB as u64) << 20;
/// Less growth is no trouble, in MiB.
const MIN_RISE_MIB: f64 = 128.0;
/// Nor is less than this part of what it was.
const MIN_RISE: f64 = 0.2;
/// A fall by this part of the growth is none of a leak.
const MAX_FALL: f64 = 0.2;
/// The least growth of the last third, as a part of what it would be of a steady one.
const STEADY: f64 = 0.8;
/// A growth that goes on for so many hours is a leak: less is a program that warms up, or has something to do.
const MIN_HOURS: f64 = 12.0;
/// The same where there is no time to wait, or an earlier life grew as fast.
const MIN_HOURS_URGENT: f64 = 2.0;
/// As fast: within this factor, either way.
const AS_FAST: f64 = 2.0;
/// Processes of a host that are remembered, of some 100 bytes each in a checkpoint.
const MAX_PROCESSES: usize = 64;
/// Programs of a host whose earlier lives are remembered.
const MAX_PROGRAMS: usize = 16;
/// A program with a longer name, in bytes, has no earlier lives. Linux has at most 15.
const MAX_NAME_BYTES: usize = 64;
/// An earlier life is evidence for a week, in µs.
const LIFE_US: i64 = 7 * 24 * 3_600_000_000;
/// Said of a process that does not leak, in s: a year.
const FAR_S: f64 = 366.0 * 24.0 * 3600.0;
/// The memory in a slot of which nothing is known.
const UNKNOWN: u32 = u32::MAX;

/// The memory of processes of a host, by pid and the other half of the identity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memories {
    boot_id: String,
    processes: BTreeMap<(u32, i64), Memory>,
    /// Programs of which a process grew steadily until its end.
    earlier: BTreeMap<String, Life>,
}

/// The memory of a process. The names are short because a host has dozens of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Memory {
    /// The name of the program; empty where that is too long.
    #[serde(rename = "p")]
    program: String,
    /// How often slots were doubled.
    #[serde(rename = "d")]
    doubled: u8,
    /// The number of the last slot, counted from 1970 in slots of this length.
    #[serde(rename = "n")]
    last: i64,
    /// The least memory in MiB in each slot up to the last one, in the order of time; [`UNKNOWN`] where nothing was heard.
    #[serde(rename = "m")]
    least: VecDeque<u32>,
    /// The growth in the slots that are over; worked out again after a restart.
    #[serde(skip)]
    growth: Option<Growth>,
}

/// What is known of the growth of a process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Growth {
    /// In MiB an hour; zero where it is not steady.
    mib_per_hour: f64,
    /// For how long.
    hours: f64,
}

/// A process that grew steadily until its end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Life {
    mib_per_hour: f64,
    /// In µs since 1970 UTC.
    ended_us: i64,
}

/// The memory that a process has for itself, in whole MiB; `None` where that is not known.
fn own_mib(process: &Process) -> Option<u32> {
    let resident_mib = process.resident_bytes? >> 20;
    let own_mib = resident_mib.saturating_sub(process.shared_bytes.unwrap_or_default() >> 20);
    Some(u32::try_from(own_mib).unwrap_or(UNKNOWN).min(UNKNOWN - 1))
}

impl Memories {
    /// Takes note of the processes of a snapshot.
    pub(super) fn note(&mut self, snapshot: &Snapshot) {
        let at_us = snapshot.captured_at_us;
        self.earlier.retain(|_, life| at_us.saturating_sub(life.ended_us).abs() <= LIFE_US);
        let is_same_boot = self.boot_id == snapshot.boot_id;
        if !is_same_boot {
            self.end(at_us, |_| true);
            self.boot_id.clone_from(&snapshot.boot_id);
        }
        let mut absent: BTreeSet<(u32, i64)> = self.processes.keys().copied().collect();
        let mut new: Vec<(u32, &Process)> = Vec::new();
        // Hardly any process is large, and most that were still are.
        let is_large = |process: &&Process| own_mib(process).is_some_and(|mib| mib >= LARGE_MIB);
        for process in snapshot.processes.iter().filter(is_large) {
            let mib = own_mib(process).unwrap_or_default();
            match self.processes.get_mut(&process.key()) {
                Some(memory) => memory.note(at_us, mib),
                None => new.push((mib, process)),
            }
            absent.remove(&process.key());
        }
        if !absent.is_empty() {
            for process in snapshot.processes.iter().filter(|process| absent.remove(&process.key())) {
                let memory = self.processes.get_mut(&process.key());
                memory.zip(own_mib(process)).into_iter().for_each(|(memory, mib)| memory.note(at_us, mib));
            }
        }
        if snapshot.processes_left_out == 0 {
            self.end(at_us, |key| absent.contains(key));
        }
        if self.processes.len() + new.len() > MAX_PROCESSES {
            // Where some are left out of every snapshot, nothing else says that a process has ended.
            self.processes.retain(|key, memory| !absent.contains(key) || !memory.is_quiet(at_us));
        }
        new.sort_by_key(|(mib, process)| (Reverse(*mib), process.key()));
        for (mib, process) in new {
            if self.has_room(mib) {
                let is_short = process.name.len() <= MAX_NAME_BYTES;
                let program = if is_short { process.name.clone() } else { String::new() };
                let mut memory = Memory { program, ..Memory::default() };
                memory.note(at_us, mib);
                self.processes.insert(process.key(), memory);
            }
        }
    }

    /// Forgets the processes that have ended; of those that grew steadily, it is remembered how fast.
    fn end(&mut self, at_us: i64, has_ended: impl Fn(&(u32, i64)) -> bool) {
        let earlier = &mut self.earlier;
        self.processes.retain(|key, memory| {
            let has_ended = has_ended(key);
            let growth = if has_ended { memory.growth.or_else(|| memory.growth()) } else { None };
            let growth = growth.filter(|growth| growth.mib_per_hour > 0.0);
            if let Some(growth) = growth.filter(|_| !memory.program.is_empty()) {
                let life = Life { mib_per_hour: growth.mib_per_hour, ended_us: at_us };
                earlier.insert(memory.program.clone(), life);
            }
            !has_ended
        });
        while earlier.len() > MAX_PROGRAMS {
            let oldest = earlier.iter().min_by_key(|(_, life)| life.ended_us).map(|(name, _)| name.clone());
            oldest.iter().for_each(|name| _ = earlier.remove(name));
        }
    }

    /// Whether there is room for a process with `mib`. One with less than half of it makes room.
    fn has_room(&mut self, mib: u32) -> bool {
        if self.processes.len() < MAX_PROCESSES {
            return true;
        }
        let least = self.processes.iter().min_by_key(|(_, memory)| memory.least.back().copied());
        let least = least.filter(|(_, memory)| memory.least.back().is_none_or(|least| *least < mib / 2));
        let Some(key) = least.map(|(key, _)| *key) else { return false };
        self.processes.remove(&key).is_some()
    }

    /// When the memory of the host is used up by the growth of one process, in s from now, for every process that leaks and for
    /// the `known` ones; absent where that is not known.
    pub(super) fn full_in_s(&self, snapshot: &Snapshot, known: &[&Key]) -> BTreeMap<Key, Option<f64>> {
        let host = &snapshot.host;
        let free =
            host.memory_total_bytes.zip(host.memory_used_bytes).map(|(all, used)| all.saturating_sub(used));
        let Some(available) = host.memory_available_bytes.or(free) else { return BTreeMap::new() };
        let available_mib = (available >> 20) as f64;
        let is_growing = |memory: &Memory| memory.growth.is_some_and(|growth| growth.mib_per_hour > 0.0);
        if known.is_empty() && !self.processes.values().any(is_growing) {
            return BTreeMap::new();
        }
        let pid_of = |key: &&Key| match key {
            Key::Process { pid, .. } => Some(*pid),
            _ => None,
        };
        let known_pids: BTreeSet<u32> = known.iter().filter_map(pid_of).collect();
        let value = |process: &Process| {
            let memory = self.processes.get(&process.key());
            // Names of hundreds of processes are not copied for nothing.
            if memory.is_none() && !known_pids.contains(&process.pid) {
                return None;
            }
            let key = Key::of_process(process);
            let hours = memory.and_then(|memory| self.hours_left(memory, available_mib));
            let full_in_s = hours.map(|hours| (hours * 3600.0).min(FAR_S));
            let matters = full_in_s.is_some_and(|seconds| seconds < FAR_S) || known.contains(&&key);
            matters.then_some((key, full_in_s))
        };
        snapshot.processes.iter().filter_map(value).collect()
    }

    /// For how many hours what is available lasts; for ever where the process does not leak, `None` where too little is known.
    fn hours_left(&self, memory: &Memory, available_mib: f64) -> Option<f64> {
        let Growth { mib_per_hour, hours } = memory.growth?;
        if mib_per_hour <= 0.0 {
            return Some(f64::INFINITY);
        }
        let hours_left = available_mib / mib_per_hour;
        let is_as_fast =
            |life: &Life| (life.mib_per_hour / AS_FAST..=life.mib_per_hour * AS_FAST).contains(&mib_per_hour);
        let is_again = self.earlier.get(&memory.program).is_some_and(is_as_fast);
        let least_hours = if is_again || hours_left <= hours { MIN_HOURS_URGENT } else { MIN_HOURS };
        (hours >= least_hours).then_some(hours_left)
    }

    /// The processes that are remembered.
    pub(super) fn processes(&self) -> impl Iterator<Item = (u32, i64)> {
        self.processes.keys().copied()
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.earlier.is_empty()
    }
}

impl Memory {
    /// Whether it was not heard of for a whole slot.
    fn is_quiet(&self, at_us: i64) -> bool {
        at_us.div_euclid(SLOT_US << self.doubled).abs_diff(self.last) > 1
    }

    fn note(&mut self, at_us: i64, mib: u32) {
        let slot = at_us.div_euclid(SLOT_US << self.doubled);
        let ahead = slot.saturating_sub(self.last);
        if self.least.is_empty() || ahead < -1 || ahead > SLOTS as i64 {
            // The first one, a clock that was set back from a time that never was, or a gap as long as what is remembered.
            *self = Self { program: std::mem::take(&mut self.program), ..Self::default() };
            (self.last, self.least) = (at_us.div_euclid(SLOT_US), VecDeque::from([mib]));
            return;
        }
        if ahead <= 0 {
            // A clock that was set back by a little is waited for.
            let least = self.least.back_mut().filter(|_| ahead == 0);
            least.into_iter().for_each(|least| *least = mib.min(*least));
        } else {
            self.least.extend((1..ahead).map(|_| UNKNOWN));
            self.least.push_back(mib);
            self.last = slot;
            self.make_room();
        }
        if ahead > 0 || self.growth.is_none() {
            self.growth = self.growth();
        }
    }

    /// Makes one slot of two, or forgets the first ones, where there are too many.
    fn make_room(&mut self) {
        while self.least.len() > SLOTS + 1 {
            if self.doubled >= MAX_DOUBLED {
                self.least.pop_front();
                continue;
            }
            let first = self.last - self.least.len() as i64 + 1;
            let mut doubled: VecDeque<u32> = VecDeque::with_capacity(SLOTS);
            for (slot, mib) in (first..).zip(self.least.drain(..)) {
                match doubled.back_mut().filter(|_| slot.rem_euclid(2) == 1) {
                    // What is not known is greater than anything.
                    Some(least) => *least = mib.min(*least),
                    None => doubled.push_back(mib),
                }
            }
            (self.least, self.last, self.doubled) = (doubled, self.last.div_euclid(2), self.doubled + 1);
        }
    }

    /// The growth in the slots that are over; `None` where too little is known.
    fn growth(&self) -> Option<Growth> {
        if self.least.len() <= LEAST_SLOTS {
            return None;
        }
        let hours_of_slot = SLOT_HOURS * f64::from(1_u32 << self.doubled);
        let all = (0_u32..).zip(&self.least);
        // The first slot has the start, and the last one is not over.
        let over = all.take(self.least.len().saturating_sub(1)).skip(1).filter(|(_, mib)| **mib != UNKNOWN);
        let over: Vec<(f64, f64)> = over.map(|(slot, mib)| (f64::from(slot), f64::from(*mib))).collect();
        let ((from, first), (to, last)) = (over.first()?, over.last()?);
        if over.len() < LEAST_SLOTS {
            return None;
        }
        let (slots, rise) = (to - from, last - first);
        let hours = slots * hours_of_slot;
        let none = Some(Growth { mib_per_hour: 0.0, hours });
        if rise < MIN_RISE_MIB.max(MIN_RISE * first) || fall(&over) > MAX_FALL * rise {
            return none;
        }
        let end: Vec<(f64, f64)> = over.iter().copied().filter(|(at, _)| *at >= to - slots / 3.0).collect();
        let (of_slot, at_the_end) = (slope(&over, 4), slope(&end, 2));
        let least = STEADY * rise / slots;
        if at_the_end < least || of_slot < least {
            return none;
        }
        Some(Growth { mib_per_hour: of_slot / hours_of_slot, hours })
    }
}

/// The greatest fall from a point to a later one.
fn fall(points: &[(f64, f64)]) -> f64 {
    let falls = points.iter().scan(0.0_f64, |peak, (_, value)| {
        *peak = peak.max(*value);
        Some(*peak - value)
    });
    falls.fold(0.0, f64::max)
}

/// The slopes between any two points, in order: the one that a `part`-th of them are below. Two is Theil's and Sen's.
fn slope(points: &[(f64, f64)], part: usize) -> f64 {
    let later = |place: usize| points.iter().skip(place + 1);
    let slopes = points.iter().enumerate().flat_map(|(place, (from, before))| {
        later(place).map(move |(to, after)| (after - before) / (to - from))
    });
    let mut slopes: Vec<f64> = slopes.collect();
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / part).copied().unwrap_or_default()
}

#[cfg(test)]
#[path = "memories_tests.rs"]
mod tests;
