//! How old history counts as. Thinning cannot be undone, so a clock alone does not decide it: one that is more than a day past
//! the newest stored snapshot is believed only once hosts, or a person, confirm it.
//!
//! Within a run, time goes on as the monotonic clock says. A segment stored further ahead than that was stored after
//! the clock was set, or after a time in which nothing ran. Its time counts as soon as [`CONFIRM_FOR`] of live
//! snapshots came from hosts whose own clocks mostly agree. The newest time that counts is kept in a file, so that a
//! start does not forget it.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fleetps_nats::{HostName, error_chain, file};
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::segment::{FileError, TEMPORARY_EXTENSION, publish_file};

/// A day, in seconds: how far a clock may be ahead without being confirmed.
const DAY_S: i64 = 24 * 3600;
/// The file beside the segments that keeps the newest time that counts.
const FILE: &str = "newest_stored";
/// How long hosts have to agree with a clock that was set.
const CONFIRM_FOR: Duration = Duration::from_secs(600);
/// How far a clock may be from the expected time: more than any drift of a week, less than a step that matters.
const SLACK_S: i64 = 600;
/// How far a host's clock may be from this machine's to agree with it: those that are kept right differ by seconds, and a
/// snapshot may wait for a minute or two.
const AGREES_WITHIN_S: i64 = 300;
/// Hosts whose clocks are compared; as many as any of them tell what the others would.
const MAX_HOSTS: usize = 10_000;
/// The file is written this often; the time lost in between is far less than the day that a clock may be ahead.
const SAVE_EVERY_S: i64 = 600;

/// How old history counts as.
#[derive(Debug)]
pub(crate) struct RetentionClock {
    path: PathBuf,
    /// A person says that the clock is right up to then.
    trusted_until_s: i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the newest snapshot that counts was stored; absent while nothing is stored.
    newest_s: Option<i64>,
    /// A stored time that counts, and when that was: later ones are expected as the monotonic clock says.
    anchor: Option<(i64, Instant)>,
    confirming: Option<Confirming>,
    saved_s: i64,
}

/// Whether hosts agree with a clock that was set.
#[derive(Debug)]
struct Confirming {
    wall_s: i64,
    began: Instant,
    agree: HashMap<HostName, bool>,
}

/// The times that a clock is trusted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The time for the age of history, in seconds since 1970 UTC.
    pub(crate) now_s: i64,
    /// Why that is not what the clock says.
    pub(crate) waits: Option<String>,
}

/// A snapshot that was just stored: when the broker took it and when its host says it was, in seconds since 1970 UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub(crate) host: &'a HostName,
    pub(crate) stored_s: i64,
    pub(crate) captured_s: i64,
}

impl RetentionClock {
    /// Creates the clock for the history in `folder`, whose newest segment begins at `newest_segment_s`; a person says
    /// that this machine's clock is right up to `trusted_until_s`.
    pub(crate) fn open(folder: &Path, newest_segment_s: Option<i64>, trusted_until_s: i64) -> Self {
        let path = folder.join(FILE);
        let newest_s = read(&path).or(newest_segment_s);
        let anchor = newest_s.map(|newest_s| (newest_s, Instant::now()));
        let state = State { newest_s, anchor, ..State::default() };
        Self { path, trusted_until_s, state: Mutex::new(state) }
    }

    /// Takes note of a snapshot while this machine's clock says `wall_s`.
    pub(crate) fn hear(&self, heard: Heard<'_>, wall_s: i64, now: Instant) {
        self.state.lock().hear(heard, wall_s, now);
    }

    /// The trusted time when the clock says `wall_s`.
    pub(crate) fn judge(&self, wall_s: i64) -> Judged {
        let newest_s = self.state.lock().newest_s;
        match newest_s {
            Some(newest_s) if wall_s > newest_s.saturating_add(DAY_S).max(self.trusted_until_s) => {
                Judged { now_s: newest_s, waits: Some(why(wall_s, newest_s)) }
            }
            _ => Judged { now_s: wall_s, waits: None },
        }
    }

    /// The newest time that counts.
    pub(crate) fn newest_s(&self) -> Option<i64> {
        self.state.lock().newest_s
    }

    /// Keeps the newest time that counts, where it is another one than is kept.
    pub(crate) fn save(&self) {
        let (newest_s, saved_s) = {
            let state = self.state.lock();
            (state.newest_s, state.saved_s)
        };
        let Some(newest_s) = newest_s.filter(|newest_s| newest_s - saved_s >= SAVE_EVERY_S) else { return };
        // Without the lock: every snapshot that is read takes it.
        match write(&self.path, newest_s) {
            Ok(()) => self.state.lock().saved_s = newest_s,
            Err(error) => tracing::warn!("{}", error_chain(&error)),
        }
    }
}

impl State {
    fn hear(&mut self, heard: Heard<'_>, wall_s: i64, now: Instant) {
        let (anchor_s, anchored) = *self.anchor.get_or_insert((heard.stored_s, now));
        let expected_s = anchor_s.saturating_add(seconds(now.saturating_duration_since(anchored)));
        let is_live = heard.stored_s.abs_diff(wall_s) <= AGREES_WITHIN_S.unsigned_abs();
        if heard.stored_s <= expected_s.saturating_add(SLACK_S) {
            self.newest_s = self.newest_s.max(Some(heard.stored_s));
            self.confirming = self.confirming.take().filter(|_| !is_live);
        } else if is_live && self.confirm(heard, wall_s, now) {
            tracing::info!(
                "most hosts' clocks agree with this machine's, so it counts for the age of the history"
            );
            (self.newest_s, self.anchor, self.confirming) =
                (Some(heard.stored_s), Some((heard.stored_s, now)), None);
        }
    }

    /// Whether this snapshot is the one that confirms the clock.
    fn confirm(&mut self, heard: Heard<'_>, wall_s: i64, now: Instant) -> bool {
        let goes_on = |confirming: &Confirming| {
            let passed = now.saturating_duration_since(confirming.began);
            let step_s = wall_s.abs_diff(confirming.wall_s.saturating_add(seconds(passed)));
            // A step that was not confirmed in time starts over: hosts' clocks may be set as well.
            step_s <= SLACK_S.unsigned_abs() && passed <= 2 * CONFIRM_FOR
        };
        if !self.confirming.as_ref().is_some_and(goes_on) {
            self.confirming = Some(Confirming { wall_s, began: now, agree: HashMap::new() });
        }
        let Some(confirming) = &mut self.confirming else { return false };
        if confirming.agree.len() < MAX_HOSTS || confirming.agree.contains_key(heard.host) {
            let agrees = heard.captured_s.abs_diff(wall_s) <= AGREES_WITHIN_S.unsigned_abs();
            confirming.agree.insert(heard.host.clone(), agrees);
        }
        let agreeing = confirming.agree.values().filter(|agrees| **agrees).count();
        now.saturating_duration_since(confirming.began) >= CONFIRM_FOR
            && agreeing * 2 > confirming.agree.len()
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn why(wall_s: i64, newest_s: i64) -> String {
    format!(
        "the clock says {}, more than a day past the newest snapshot that counts ({}): nothing is thinned or removed for its \
         age until hosts whose clocks agree have sent for ten minutes. If the clock is right, `trust_clock_until` says so; if \
         it is not, set it",
        written(wall_s),
        written(newest_s)
    )
}

fn written(at_s: i64) -> String {
    Timestamp::from_second(at_s).map_or_else(|_| at_s.to_string(), |at| at.to_string())
}

/// The time that is kept; none where there is no file, or nothing that can be read in it.
fn read(path: &Path) -> Option<i64> {
    let text = match file::read_text(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "cannot be read; the newest segment is believed instead");
            return None;
        }
    };
    let time: Option<Timestamp> = text.trim().parse().ok();
    if time.is_none() {
        tracing::warn!(file = %path.display(), "says no time; the newest segment is believed instead");
    }
    Some(time?.as_second())
}

fn write(path: &Path, newest_s: i64) -> Result<(), FileError> {
    let temporary = path.with_extension(TEMPORARY_EXTENSION);
    // A new file: something else with that name, such as a pipe, would be waited for.
    let _ = fs::remove_file(&temporary);
    let text = written(newest_s) + "\n";
    let made = File::create_new(&temporary).and_then(|mut file| file.write_all(text.as_bytes()));
    made.map_err(FileError::at(&temporary))?;
    publish_file(&temporary, path)
}

#[cfg(test)]
mod tests;
