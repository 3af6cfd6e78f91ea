//! Making a backup.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use fleetps_nats::lock::FolderLock;

use super::{BackupError, Entry, Manifest, StateFile, files, state};
use crate::{
    audit::{AuditFolder, AuditName},
    catalog::SegmentFolder,
    history::History,
    segment::{Fault, SegmentName, TEMPORARY_EXTENSION},
};

/// Where the segments are.
pub(super) const HISTORY: &str = "history";
/// Files that every start makes anew, or that belong to this machine's run alone.
const MADE_ANEW: [&str; 10] = [
    "lock",
    // The token of the server that runs.
    "web.json",
    // A backup has the latest state as files of its own.
    super::saved::SAVED_STATES,
    // The broker's keys: a thief could connect as its ingestor, or its administrator.
    "nats/keys",
    HISTORY,
    "nats/way.json",
    "nats/jetstream",
    "nats/ports",
    "nats/nats-server.conf",
    "nats/nats-server.log",
];
/// The settings file's name in a backup and in a data folder made from it.
const SETTINGS: &str = "fleetps.toml";
/// How often the list of segments may change during a backup: it does about every half minute, and after the first time
/// only new segments are left to copy.
const MAX_LISTINGS: usize = 10;

/// The result of a backup.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The manifest that was written.
    pub manifest: Manifest,
    /// How many of its files had to be copied.
    pub copied: usize,
}

/// Copies what the folder `data` keeps into `backup`, which may hold an earlier backup of it. `settings` is copied as
/// `fleetps.toml`, where there is a file with settings; `state` is what the broker keeps;
/// without it, what an earlier backup has of that stays.
///
/// # Errors
/// When something cannot be read or written; the backup is then not complete, and says so when it is to be restored.
pub fn take(
    data: &Path,
    settings: Option<&Path>,
    state: Option<&[StateFile]>,
    backup: &Path,
) -> Result<Taken, BackupError> {
    let earlier = Manifest::read(backup).map(|earlier| earlier.files).unwrap_or_default();
    take_over(&earlier, data, settings, state, backup)
}

/// The same into a folder that has the files of the `earlier` backup.
pub(super) fn take_over(
    earlier: &[Entry],
    data: &Path,
    settings: Option<&Path>,
    state: Option<&[StateFile]>,
    backup: &Path,
) -> Result<Taken, BackupError> {
    if !data.join(HISTORY).is_dir() {
        return Err(BackupError::NoData(data.to_owned()));
    }
    files::make_private_folder(backup)?;
    let (data, backup) = apart(data, backup)?;
    let _lock = FolderLock::take(&backup)?;
    // There too in the first half minute, when nothing is sealed yet.
    files::make_private_folder(&backup.join(HISTORY))?;
    let mut copies = copy_segments(&data, &backup)?;
    let is_kept = |path: &str| {
        let is_replaced = path == SETTINGS && settings.is_some();
        !MADE_ANEW.contains(&path) && !is_replaced && !path.ends_with(TEMPORARY_EXTENSION)
    };
    for path in files::list(&data, &is_kept)? {
        copies.push(files::copy(&data, &backup, &path)?);
    }
    copies.extend(match state {
        Some(state) => state.iter().map(|file| write_state(&backup, file)).collect::<Result<Vec<_>, _>>()?,
        None => earlier_state(&backup)?,
    });
    if let Some(settings) = settings {
        let mut file = fs::File::open(settings).map_err(BackupError::at(settings))?;
        let (bytes, sha256) = files::write(&backup.join(SETTINGS), &mut file, None)?;
        copies.push((Entry { path: SETTINGS.to_owned(), bytes, sha256 }, true));
    }
    let copied = copies.iter().filter(|(_, is_new)| *is_new).count();
    let mut entries: Vec<_> = copies.into_iter().map(|(entry, _)| entry).collect();
    entries.sort_unstable_by(|left, right| left.path.cmp(&right.path));
    let history_to_us = History::open(&backup.join(HISTORY))?.kept().last_us;
    let manifest = Manifest::new(entries, history_to_us);
    for folder in manifest.folders() {
        files::sync_folder(&backup.join(folder))?;
    }
    manifest.write(&backup)?;
    remove_the_rest(&backup, earlier, &manifest)?;
    Ok(Taken { manifest, copied })
}

fn write_state(backup: &Path, StateFile { path, json }: &StateFile) -> Result<(Entry, bool), BackupError> {
    let target = backup.join(path);
    if let Some(folder) = target.parent() {
        files::make_private_folder(folder)?;
    }
    let (bytes, sha256) = files::write(&target, &mut json.as_slice(), None)?;
    Ok((Entry { path: path.clone(), bytes, sha256 }, true))
}

fn earlier_state(backup: &Path) -> Result<Vec<(Entry, bool)>, BackupError> {
    let paths = files::list(backup, &|path| Path::new(path).starts_with(state::FOLDER))?;
    paths.iter().map(|path| Ok((files::measure(backup, path)?, false))).collect()
}

/// Both folders in full, which must not lie in each other.
fn apart(data: &Path, backup: &Path) -> Result<(PathBuf, PathBuf), BackupError> {
    let data = fs::canonicalize(data).map_err(BackupError::at(data))?;
    let backup = fs::canonicalize(backup).map_err(BackupError::at(backup))?;
    if data.starts_with(&backup) || backup.starts_with(&data) {
        return Err(BackupError::Nested { backup, data });
    }
    Ok((data, backup))
}

/// Copies the segments that one listing names.
fn copy_segments(data: &Path, backup: &Path) -> Result<Vec<(Entry, bool)>, BackupError> {
    for _ in 0..MAX_LISTINGS {
        let SegmentFolder { current, damaged, skipped, .. } = SegmentFolder::scan(&data.join(HISTORY))?;
        let current = current.iter().map(|segment| segment.name.to_string());
        let audit = AuditFolder::scan(&data.join(HISTORY))?;
        // Segments of a newer version are copied like the rest.
        let newer = skipped.iter().filter(|file| matches!(file.fault, Fault::OtherVersion(_)));
        let newer_audit = audit.skipped.iter().filter(|file| matches!(file.fault, Fault::OtherVersion(_)));
        // Quarantined files tell a restored history what is missing.
        let names = current
            .chain(newer.map(|file| file.file_name.clone()))
            .chain(newer_audit.map(|file| file.file_name.clone()))
            .chain(damaged.iter().map(SegmentName::damaged_file_name))
            .chain(audit.current.iter().map(AuditName::to_string))
            .chain(audit.damaged.iter().map(AuditName::damaged_file_name));
        let copies = names.map(|name| files::copy(data, backup, &format!("{HISTORY}/{name}"))).collect();
        match copies {
            Ok(copies) => return Ok(copies),
            // Merged with others or too old since it was listed.
            Err(BackupError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(BackupError::Unsteady(MAX_LISTINGS))
}

/// Removes what the `earlier` backup had and this one has not, and what one left that was broken off. Whatever else is in the folder
/// is somebody's, or another backup.
fn remove_the_rest(backup: &Path, earlier: &[Entry], manifest: &Manifest) -> Result<(), BackupError> {
    let kept: BTreeSet<_> = manifest.files.iter().map(|entry| entry.path.as_str()).collect();
    let had: BTreeSet<_> = earlier.iter().map(|entry| entry.path.as_str()).collect();
    let in_own_folder =
        |path: &str| [HISTORY, state::FOLDER].iter().any(|own| Path::new(path).starts_with(own));
    let may_be_own =
        |path: &str| in_own_folder(path) || had.iter().any(|had| Path::new(had).starts_with(path));
    let is_own =
        |path: &str| had.contains(path) || is_segment(path) || Path::new(path).starts_with(state::FOLDER);
    for path in files::list(backup, &may_be_own)?
        .into_iter()
        .filter(|path| is_own(path) && !kept.contains(path.as_str()))
    {
        let path = backup.join(path);
        fs::remove_file(&path).map_err(BackupError::at(&path))?;
    }
    Ok(())
}

/// Whether a file of the history is called as fleetps calls its own, or as one that is not whole yet.
fn is_segment(path: &str) -> bool {
    let Some(name) = Path::new(path).strip_prefix(HISTORY).ok().and_then(Path::to_str) else { return false };
    let name = name.strip_suffix(TEMPORARY_EXTENSION).and_then(|name| name.strip_suffix('.')).unwrap_or(name);
    let of_process_samples = SegmentName::parse(name).or_else(|| SegmentName::parse_newer(name));
    let of_audit = AuditName::parse(name).or_else(|| AuditName::parse_damaged(name));
    of_process_samples.or_else(|| SegmentName::parse_damaged(name)).is_some() || of_audit.is_some()
}
