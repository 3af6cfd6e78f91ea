//! Backups on literals: complete, repeatable, and worthless as soon as anything of them has changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fleetps_ingestor::{
    backup::{self, BackupError, BackupFolder, MANIFEST},
    catalog::SegmentFolder,
    segment::{SegmentRows, seal},
};
use fleetps_nats::snapshot::{Process, Snapshot};

/// A data folder with two segments, a key and what every start makes anew.
fn data() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    for file in [
        "lock",
        "nats/keys/api.nk",
        "tls/ca.key",
        "web.json",
        "state-backups/00000000000000000001.json",
        "nats/jetstream/1.blk",
        "nats/nats-server.log",
        "agent/boot.json",
        "x.tmp",
    ] {
        let file = data.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "something").unwrap();
    }
    #[cfg(unix)]
    set_mode(&data.path().join("tls/ca.key"), 0o600);
    add_segment(data.path(), 1);
    add_segment(data.path(), 2);
    fs::write(data.path().join("history/attach.sql"), "-- of another place").unwrap();
    data
}

fn add_segment(data: &Path, sequence: u64) {
    let history = data.join("history");
    fs::create_dir_all(&history).unwrap();
    let mut rows = SegmentRows::new(0, 1_000, sequence, 5_000_000);
    let processes = vec![Process { pid: 1, name: "init".to_owned(), state: 'S', ..Process::default() }];
    let snapshot = Snapshot {
        boot_id: "boot".to_owned(),
        run_id: "run".to_owned(),
        sequence,
        processes,
        ..Snapshot::default()
    };
    rows.push(sequence, 5_000_000, &"host".parse().unwrap(), &snapshot);
    seal(&history, &mut rows).unwrap();
}

/// A backup of `data` in a folder of its own.
fn backup_of(data: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    backup::take(data, None, None, folder.path()).unwrap();
    folder
}

fn paths(manifest: &backup::Manifest) -> Vec<&str> {
    manifest.files.iter().map(|entry| entry.path.as_str()).collect()
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
}

#[test]
fn a_backup_has_the_segments_the_keys_and_the_settings_and_nothing_that_is_made_anew() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let settings = data.path().join("x.tmp");
    let taken = backup::take(data.path(), Some(&settings), None, folder.path()).unwrap();
    let found = paths(&taken.manifest);
    assert_eq!((found.len(), taken.copied), (5, 5), "{found:?}");
    assert_eq!((found[0], found[1], found[4]), ("agent/boot.json", "fleetps.toml", "tls/ca.key"));
    assert!(found[2].starts_with("history/fresh-") && found[3].starts_with("history/fresh-"));
    assert_eq!(backup::verify(folder.path()).unwrap(), taken.manifest);
    #[cfg(unix)]
    assert_eq!(mode(&folder.path().join("tls")), 0o700);
}

#[test]
fn each_backup_of_a_folder_of_them_is_whole_and_the_oldest_go() {
    let (data, to) = (data(), tempfile::tempdir().unwrap());
    let folder = BackupFolder::new(to.path());
    fs::create_dir(to.path().join("2026-01-01T00-00-00.000Z.unfinished")).unwrap();
    fs::write(to.path().join("not ours"), "").unwrap();
    let mut made = Vec::new();
    for round in 0..5 {
        add_segment(data.path(), 3 + round);
        let taken = folder.take(data.path(), None, None, 3).unwrap();
        // Files of the earlier backup are linked.
        assert_eq!(taken.copied, if round == 0 { 5 } else { 1 });
        let (newest, manifest) = folder.newest().unwrap();
        assert_eq!(manifest, taken.manifest);
        assert_eq!(backup::check(&newest).unwrap(), manifest);
        made.push(newest);
    }
    let is_there: Vec<_> = made.iter().map(|path| path.exists()).collect();
    assert_eq!(is_there, [false, false, true, true, true]);
    let mut names: Vec<_> =
        fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!((names.len(), names[3].to_str()), (4, Some("not ours")));
    // One that is damaged in place is mended by the next, which does not take over the damage.
    let path = made[4].join("agent/boot.json");
    fs::write(&path, "nothing").unwrap();
    assert!(matches!(backup::check(&made[4]), Err(BackupError::Damaged { .. })));
    folder.take(data.path(), None, None, 3).unwrap();
    backup::check(&folder.newest().unwrap().0).unwrap();
}

#[test]
fn a_backup_from_a_time_to_come_is_not_the_newest_and_goes_first() {
    let (data, to) = (data(), tempfile::tempdir().unwrap());
    let folder = BackupFolder::new(to.path());
    let take = || {
        folder.take(data.path(), None, None, 2).unwrap();
        folder.newest().unwrap().0
    };
    // Made while the clock was wrong.
    let ahead = to.path().join("2999-01-01T00-00-00.000Z");
    fs::rename(take(), &ahead).unwrap();
    let first = take();
    assert!(first != ahead && ahead.exists());
    assert_ne!(take(), first);
    assert!(first.exists() && !ahead.exists());
}

#[test]
fn a_check_finds_what_was_damaged_before_it_was_copied() {
    let data = data();
    let history = data.path().join("history");
    let segment = SegmentFolder::scan(&history).unwrap().current[0].name.to_string();
    let path = history.join(segment);
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    #[cfg(unix)]
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    fs::set_permissions(&path, permissions).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // Beyond the headers, in the blocks.
    for byte in bytes.iter_mut().skip(3 * 4096).step_by(512) {
        *byte ^= 0x55;
    }
    fs::write(&path, bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // It may be refused already when it is taken; where it is not, the checksums of the list agree.
    if backup::take(data.path(), None, None, folder.path()).is_ok() {
        backup::verify(folder.path()).unwrap();
        let refusal = backup::check(folder.path()).unwrap_err();
        assert!(refusal.to_string().contains("history"), "{refusal}");
    }
}

#[test]
fn a_restored_folder_is_the_same_to_the_byte_and_as_private() {
    let data = data();
    let folder = backup_of(data.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let restored = elsewhere.path().join("not/there/yet");
    let manifest = backup::restore(folder.path(), &restored).unwrap();
    for path in paths(&manifest) {
        assert_eq!(
            fs::read(restored.join(path)).unwrap(),
            fs::read(data.path().join(path)).unwrap(),
            "{path}"
        );
    }
    #[cfg(unix)]
    assert_eq!((mode(&restored), mode(&restored.join("tls/ca.key"))), (0o700, 0o600));
    // An empty folder is as good as none, a used one is not touched.
    let empty = tempfile::tempdir().unwrap();
    backup::restore(folder.path(), empty.path()).unwrap();
    let refusal = backup::restore(folder.path(), &restored).unwrap_err();
    assert!(matches!(refusal, BackupError::NotEmpty(_)), "{refusal}");
}

#[test]
fn a_segment_that_was_set_aside_stays_one_that_is_missing() {
    let data = data();
    let segment = fs::read_dir(data.path().join("history")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|kind| kind == "duckdb")).max().unwrap();
    fs::rename(&segment, segment.with_extension("duckdb.damaged")).unwrap();
    let folder = backup_of(data.path());
    let catalog = SegmentFolder::scan(&folder.path().join("history")).unwrap();
    assert_eq!((catalog.current.len(), catalog.damaged.len()), (1, 1));
}

#[test]
fn a_second_backup_copies_what_is_new_and_drops_what_is_gone() {
    let data = data();
    let folder = backup_of(data.path());
    add_segment(data.path(), 3);
    fs::remove_file(data.path().join("agent/boot.json")).unwrap();
    let taken = backup::take(data.path(), None, None, folder.path()).unwrap();
    assert_eq!((taken.manifest.files.len(), taken.copied), (4, 1));
    assert!(!folder.path().join("agent/boot.json").exists());
    backup::verify(folder.path()).unwrap();
    // What it did not make stays, also a folder of scheduled backups.
    let others = [
        folder.path().join("thesis.txt"),
        folder.path().join("history/notes.txt"),
        folder.path().join("agent/x"),
    ];
    others.iter().for_each(|path| fs::write(path, "mine").unwrap());
    let scheduled = BackupFolder::new(folder.path());
    scheduled.take(data.path(), None, None, 3).unwrap();
    add_segment(data.path(), 4);
    backup::take(data.path(), None, None, folder.path()).unwrap();
    assert!(others.iter().all(|path| path.exists()));
    backup::check(&scheduled.newest().unwrap().0).unwrap();
    // A file damaged meanwhile is not "there already".
    let segment = folder.path().join(&taken.manifest.files[0].path);
    damage(&segment, |bytes| bytes[100] ^= 1);
    assert_eq!(backup::take(data.path(), None, None, folder.path()).unwrap().copied, 1);
    backup::verify(folder.path()).unwrap();
}

fn damage(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

#[test]
fn every_damaged_backup_is_refused_by_the_name_of_the_file_and_nothing_is_restored() {
    let data = data();
    let files: Vec<PathBuf> = {
        let folder = backup_of(data.path());
        paths(&backup::verify(folder.path()).unwrap()).iter().map(PathBuf::from).collect()
    };
    assert_eq!(files.len(), 4);
    let changes: [fn(&Path); 4] = [
        |file| damage(file, |bytes| *bytes.last_mut().unwrap() ^= 1),
        |file| damage(file, |bytes| bytes.truncate(bytes.len() / 2)),
        |file| damage(file, |bytes| bytes.push(0)),
        |file| fs::remove_file(file).unwrap(),
    ];
    for file in files.iter().map(PathBuf::as_path).chain([Path::new(MANIFEST)]) {
        for change in changes {
            let folder = backup_of(data.path());
            change(&folder.path().join(file));
            let elsewhere = tempfile::tempdir().unwrap();
            let refusal = backup::restore(folder.path(), &elsewhere.path().join("data")).unwrap_err();
            let refused = matches!(refusal, BackupError::Damaged { .. } | BackupError::NoManifest { .. });
            assert!(refused && refusal.to_string().contains(file.to_str().unwrap()), "{refusal}");
            assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_manifest_that_was_edited_is_refused() {
    let data = data();
    let edits: [fn(&mut serde_json::Value); 4] = [
        |manifest| drop(manifest["files"].as_array_mut().unwrap().remove(1)),
        |manifest| manifest["history_to_us"] = 5.into(),
        |manifest| manifest["files"][0]["path"] = "../outside".into(),
        |manifest| manifest["format"] = 2.into(),
    ];
    for edit in edits {
        let folder = backup_of(data.path());
        let file = folder.path().join(MANIFEST);
        let mut manifest = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        edit(&mut manifest);
        fs::write(&file, manifest.to_string()).unwrap();
        let refusal = backup::verify(folder.path()).unwrap_err();
        assert!(matches!(refusal, BackupError::NoManifest { .. }), "{refusal}");
    }
}

#[test]
fn a_backup_of_nothing_or_into_itself_is_refused() {
    let (data, nothing) = (data(), tempfile::tempdir().unwrap());
    let refused = |from: &Path, to: &Path| backup::take(from, None, None, to).unwrap_err();
    assert!(matches!(refused(nothing.path(), data.path()), BackupError::NoData(_)));
    assert!(matches!(refused(data.path(), &data.path().join("backup")), BackupError::Nested { .. }));
    assert!(matches!(refused(data.path(), data.path()), BackupError::Nested { .. }));
}
