//! What is learned of a host over hours and days, where some rule asks for it.

use fleetps_nats::model::SnapshotPair;

use super::{
    extremes::Extremes,
    growth::Growths,
    measured::Values,
    memories::Memories,
    presence::{Presences, Seen},
    rule::{Measure, Over, Rule},
};

/// How often processes are looked at, in µs: whatever is learned of them takes many minutes, and there are hundreds.
const LOOK_US: i64 = 30_000_000;

/// What is learned of a host.
#[derive(Debug, Clone, Default)]
pub(super) struct Learned {
    /// The time since its processes were looked at, in ms.
    pub(super) waited_ms: u64,
    /// How its file systems have grown.
    pub(super) growths: Growths,
    /// How the memory of its processes has grown.
    pub(super) memories: Memories,
    /// What its figures were in the last week.
    pub(super) extremes: Extremes,
    /// The services that it has always.
    pub(super) services: Presences,
    /// The programs that it has always.
    pub(super) programs: Presences,
}

/// What rules ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lessons {
    growths: bool,
    memories: bool,
    extremes: bool,
    services: bool,
    programs: bool,
}

impl Lessons {
    /// What some of `rules` asks for.
    pub(super) fn of<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Self {
        let mut lessons = Self::default();
        for rule in rules {
            match (rule.measure, rule.over) {
                (Measure::DiskFullIn, _) => lessons.growths = true,
                (Measure::MemoryFullIn, _) => lessons.memories = true,
                (Measure::Unusual, _) => lessons.extremes = true,
                (Measure::Gone, Over::Program) => lessons.programs = true,
                (Measure::Gone, _) => lessons.services = true,
                _ => {}
            }
        }
        lessons
    }
}

impl Learned {
    /// Takes note of the latest snapshot of `pair` with these values, which was captured `since_ms` after the one before at
    /// `before_us` (absent after a gap).
    pub(super) fn note(
        &mut self,
        lessons: Lessons,
        pair: &SnapshotPair,
        values: &dyn Values,
        (before_us, since_ms): (i64, Option<u64>),
    ) {
        let snapshot = pair.latest();
        if lessons.growths {
            self.growths.note(snapshot);
        }
        if lessons.extremes {
            self.extremes.note(pair, since_ms);
        }
        let since_ms = since_ms.map(|since_ms| since_ms.saturating_add(self.waited_ms));
        self.waited_ms = since_ms.unwrap_or_default();
        let is_due = before_us.div_euclid(LOOK_US) != snapshot.captured_at_us.div_euclid(LOOK_US);
        if since_ms.is_some() && !is_due {
            return;
        }
        self.waited_ms = 0;
        if lessons.memories {
            self.memories.note(snapshot);
        }
        if lessons.services {
            self.services.note(&Seen::of(snapshot, values.present(Over::Unit), since_ms));
        }
        if lessons.programs {
            self.programs.note(&Seen::of(snapshot, values.present(Over::Program), since_ms));
        }
    }

    /// Forgets what no rule asks for.
    pub(super) fn keep(&mut self, lessons: Lessons) {
        if !lessons.growths {
            self.growths = Growths::default();
        }
        if !lessons.memories {
            self.memories = Memories::default();
        }
        if !lessons.extremes {
            self.extremes = Extremes::default();
        }
        if !lessons.services {
            self.services = Presences::default();
        }
        if !lessons.programs {
            self.programs = Presences::default();
        }
    }

    /// What is always there, as a rule about what is gone looks at it.
    pub(super) fn present(&self, over: Over) -> &Presences {
        if over == Over::Program { &self.programs } else { &self.services }
    }
}

#[cfg(test)]
#[path = "learned_tests.rs"]
mod tests;
