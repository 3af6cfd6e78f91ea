//! Backup and restore as a user does them: of a pipeline that goes on running.

use std::{fs, path::Path, process::Command};

use fleetps_ingestor::{backup, catalog::SegmentFolder, history::History};

use fleetps_nats::server::{Part, public_key_in};

use crate::{
    console::until,
    program::{Running, fleetps},
};

/// Segments come, are merged and go as fast as they can.
const SETTINGS: &str = "[history]\nseal_interval = \"100ms\"\nupkeep_interval = \"50ms\"\nmerge_fresh_count = 3\n\
    unlink_delay = \"1s\"\n";
/// The values that two histories must share.
const EVERYTHING: &str = "SELECT concat_ws(' ', (SELECT count(*) FROM process_sample), (SELECT count(*) FROM process), \
    (SELECT count(*) FROM host_sample), (SELECT sum(hash(s)) FROM process_sample s))";

/// Runs a command of `fleetps` that must do its work, and returns what it wrote.
fn run(data: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fleetps")).arg("--data").arg(data).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The one text that `sql` finds. Not asked of the console: on a busy machine its deadline passes.
fn value(data: &Path, sql: &str) -> String {
    let mut found = None;
    until("the history can be read", || {
        let database = History::open(&data.join("history")).and_then(|history| history.database());
        found = database.ok().and_then(|database| database.query_row(sql, [], |row| row.get(0)).ok());
        found.is_some()
    });
    found.unwrap()
}

/// How many snapshots the names of segments say: enough to wait for, and quick to know.
fn named(data: &Path) -> u64 {
    let catalog = SegmentFolder::scan(&data.join("history"));
    let current = catalog.map(|catalog| catalog.current).unwrap_or_default();
    current.iter().map(|segment| segment.name.last_sequence - segment.name.first_sequence + 1).sum()
}

/// How many snapshots are stored.
fn samples(data: &Path) -> u64 {
    value(data, "SELECT count(*)::VARCHAR FROM host_sample").parse().unwrap()
}

#[test]
fn a_backup_under_load_is_whole_and_a_restored_one_is_the_same_to_the_byte_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let [data, settings, saved, restored] =
        ["data", "settings.toml", "saved", "restored"].map(|name| folder.path().join(name));
    fs::write(&settings, SETTINGS).unwrap();
    let arguments = ["--config", settings.to_str().unwrap(), "--demo", "20", "--auth", "on"];
    let running = Running::start(&data, &arguments);
    until("some history", || named(&data) > 50);

    let arguments = ["--config", settings.to_str().unwrap(), "backup", saved.to_str().unwrap()];
    // The broker's own records are in it as well.
    run(&data, &["host", "group", "here", "env=prod"]);
    let first = run(&data, &arguments);
    assert!(first.contains("reaches until"), "{first}");
    no_live_secret_in(&data, &saved);
    // Again into the same folder, while everything has changed.
    let before = samples(&data);
    until("more history", || named(&data) > before + 50);
    run(&data, &arguments);
    let checked = run(&data, &["restore", "--check", saved.to_str().unwrap()]);
    assert!(checked.contains("can be restored"), "{checked}");
    let in_backup = samples(&saved);
    assert!(in_backup > before, "{in_backup} samples, and {before} were there before");
    until("the original goes on", || named(&data) > in_backup);
    running.stop();

    // A backup of an idle pipeline holds everything.
    run(&data, &arguments);
    run(&restored, &["restore", saved.to_str().unwrap()]);
    for entry in &backup::verify(&saved).unwrap().files {
        if entry.path.starts_with("state/") {
            continue;
        }
        let (copy, original) = (fs::read(restored.join(&entry.path)), fs::read(data.join(&entry.path)));
        // The settings file lay outside of the data folder.
        let original = if entry.path == "fleetps.toml" { fs::read(&settings) } else { original };
        assert_eq!(copy.unwrap(), original.unwrap(), "{}", entry.path);
    }
    assert_eq!(value(&restored, EVERYTHING), value(&data, EVERYTHING));
    let saved_samples = samples(&restored);

    let running = Running::start(&restored, &["--config", settings.to_str().unwrap(), "--demo", "20"]);
    assert!(run(&restored, &["host", "list"]).contains("env=prod"));
    // Its agent has a new key, and its old name.
    let own = public_key_in(&restored, Part::Agent).unwrap();
    assert_ne!(own, public_key_in(&data, Part::Agent).unwrap());
    let listed = run(&restored, &["host", "list"]);
    let here = listed.lines().find(|line| line.starts_with("here ")).unwrap();
    assert!(here.contains("admitted"), "{listed}");
    assert!(!restored.join("state").exists());
    until("new samples are stored", || named(&restored) > saved_samples + 20);
    assert!(samples(&restored) > saved_samples);
    running.stop();
    assert_eq!(value(&restored, "SELECT count(*)::VARCHAR FROM gap"), "0");
}

/// No token or key that opens something is in a backup: neither of this server's, nor of its broker.
fn no_live_secret_in(data: &Path, backup: &Path) {
    let mut secrets = Vec::new();
    let web: serde_json::Value = serde_json::from_slice(&fs::read(data.join("web.json")).unwrap()).unwrap();
    secrets.extend(web["token"].as_str().map(str::to_owned));
    for key in fs::read_dir(data.join("nats/keys")).unwrap() {
        secrets.push(fs::read_to_string(key.unwrap().path()).unwrap().trim().to_owned());
    }
    assert!(secrets.len() > 7, "{}", secrets.len());
    let mut folders = vec![backup.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = fs::read(&path).unwrap();
            for secret in &secrets {
                let is_in = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!is_in, "{} has a secret that works", path.display());
            }
        }
    }
    assert!(files > 5, "{files}");
}

#[test]
fn backups_are_taken_by_themselves_and_readiness_says_when_they_fail() {
    let folder = tempfile::tempdir().unwrap();
    let [data, settings, to] = ["data", "settings.toml", "to"].map(|name| folder.path().join(name));
    // A file lies where the backups are to go.
    fs::write(&to, "").unwrap();
    fs::write(&settings, format!("{SETTINGS}[backup]\nto = {to:?}\nevery = \"1m\"\nkeep = 2\n")).unwrap();
    let arguments = ["--config", settings.to_str().unwrap()];
    let running = Running::start(&data, &arguments);
    let backup_of = |running: &Running, is_right: &dyn Fn(&serde_json::Value) -> bool| {
        running.until("readiness tells", "/readyz", |answer| is_right(&answer["backup"]).then_some(()));
    };
    backup_of(&running, &|backup| {
        backup["ok"] == false
            && backup["problem"].as_str().is_some_and(|problem| problem.contains("no good backup"))
    });
    running.stop();
    fs::remove_file(&to).unwrap();
    let running = Running::start(&data, &arguments);
    backup_of(&running, &|backup| backup["ok"] == true);
    running.stop();
    let made: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    let checked = run(&data, &["restore", "--check", made[0].to_str().unwrap()]);
    assert!(checked.contains("can be restored"), "{checked}");
    assert!(made[0].join("fleetps.toml").exists() && made[0].join("state/hosts.json").exists());
}

#[test]
fn a_damaged_backup_is_refused_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let output = fleetps(&folder.path().join("data")).args(["restore", "/nowhere"]).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("/nowhere/manifest.json is no complete backup"), "{said}");
    assert!(!folder.path().join("data").exists());
}
