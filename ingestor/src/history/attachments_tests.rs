//! Segments are attached when questions need them, never more than may be, and answers are as if all were attached.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use fastrand::Rng;
use fleetps_nats::{HostName, Snapshot};

use super::*;
use crate::{
    catalog::SegmentCatalog,
    history::{History, Span},
    segment::{SegmentRows, seal},
};

const FEW: AttachBounds = AttachBounds { kept: 3, most: 64 };
/// Sequences of a segment, one each second.
const LENGTH: u64 = 10;
/// Threads that ask.
const ASKERS: usize = 4;
/// Changes of the folder while they ask.
const CHANGES: usize = 40;

fn host() -> HostName {
    "host".parse().unwrap()
}

/// Seals the segments `first..end` as one: each has a snapshot every second.
fn seal_range(folder: &Path, first: u64, end: u64) -> SegmentName {
    let mut rows = SegmentRows::new(0, 1_000, 1 + first * LENGTH, at_us(1 + first * LENGTH));
    for sequence in 1 + first * LENGTH..=end * LENGTH {
        let captured_at_us = at_us(sequence);
        let snapshot = Snapshot { captured_at_us, interval_ms: 1_000, ..Snapshot::default() };
        rows.push(sequence, captured_at_us, &host(), &snapshot);
    }
    seal(folder, &mut rows).unwrap()
}

fn seal_each(folder: &Path, count: u64) -> Vec<SegmentName> {
    (0..count).map(|number| seal_range(folder, number, number + 1)).collect()
}

fn at_us(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap() * 1_000_000
}

fn all_of(first: u64, end: u64) -> BTreeSet<u64> {
    (1 + first * LENGTH..=end * LENGTH).collect()
}

/// The sequences of snapshots within a span, read from rows.
fn sequences(history: &History, span: Span) -> Result<BTreeSet<u64>, HistoryError> {
    history.ask(|reading| {
        let rows = reading.relation("host_sample", &reading.overlapping(Some(&host()), span))?;
        let sql =
            format!("SELECT epoch_us(captured_at) // 1000000 FROM {rows} WHERE epoch_us(captured_at) BETWEEN $1 AND $2 - 1");
        let mut statement = reading.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([span.from_us, span.to_us], |row| row.get(0))?;
        Ok(rows.collect::<duckdb::Result<_>>()?)
    })
}

const EVERYTHING: Span = Span { from_us: 0, to_us: i64::MAX / 2 };

/// The span of some segments.
fn span_of(first: u64, end: u64) -> Span {
    Span { from_us: at_us(1 + first * LENGTH), to_us: at_us(end * LENGTH) + 1 }
}

/// Files of a folder that this process has open.
fn open_files(folder: &Path) -> usize {
    let files = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).filter(|path| path.starts_with(folder)).count()
}

#[test]
fn no_more_than_the_bound_stay_attached_and_prepared_statements_hold_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    seal_each(&folder, 12);
    let history = History::open_bounded(&folder, FEW).unwrap();
    let mut rng = Rng::with_seed(1);
    for round in 0..200 {
        let first = rng.u64(0..12);
        let end = rng.u64(first + 1..=(first + 3).min(12));
        assert_eq!(sequences(&history, span_of(first, end)).unwrap(), all_of(first, end), "round {round}");
        let attached = history.state().engine.attachments.len();
        assert!(attached <= 5, "{attached} are attached");
    }
    // All at once is more than is kept, and allowed.
    assert_eq!(sequences(&history, EVERYTHING).unwrap(), all_of(0, 12));
    history.refresh().unwrap();
    assert_eq!(history.state().engine.attachments.len(), FEW.kept);
    if cfg!(target_os = "linux") {
        assert_eq!(open_files(&folder), FEW.kept);
    }
}

#[test]
fn a_question_that_needs_more_than_may_be_attached_says_so_and_the_next_one_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    seal_each(folder.path(), 8);
    let history = History::open_bounded(folder.path(), AttachBounds { kept: 2, most: 5 }).unwrap();
    for _ in 0..2 {
        let refused = sequences(&history, EVERYTHING).unwrap_err();
        assert!(matches!(refused, HistoryError::TooManySegments { most: 5 }), "{refused}");
        assert_eq!(sequences(&history, span_of(1, 6)).unwrap(), all_of(1, 6));
        assert_eq!(history.missing_segments(), []);
    }
    // One after the other they need not be attached at once.
    let samples = history.ask(|reading| {
        let held = reading.state.index.of_host(&host()).iter();
        let each = held.map(|held| Ok(reading.sample_index(held.segment(), &host())?.all().len()));
        each.sum::<Result<usize, HistoryError>>()
    });
    assert_eq!(samples.unwrap(), 80);
}

#[test]
fn what_is_not_what_its_name_says_is_found_when_it_is_attached() {
    let folder = tempfile::tempdir().unwrap();
    let names = seal_each(folder.path(), 3);
    drop(SegmentCatalog::open(folder.path()).unwrap());
    // The size and the time of modification say that it is the same.
    let path = |place: usize| folder.path().join(names[place].to_string());
    let modified = path(1).metadata().unwrap().modified().unwrap();
    let (bytes, mut other) = (path(1).metadata().unwrap().len(), fs::read(path(2)).unwrap());
    other.resize(usize::try_from(bytes).unwrap(), 0);
    fs::remove_file(path(1)).unwrap();
    fs::write(path(1), other).unwrap();
    File::open(path(1)).unwrap().set_modified(modified).unwrap();
    let history = History::open_bounded(folder.path(), FEW).unwrap();
    assert_eq!((history.missing_segments(), history.state().engine.attachments.len()), (Vec::new(), 0));
    let expected: BTreeSet<u64> = all_of(0, 3).difference(&all_of(1, 2)).copied().collect();
    assert_eq!(sequences(&history, EVERYTHING).unwrap(), expected);
    let missing: Vec<String> =
        history.missing_segments().into_iter().map(|missing| missing.segment).collect();
    assert_eq!(missing, [names[1].to_string()]);
}

#[test]
fn a_folder_is_not_listed_again_until_something_in_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    seal_range(folder.path(), 0, 1);
    let history = History::open_bounded(folder.path(), FEW).unwrap();
    let is_trusted = || history.following.lock().is_up_to_date(folder.path());
    // Something may have come in the same moment.
    assert!(!is_trusted());
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(10);
    let age = || File::open(folder.path()).unwrap().set_modified(long_ago).unwrap();
    age();
    history.refresh().unwrap();
    assert!(is_trusted());
    seal_range(folder.path(), 1, 2);
    assert!(!is_trusted());
    history.refresh().unwrap();
    assert_eq!(sequences(&history, EVERYTHING).unwrap(), all_of(0, 2));
    // A file that cannot be read may be readable again without a trace in the folder.
    fs::write(folder.path().join(SegmentRows::new(0, 1_000, 500, 0).name().to_string()), "no segment")
        .unwrap();
    age();
    history.refresh().unwrap();
    assert!(!is_trusted());
}

/// What a folder has, as far as the askers may know.
#[derive(Debug, Clone, Default)]
struct Model {
    certain: BTreeSet<u64>,
    /// Damaged: still in memory, or noticed and left out.
    doubtful: BTreeSet<u64>,
}

struct Shared {
    history: History,
    models: Mutex<Vec<Model>>,
    /// How many changes the history has been told of.
    told: AtomicUsize,
    is_done: AtomicBool,
}

/// Asks until the changes are over. Every answer is right as of some moment while it was asked for.
fn ask_on(shared: &Shared, seed: u64) -> usize {
    let (mut rng, mut count) = (Rng::with_seed(seed), 0);
    while !shared.is_done.load(SeqCst) || count == 0 {
        let first = rng.u64(0..20);
        let end = rng.u64(first + 1..=20);
        let told = shared.told.load(SeqCst);
        let found = sequences(&shared.history, span_of(first, end)).unwrap();
        let models = shared.models.lock().unwrap()[told..].to_vec();
        let wanted = all_of(first, end);
        let fits = |model: &Model| {
            let certain: BTreeSet<u64> = model.certain.intersection(&wanted).copied().collect();
            let rest: BTreeSet<u64> = found.difference(&certain).copied().collect();
            found.is_superset(&certain) && model.doubtful.is_superset(&rest)
        };
        assert!(models.iter().any(fits), "seed {seed}: {first}..{end}: {found:?} is none of {models:?}");
        count += 1;
    }
    count
}

/// Changes the folder: segments come, are merged, damaged, and removed.
struct Changer {
    folder: PathBuf,
    rng: Rng,
    catalog: Option<SegmentCatalog>,
    /// The current segments, by their ends, and what replaced ones are still there.
    segments: Vec<(u64, u64, SegmentName)>,
    replaced: Vec<SegmentName>,
    model: Model,
}

impl Changer {
    /// What is to be done to the folder, which the model has before it is done.
    fn plan(&mut self) -> Box<dyn FnOnce(&mut Self)> {
        let (count, end) = (self.segments.len(), self.segments.last().map_or(0, |(_, end, _)| *end));
        match self.rng.u8(0..10) {
            0..=4 if end < 20 => {
                self.model.certain.extend(all_of(end, end + 1));
                Box::new(move |this| {
                    let name = seal_range(&this.folder, end, end + 1);
                    this.segments.push((end, end + 1, name));
                    this.tell(&[], name);
                })
            }
            5 | 6 if count >= 3 => {
                let place = self.rng.usize(0..count - 1);
                let ((first, middle, _), (next, end, _)) = (self.segments[place], self.segments[place + 1]);
                let is_whole = all_of(first, end).is_subset(&self.model.certain);
                if middle != next || !is_whole {
                    return Box::new(|_| {});
                }
                Box::new(move |this| {
                    let name = seal_range(&this.folder, first, end);
                    let sources = this.segments.splice(place..place + 2, [(first, end, name)]);
                    let sources: Vec<_> = sources.map(|(_, _, name)| name).collect();
                    this.tell(&sources, name);
                    this.replaced.extend(sources);
                })
            }
            7 => Box::new(|this| {
                for name in this.replaced.drain(..) {
                    fs::remove_file(this.folder.join(name.to_string())).unwrap();
                }
            }),
            8 if count >= 4 && self.replaced.is_empty() => {
                let (first, end, name) = self.segments.remove(0);
                self.model.certain = self.model.certain.difference(&all_of(first, end)).copied().collect();
                self.model.doubtful = self.model.doubtful.difference(&all_of(first, end)).copied().collect();
                Box::new(move |this| fs::remove_file(this.folder.join(name.to_string())).unwrap())
            }
            9 if count >= 4 && self.replaced.is_empty() => {
                let (first, end, name) = self.segments[self.rng.usize(0..count)];
                self.model.certain = self.model.certain.difference(&all_of(first, end)).copied().collect();
                self.model.doubtful.extend(all_of(first, end));
                Box::new(move |this| this.damage(name))
            }
            _ => Box::new(|_| {}),
        }
    }

    /// As an ingestor does that writes its log.
    fn tell(&self, sources: &[SegmentName], name: SegmentName) {
        if let Some(catalog) = &self.catalog {
            catalog.replace(sources, &[(name, 1)]).unwrap();
        }
    }

    /// Writes over a file, which keeps its size, in place.
    fn damage(&mut self, name: SegmentName) {
        use std::os::unix::fs::{FileExt, PermissionsExt};
        let path = self.folder.join(name.to_string());
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        let from = if self.rng.bool() { 0 } else { 3 * 4096 };
        file.write_all_at(&vec![0xa5; usize::try_from(length - from).unwrap()], from).unwrap();
    }
}

#[test]
#[cfg(unix)]
fn many_threads_hear_what_there_is_while_segments_come_and_go_and_three_are_attached() {
    // With an ingestor that writes its log, and without.
    for seed in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let catalog = (seed % 2 == 0).then(|| SegmentCatalog::open(&folder).unwrap());
        let history = History::open_bounded(&folder, FEW).unwrap();
        let shared = Shared {
            history,
            models: Mutex::new(vec![Model::default()]),
            told: AtomicUsize::new(0),
            is_done: AtomicBool::new(false),
        };
        let (segments, replaced, model) = Default::default();
        let rng = Rng::with_seed(seed);
        let mut changer = Changer { folder: folder.clone(), rng, catalog, segments, replaced, model };
        thread::scope(|scope| {
            let ask = |asker| ask_on(&shared, 1 + seed * 100 + asker as u64);
            let askers: Vec<_> = (0..ASKERS).map(|asker| scope.spawn(move || ask(asker))).collect();
            for change in 1..=CHANGES {
                let act = changer.plan();
                shared.models.lock().unwrap().push(changer.model.clone());
                act(&mut changer);
                shared.history.refresh().unwrap();
                shared.told.store(change, SeqCst);
                if askers.iter().any(thread::ScopedJoinHandle::is_finished) {
                    break;
                }
            }
            shared.is_done.store(true, SeqCst);
            let counts: Vec<usize> = askers.into_iter().map(|asker| asker.join().unwrap()).collect();
            assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        });
        // What is there now is read anew, and no pin is left.
        let found = sequences(&shared.history, EVERYTHING).unwrap();
        assert!(found.is_superset(&changer.model.certain), "seed {seed}");
        shared.history.refresh().unwrap();
        let attached = shared.history.state().engine.attachments.len();
        assert!(attached <= FEW.kept, "{attached} are attached");
    }
}
