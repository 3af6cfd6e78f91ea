//! Files of the data folder that are damaged, empty, or no files: the real program comes up, or says which and what to do.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    chance::{rounds, seeds},
    console::until,
    described::got,
    program::{Running, fleetps},
};

/// The outcome of a start.
enum Started {
    /// It says where to look.
    Up { child: Child, address: String },
    /// It ended and said this.
    Refused(String),
}

fn start(data: &Path, arguments: &[&str]) -> Started {
    let mut command = fleetps(data);
    let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let look = lines.find_map(|line| line.trim().strip_prefix("look ").map(|rest| rest.trim().to_owned()));
    let mut said = child.stderr.take().unwrap();
    match look {
        Some(address) => {
            std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
            Started::Up { child, address }
        }
        None => {
            let mut text = String::new();
            said.read_to_string(&mut text).unwrap();
            assert!(!child.wait().unwrap().success(), "{text}");
            Started::Refused(text)
        }
    }
}

/// The JSON at an address, with any status.
fn json(address: &str, path: &str) -> Option<Value> {
    serde_json::from_str(&got(address, path)?.1).ok()
}

/// Stops a program that is up; asserts that it answers first.
fn answers_and_stops(mut child: Child, address: &str) {
    until("it answers", || json(address, "/healthz").is_some_and(|alive| alive["alive"] == true));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A data folder of a program that ran until it had sampled and sealed.
fn data() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("settings.toml"), "[history]\nseal_interval = \"100ms\"\n").unwrap();
    let settings = data.path().join("settings.toml");
    let running = Running::start(data.path(), &["--config", settings.to_str().unwrap()]);
    let history = data.path().join("history");
    let is_sealed = || {
        fs::read_dir(&history).is_ok_and(|mut files| {
            files.any(|file| file.unwrap().file_name().to_string_lossy().starts_with("fresh-"))
        })
    };
    until("something is sealed", is_sealed);
    running.stop();
    data
}

#[test]
fn pages_come_up_over_a_history_folder_that_is_none_and_say_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let history = data.path().join("history");
    fs::write(&history, "no folder").unwrap();
    let Started::Up { child, address } = start(data.path(), &[]) else { panic!("it did not start") };
    let mut ready = Value::Null;
    until("readiness says it", || {
        ready = json(&address, "/readyz").unwrap_or_default();
        ready["history"]["problem"].as_str().is_some_and(|problem| problem.contains("may read and write"))
    });
    assert!(ready["history"]["problem"].as_str().unwrap().contains(history.to_str().unwrap()), "{ready}");
    until("the present is there", || {
        json(&address, "/api/v1/hosts/here/processes").is_some_and(|page| page["error"].is_null())
    });
    let past = json(&address, "/api/v1/top?from=-1h").unwrap();
    assert!(past["error"].as_str().unwrap().contains("there is no history here to look at: "), "{past}");
    fs::remove_file(&history).unwrap();
    until("it goes on", || json(&address, "/readyz").is_some_and(|ready| ready["ready"] == true));
    answers_and_stops(child, &address);
}

#[test]
fn an_empty_or_broken_key_is_named_and_never_replaced() {
    let data = data();
    let keys = data.path().join("nats/keys");
    for (key, stops_it) in [("ingestor.nk", true), ("issuer.nk", true), ("agent.nk", false)] {
        let path = keys.join(key);
        let whole = fs::read(&path).unwrap();
        let broken: [&dyn Fn(); 3] =
            [&|| fs::write(&path, "").unwrap(), &|| fs::write(&path, &whole[..20]).unwrap(), &|| {
                assert!(Command::new("mkfifo").arg(&path).status().unwrap().success())
            }];
        for breaks in broken {
            fs::remove_file(&path).unwrap();
            breaks();
            let before = fs::symlink_metadata(&path).unwrap().len();
            match start(data.path(), &[]) {
                Started::Up { child, address } => {
                    assert!(!stops_it, "{key}");
                    answers_and_stops(child, &address);
                }
                Started::Refused(said) => {
                    assert!(stops_it && said.contains(path.to_str().unwrap()), "{key}: {said}");
                }
            }
            assert_eq!(fs::symlink_metadata(&path).unwrap().len(), before, "{key} was replaced");
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, whole).unwrap();
    }
}

/// Every file that fleetps itself reads at a start; the broker reads the others.
fn files(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["", "history", "nats", "nats/keys", "nats/ports"] {
        let Ok(entries) = fs::read_dir(data.join(folder)) else { continue };
        found.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    }
    found.sort();
    found
}

#[test]
fn damage_to_any_file_of_the_data_folder_is_survived_or_named() {
    seeds(1).for_each(damage_is_survived_or_named);
}

fn damage_is_survived_or_named(seed: u64) {
    let (mut rng, data) = (fastrand::Rng::with_seed(seed), data());
    let settings = data.path().join("settings.toml");
    for _ in 0..rounds(4) {
        let all = files(data.path());
        let path = all[rng.usize(..all.len())].clone();
        let whole = fs::read(&path).unwrap();
        let mut content = whole.clone();
        let place = rng.usize(..content.len().max(1));
        if content.is_empty() || rng.bool() {
            content.truncate(place);
        } else {
            content[place] ^= 1 << rng.u8(..8);
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, &content).unwrap();
        let what = format!("{} at {place}", path.display());
        eprintln!("{what}");
        match start(data.path(), &["--config", settings.to_str().unwrap()]) {
            Started::Up { child, address } => answers_and_stops(child, &address),
            Started::Refused(said) => {
                let is_named = said.contains(path.to_str().unwrap());
                let may_stop = path.extension().is_some_and(|end| end == "nk") || path == settings;
                // A bit of a key may make it another's, which the broker then refuses.
                assert!(may_stop && is_named, "{what}: {said}");
            }
        }
        let _ = fs::remove_file(&path);
        fs::write(&path, &whole).unwrap();
    }
}
