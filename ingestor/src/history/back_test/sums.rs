//! The sums over processes of one rule, from the spans of a host: each is worked out anew only where a process of it begins or
//! ends a span, and not for every snapshot.
//!
//! It gives what the evaluator would measure of the snapshots themselves, to the last digit: a sum is added up in the order in
//! which a snapshot that is read has its processes, and never by what is added to and taken from it.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
};

use fleetps_nats::{
    HostName,
    model::{Field, FieldRole, process::PROCESS},
    snapshot::Process,
};

use crate::{
    alerts::{Culprit, Key, Measure, Over, Planned, Rule, Total, ValueOf, Values, key_of, largest, name_of},
    fields::facts_with_places,
    filter::{Fields, Figure, Stopped},
    history::{
        HistoryError,
        read_ahead::{KnownProcess, ProcessSpan},
        reading::Reading,
    },
};

/// What a rule asks of the spans of processes.
pub(super) struct SumQuery {
    /// What is added up; processes are counted where it is absent.
    figure: Option<Figure>,
    /// By what the processes of a sum are ranked.
    part: Figure,
    /// The figures that are read, by their places in [`PROCESS`].
    places: BTreeSet<usize>,
    /// The facts of processes that are read, with their places.
    pub(super) facts: Vec<(usize, &'static Field)>,
    /// Whether the filter asks for figures, and not only for what hardly changes of a process.
    pub(super) filters_figures: bool,
}

impl SumQuery {
    /// What `rule` asks; `None` where spans do not say it: rates, ages and parts of the memory change from snapshot to snapshot, and
    /// pids are facts.
    pub(super) fn of(rule: &Rule) -> Option<Self> {
        let figure = match rule.measure {
            Measure::Process(figure) => Some(figure),
            Measure::Count | Measure::Gone => None,
            Measure::Host(_)
            | Measure::Disk
            | Measure::DiskFullIn
            | Measure::MemoryFullIn
            | Measure::Unusual
            | Measure::Silent
            | Measure::RestartLoop
            | Measure::Own(_) => return None,
        };
        let part = figure.or_else(|| Figure::find("cpu"))?;
        let own = rule.filter.own_places()?;
        let of_over = match rule.over {
            Over::Unit => "unit",
            Over::User => "user_name",
            Over::Host | Over::Process | Over::Program | Over::Filesystem => "name",
        };
        let is_gone = rule.measure == Measure::Gone;
        let of_services = ["parent_pid", "container", "pod"];
        let is_read = |(place, field): &(usize, &Field)| {
            own.contains(place)
                || field.name == "name"
                || field.name == of_over
                || (is_gone && of_services.contains(&field.name))
        };
        let facts = facts_with_places().filter(is_read).collect();
        let is_figure =
            |place: &usize| PROCESS.get(*place).is_some_and(|field| field.role == FieldRole::Figure);
        let mut places: BTreeSet<usize> = own.into_iter().filter(is_figure).collect();
        let filters_figures = !places.is_empty();
        // What is gone has no processes to be ranked.
        places.extend(Some(part.own_place()?).filter(|_| !is_gone));
        Some(Self { figure, part, places, facts, filters_figures })
    }

    /// The figures that are read.
    pub(super) fn figures(&self) -> Vec<&'static Field> {
        self.places.iter().filter_map(|place| PROCESS.get(*place)).collect()
    }
}

/// A process as it was for some time, and the sum that it belongs to then.
struct Phase {
    since_us: i64,
    process: Process,
    sum: Option<usize>,
    /// Whether the filter lets it through, where that depends on no figure.
    passes: Option<bool>,
}

/// A process, and what it was.
struct KnownPhases {
    boot: usize,
    phases: Vec<Phase>,
}

/// A span of one phase of a process.
struct Piece {
    process: usize,
    phase: usize,
    /// The sum that it is a part of; absent for a process that only has to be known of.
    sum: Option<usize>,
    first_us: i64,
    last_us: i64,
    value: Option<f64>,
    /// By what it is ranked among those that make the sum what it is.
    part: Option<f64>,
}

/// The processes of one instance in one boot.
struct Sum {
    boot: usize,
    key: Key,
    /// Its pieces, each behind pid and start: in the order in which a snapshot has its processes.
    parts: BTreeSet<(u32, i64, usize)>,
    total: Total,
}

/// The sums of one rule at one moment after the other.
pub(super) struct Sums<'a> {
    rule: &'a Rule,
    boots: HashMap<String, usize>,
    sums: Vec<Sum>,
    by_key: HashMap<(usize, Key), usize>,
    processes: Vec<KnownPhases>,
    /// In the order of their beginnings.
    pieces: Vec<Piece>,
    /// The first piece that has not begun.
    next: usize,
    /// The pieces that go on, by when they end.
    ending: BinaryHeap<Reverse<(i64, usize)>>,
    /// The sums beyond the threshold at which an alert is raised, by boot.
    hit: BTreeSet<(usize, usize)>,
    /// The pieces of each process that go on, by its boot, pid and start; only where single processes are measured.
    present: HashMap<(usize, u32, i64), usize>,
    /// The boot of the moment.
    boot: Option<usize>,
}

impl<'a> Sums<'a> {
    /// The sums of `rule`, which asks for `asked`, over these spans of `host`.
    pub(super) fn of(
        (rule, asked): (&'a Rule, &SumQuery),
        host: &HostName,
        (processes, spans): (Vec<KnownProcess>, Vec<ProcessSpan>),
        reading: &Reading<'_>,
    ) -> Result<Self, HistoryError> {
        let mut sums = Self {
            rule,
            boots: HashMap::new(),
            sums: Vec::new(),
            by_key: HashMap::new(),
            processes: Vec::new(),
            pieces: Vec::with_capacity(spans.len()),
            next: 0,
            ending: BinaryHeap::new(),
            hit: BTreeSet::new(),
            present: HashMap::new(),
            boot: None,
        };
        let mut known: Vec<KnownPhases> = processes.into_iter().map(|known| sums.phases(known)).collect();
        for span in spans {
            if let Some(process) = known.get_mut(span.process) {
                sums.cut(process, &span, asked, (host, reading))?;
            }
        }
        sums.processes = known;
        sums.pieces.sort_by_key(|piece| piece.first_us);
        Ok(sums)
    }

    fn phases(&mut self, known: KnownProcess) -> KnownPhases {
        let count = self.boots.len();
        let boot = *self.boots.entry(known.boot_id).or_insert(count);
        let phase = |(since_us, process)| Phase {
            since_us,
            sum: instance_of(self.rule, &process).map(|key| self.sum(boot, key)),
            process,
            passes: None,
        };
        KnownPhases { boot, phases: known.phases.into_iter().map(phase).collect() }
    }

    fn sum(&mut self, boot: usize, key: Key) -> usize {
        let sums = &mut self.sums;
        *self.by_key.entry((boot, key)).or_insert_with_key(|(boot, key)| {
            sums.push(Sum { boot: *boot, key: key.clone(), parts: BTreeSet::new(), total: Total::Nobody });
            sums.len() - 1
        })
    }

    /// Adds the pieces of a span: one for each phase of its process.
    fn cut(
        &mut self,
        process: &mut KnownPhases,
        span: &ProcessSpan,
        asked: &SumQuery,
        (host, reading): (&HostName, &Reading<'_>),
    ) -> Result<(), HistoryError> {
        let mut end_us = i64::MAX;
        for (number, phase) in process.phases.iter_mut().enumerate().rev() {
            // Before all that is known, a process is what it was first.
            let since_us = if number == 0 { i64::MIN } else { phase.since_us };
            let (first_us, last_us) = (span.first_us.max(since_us), span.last_us.min(end_us));
            end_us = since_us.saturating_sub(1);
            if first_us > last_us {
                continue;
            }
            span.figures.give(&mut phase.process, &asked.places);
            let fields = Fields::of(host.as_str(), &phase.process);
            let passes = match phase.passes.filter(|_| !asked.filters_figures) {
                Some(passes) => passes,
                None => {
                    reading.check()?;
                    self.rule.filter.matches(&fields)
                }
            };
            phase.passes = Some(passes);
            let sum = phase.sum.filter(|_| passes);
            if sum.is_none() && self.rule.over != Over::Process {
                continue;
            }
            let value = asked.figure.map_or(Some(1.0), |figure| figure.of(&fields));
            let (part, process) = (asked.part.of(&fields), span.process);
            self.pieces.push(Piece { process, phase: number, sum, first_us, last_us, value, part });
        }
        Ok(())
    }

    /// Goes on to a moment of the boot `boot_id`.
    pub(super) fn go_to(&mut self, at_us: i64, boot_id: &str) {
        self.boot = self.boots.get(boot_id).copied();
        let mut changed = BTreeSet::new();
        while self.pieces.get(self.next).is_some_and(|piece| piece.first_us <= at_us) {
            changed.extend(self.begin(self.next, at_us));
            self.next += 1;
        }
        while let Some(Reverse((_, place))) = self.ending.peek().copied().filter(|it| it.0.0 < at_us) {
            self.ending.pop();
            changed.extend(self.end(place));
        }
        for sum in changed {
            self.add_up(sum);
        }
    }

    /// Begins a piece, if it does not end before `at_us`; the sum that it changes.
    fn begin(&mut self, place: usize, at_us: i64) -> Option<usize> {
        let piece = self.pieces.get(place).filter(|piece| piece.last_us >= at_us)?;
        self.ending.push(Reverse((piece.last_us, place)));
        if self.rule.over == Over::Process
            && let Some(identity) = self.identity(piece)
        {
            *self.present.entry(identity).or_default() += 1;
        }
        let piece = self.pieces.get(place)?;
        let (pid, started_at_us) = self.process(piece).map(|it| (it.pid, it.started_at_us))?;
        self.sums.get_mut(piece.sum?)?.parts.insert((pid, started_at_us, place));
        piece.sum
    }

    /// Ends a piece; the sum that it changes.
    fn end(&mut self, place: usize) -> Option<usize> {
        let piece = self.pieces.get(place)?;
        if let Some(count) = self.identity(piece).and_then(|identity| self.present.get_mut(&identity)) {
            *count = count.saturating_sub(1);
        }
        let piece = self.pieces.get(place)?;
        let (pid, started_at_us) = self.process(piece).map(|it| (it.pid, it.started_at_us))?;
        self.sums.get_mut(piece.sum?)?.parts.remove(&(pid, started_at_us, place));
        piece.sum
    }

    fn process(&self, piece: &Piece) -> Option<&Process> {
        Some(&self.processes.get(piece.process)?.phases.get(piece.phase)?.process)
    }

    /// Boot, pid and start.
    fn identity(&self, piece: &Piece) -> Option<(usize, u32, i64)> {
        let (boot, process) = (self.processes.get(piece.process)?.boot, self.process(piece)?);
        Some((boot, process.pid, process.start()))
    }

    fn add_up(&mut self, number: usize) {
        let (Some(sum), pieces) = (self.sums.get_mut(number), &self.pieces) else { return };
        let values = sum.parts.iter().filter_map(|(.., place)| pieces.get(*place)).map(|piece| piece.value);
        sum.total = values.fold(Total::Nobody, Total::and);
        let is_hit = sum.total.known().is_some_and(|value| self.rule.threshold.is_hit(value));
        match is_hit {
            true => self.hit.insert((sum.boot, number)),
            false => self.hit.remove(&(sum.boot, number)),
        };
    }
}

/// What a process is counted for: the instance that it belongs to, or for what is gone the name that it makes present.
fn instance_of(rule: &Rule, process: &Process) -> Option<Key> {
    match rule.measure {
        Measure::Gone => name_of(rule.over, process).map(|name| Key::Named(name.to_owned())),
        _ => key_of(rule.over, process),
    }
}

impl Values for Sums<'_> {
    fn values(&self, _: Planned<'_>, known: &[&Key]) -> Result<ValueOf, Stopped> {
        let mut values = ValueOf::new();
        if self.rule.measure == Measure::Count && self.rule.over == Over::Host {
            values.insert(Key::Host, Some(0.0));
        }
        let Some(boot) = self.boot else { return Ok(values) };
        let hit = self.hit.range((boot, 0)..=(boot, usize::MAX)).map(|(_, sum)| *sum);
        let known = known.iter().filter_map(|key| self.by_key.get(&(boot, (*key).clone())).copied());
        // The one value of a host costs nothing, and what no process says may be beyond the threshold as well.
        let of_host = self.by_key.get(&(boot, Key::Host)).copied();
        for sum in hit.chain(known).chain(of_host).filter_map(|sum| self.sums.get(sum)) {
            if sum.total != Total::Nobody {
                values.insert(sum.key.clone(), sum.total.known());
            }
        }
        Ok(values)
    }

    fn present(&self, _: Over) -> Vec<&str> {
        let is_there = |sum: &&Sum| Some(sum.boot) == self.boot && sum.total != Total::Nobody;
        let names = self.sums.iter().filter(is_there).filter_map(|sum| match &sum.key {
            Key::Named(name) => Some(name.as_str()),
            _ => None,
        });
        // Each name has one sum of the boot.
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names
    }

    fn has_process(&self, pid: u32, start: i64) -> bool {
        self.boot.is_some_and(|boot| self.present.get(&(boot, pid, start)).is_some_and(|count| *count > 0))
    }

    fn culprits(&self, _: Planned<'_>, key: &Key) -> Vec<Culprit> {
        let sum = self.boot.and_then(|boot| self.by_key.get(&(boot, key.clone())));
        let Some(sum) = sum.and_then(|sum| self.sums.get(*sum)) else { return Vec::new() };
        let pieces = sum.parts.iter().filter_map(|(.., place)| self.pieces.get(*place));
        largest(pieces.filter_map(|piece| Culprit::of(self.process(piece)?, piece.part)).collect())
    }
}
