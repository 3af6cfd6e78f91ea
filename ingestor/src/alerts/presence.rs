//! What always runs on a host, and since when it does not: a function of the stream, as everything else that is evaluated.
//!
//! **What counts** ([`name_of`]). A service: a systemd unit of that kind with a process that the first process started, or a
//! program in a container. What belongs to somebody's session, login or connection comes and goes with them; where a pod runs,
//! Kubernetes decides. Or, for rules that ask for it, every program.
//!
//! **Always** is a day and an hour without an absence of two minutes: what stops each night is never taken for it. What was
//! missed three times within three days is not there always, and is learned anew. What does not come back is forgotten after
//! three days.
//!
//! **What is not known changes nothing:** while processes are left out of snapshots, in the first minutes after a boot, over gaps,
//! and where no service is to be seen at all, nothing is missed. An agent that sees less than before, or more, is another one:
//! all is learned anew. A name that differs from a newer one only in its numbers was renamed: `app-41.service`, `php-fpm8.3`.

use std::collections::BTreeMap;

use fleetps_nats::{Snapshot, snapshot::Process};
use serde::{Deserialize, Serialize};

use super::rule::Over;

const MINUTE_MS: u32 = 60_000;
const HOUR_MS: u32 = 60 * MINUTE_MS;
/// What is there for so long is always there.
const ALWAYS_AFTER_MS: u32 = 25 * HOUR_MS;
/// A shorter absence is a restart.
const RESTART_MS: u32 = 2 * MINUTE_MS;
/// While something is learned, its restarts cost so many times their length: at 2 % of the time, it is never there always.
const RESTART_COSTS: u32 = 50;
/// What is gone for three days is forgotten: whoever was away for a weekend still finds the alert.
pub(super) const FORGOTTEN_AFTER_MS: u32 = 72 * HOUR_MS;
/// What was missed so often, without three days of rest between, is learned anew.
const MAX_ABSENCES: u8 = 3;
/// For so long after a boot, services are still being started.
const BOOTING_MS: u64 = 600_000;
/// A new name takes the place of one that was seen last up to ten minutes after: the new version is started first, and then
/// the old one is stopped.
const RENAMED_WITHIN_US: i64 = 600_000_000;
/// Names of a host that are remembered: machines have some forty services.
const MAX_NAMES: usize = 256;
/// A longer name, in bytes, is not remembered: agents shorten texts of more than 128 to different lengths.
const MAX_NAME_BYTES: usize = 96;

/// How the names of units begin that are of a login or a connection. A getty's is empty while somebody works on that console,
/// because their processes are in their session. With an older systemd, those of a user are in the unit of `user@` itself.
const OF_LOGINS: [&str; 7] =
    ["user@", "getty@", "serial-getty@", "container-getty@", "console-getty.", "sshd@", "ssh@"];
/// With letters, a number has at least so many hexadecimal digits, as a short commit has. Fewer may be words: `db1` and `fe2`.
const COMMIT_DIGITS: usize = 7;

/// The name by which a process makes something present, of units (services) or of programs; `None` where it does not.
pub(crate) fn name_of(over: Over, process: &Process) -> Option<&str> {
    // The first process starts services, and the second one the kernel's own threads.
    const INIT: u32 = 1;
    const KERNEL_THREADS: u32 = 2;
    if over == Over::Program {
        let is_kernel = process.pid == KERNEL_THREADS || process.parent_pid == Some(KERNEL_THREADS);
        return (!is_kernel).then_some(process.name.as_str());
    }
    // Texts of hundreds of processes are not looked at for nothing.
    match process.unit.as_deref() {
        Some(_) if process.parent_pid != Some(INIT) => None,
        Some(unit) => {
            let is_of_login = OF_LOGINS.iter().any(|start| unit.starts_with(start));
            (unit.ends_with(".service") && !is_of_login).then_some(unit)
        }
        None => (process.container.is_some() && process.pod.is_none()).then_some(process.name.as_str()),
    }
}

/// The names by which these processes make something present, sorted, each once.
pub(crate) fn names_of<'a>(over: Over, processes: impl Iterator<Item = &'a Process>) -> Vec<&'a str> {
    let mut names: Vec<&str> = processes.filter_map(|process| name_of(over, process)).collect();
    // Processes of one program mostly stand beside each other.
    names.dedup();
    names.sort_unstable();
    names.dedup();
    names
}

/// What is there at one moment.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    /// Sorted, each once.
    pub(super) names: Vec<&'a str>,
    /// When that was, in µs since 1970 UTC.
    pub(super) at_us: i64,
    /// The time since the snapshot before, in ms; absent after a gap.
    pub(super) since_ms: Option<u64>,
    /// Whether what is not among `names` is known not to be there.
    pub(super) is_whole: bool,
    /// What keeps the agent from seeing everything; empty where nothing does.
    pub(super) view: &'a str,
}

impl<'a> Seen<'a> {
    /// The `names` that a snapshot has, that long after the one before.
    pub(super) fn of(snapshot: &'a Snapshot, names: Vec<&'a str>, since_ms: Option<u64>) -> Self {
        let is_whole =
            snapshot.processes_left_out == 0 && snapshot.monotonic_ms >= BOOTING_MS && !names.is_empty();
        let view = snapshot.host_info.limited_view.as_deref().unwrap_or_default();
        Self { names, at_us: snapshot.captured_at_us, since_ms, is_whole, view }
    }
}

/// What is there, and what is missed, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Presences {
    /// What kept the agent from seeing everything.
    view: String,
    /// The last moment, in µs since 1970 UTC.
    at_us: i64,
    /// Whether it is known what was not there then.
    is_whole: bool,
    names: BTreeMap<String, Presence>,
}

/// How long something is there. The names are short because a host has dozens of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Presence {
    /// When it was seen first, in µs since 1970 UTC.
    #[serde(rename = "s")]
    since_us: i64,
    /// For how long it is there, as far as that was observed, in ms; at most [`FORGOTTEN_AFTER_MS`].
    #[serde(rename = "t")]
    there_ms: u32,
    /// Whether it is there always.
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    is_regular: bool,
    /// How often it was missed lately.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    absences: u8,
    /// When it was seen last, in µs since 1970 UTC, and for how long it is missed, as far as that was observed, in ms.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    away: Option<(i64, u32)>,
}

fn is_zero(count: &u8) -> bool {
    *count == 0
}

impl Presences {
    /// Takes note of what is there.
    pub(super) fn note(&mut self, seen: &Seen<'_>) {
        if self.view != seen.view {
            *self = Self { view: seen.view.to_owned(), ..Self::default() };
        }
        let elapsed_ms = seen.since_ms.map_or(0, |ms| u32::try_from(ms).unwrap_or(u32::MAX));
        let missed_ms = if seen.is_whole { elapsed_ms } else { 0 };
        let last_us = self.at_us;
        self.names.retain(|name, presence| match seen.names.binary_search(&name.as_str()).is_ok() {
            true => {
                presence.be_there(seen.at_us, elapsed_ms);
                true
            }
            false => presence.be_away(last_us, missed_ms),
        });
        (self.at_us, self.is_whole) = (seen.at_us, seen.is_whole);
        self.learn(seen);
        self.follow_renames();
    }

    /// Begins to learn new names while there is room. What is not there, and was not for long, makes room.
    fn learn(&mut self, seen: &Seen<'_>) {
        let is_new = |name: &&&str| name.len() <= MAX_NAME_BYTES && !self.names.contains_key(**name);
        let new: Vec<&str> = seen.names.iter().filter(is_new).copied().collect();
        if self.names.len() + new.len() > MAX_NAMES {
            self.names.retain(|_, presence| presence.is_regular || presence.away.is_none());
        }
        let room = MAX_NAMES.saturating_sub(self.names.len());
        for name in new.into_iter().take(room) {
            self.names.insert(name.to_owned(), Presence { since_us: seen.at_us, ..Presence::default() });
        }
    }

    /// Expects the new name of what was renamed in the place of the old one.
    fn follow_renames(&mut self) {
        let missed = self.names.iter().filter(|(_, presence)| presence.is_regular);
        let missed =
            missed.filter_map(|(name, presence)| Some((name.clone(), shape(name), presence.away?.0)));
        let missed: Vec<(String, String, i64)> = missed.collect();
        if missed.is_empty() {
            return;
        }
        let new = self.names.iter().filter(|(_, presence)| !presence.is_regular && presence.away.is_none());
        let mut new: Vec<(String, String, i64)> =
            new.map(|(name, presence)| (name.clone(), shape(name), presence.since_us)).collect();
        for (old, shape, last_us) in missed {
            let is_it = |(_, of_new, since_us): &(String, String, i64)| {
                *of_new == shape && *since_us >= last_us.saturating_sub(RENAMED_WITHIN_US)
            };
            let Some(place) = new.iter().position(is_it) else { continue };
            let (name, ..) = new.remove(place);
            if let Some(presence) = self.names.get_mut(&name) {
                presence.is_regular = true;
                self.names.remove(&old);
            }
        }
    }

    /// What has been missed for how long, in s, of what is there always and missed, and of `known` names; absent where that is not
    /// known. Beyond `hold_s` it is the time since it was seen last.
    pub(super) fn missed_s<'a>(
        &'a self,
        hold_s: f64,
        known: impl Iterator<Item = &'a str>,
    ) -> BTreeMap<&'a str, Option<f64>> {
        let value = |presence: &Presence| match presence.away {
            None => Some(0.0),
            Some((last_us, missed_ms)) => self.is_whole.then(|| {
                let missed_s = f64::from(missed_ms) / 1000.0;
                let since_s = self.at_us.saturating_sub(last_us) as f64 / 1e6;
                if missed_s > hold_s { since_s.max(missed_s) } else { missed_s }
            }),
        };
        let missed = self.names.iter().filter(|(_, presence)| presence.is_regular && presence.away.is_some());
        let known = known.filter_map(|name| self.names.get_key_value(name));
        missed.chain(known).map(|(name, presence)| (name.as_str(), value(presence))).collect()
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl Presence {
    /// It is there, `elapsed_ms` after the last time that was looked.
    fn be_there(&mut self, at_us: i64, elapsed_ms: u32) {
        match self.away.take() {
            Some((_, missed_ms)) if missed_ms < RESTART_MS => {
                if !self.is_regular {
                    self.there_ms = self.there_ms.saturating_sub(missed_ms.saturating_mul(RESTART_COSTS));
                }
            }
            Some(_) => {
                (self.there_ms, self.absences) = (0, self.absences.saturating_add(1));
                if self.absences >= MAX_ABSENCES {
                    *self = Self { since_us: at_us, ..Self::default() };
                }
            }
            None => {
                self.there_ms = self.there_ms.saturating_add(elapsed_ms).min(FORGOTTEN_AFTER_MS);
                self.is_regular |= self.there_ms >= ALWAYS_AFTER_MS;
                if self.there_ms >= FORGOTTEN_AFTER_MS {
                    self.absences = 0;
                }
            }
        }
    }

    /// It is not there; whether it is remembered. It was seen last at `last_us` unless it is missed longer.
    fn be_away(&mut self, last_us: i64, missed_ms: u32) -> bool {
        let (_, away_ms) = self.away.get_or_insert((last_us, 0));
        *away_ms = away_ms.saturating_add(missed_ms);
        let most_ms = if self.is_regular { FORGOTTEN_AFTER_MS } else { RESTART_MS };
        *away_ms < most_ms
    }
}

/// The name with `#` in the place of each number, which a commit is, too: `php-fpm8.3` is `php-fpm#.#`, and `app-1f3c0de` is
/// `app-#`.
fn shape(name: &str) -> String {
    let (mut shape, mut rest) = (String::new(), name);
    while let Some(first) = rest.chars().next() {
        let is_part = |letter: char| letter.is_ascii_hexdigit() == first.is_ascii_hexdigit();
        let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        let has_digit = part.contains(|letter: char| letter.is_ascii_digit());
        if has_digit && part.len() >= COMMIT_DIGITS {
            shape.push('#');
        } else {
            for letter in part.chars() {
                match letter.is_ascii_digit() {
                    true if shape.ends_with('#') => {}
                    true => shape.push('#'),
                    false => shape.push(letter),
                }
            }
        }
        rest = behind;
    }
    shape
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
