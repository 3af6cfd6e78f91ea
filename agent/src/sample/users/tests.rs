//! Users from files, from programs that answer as `getent` does, and from some that do not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{UserNames, Users, getent::Program, getent::Said, passwd::Passwd};

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

const PASSWD: &[u8] = b"# users of this machine\n\
    root:x:0:0:root:/root:/bin/bash\n\
    toor:x:0:0::/root:/bin/sh\n\
    mysqlt:x:4111:4116:MySQL Server,,,:/nonexistent:/bin/false\n\
    bad\xff\xfename:x:4200:1:\xff\xff:/:/bin/sh\n\
    adjoe:x:1655400007:1655400007:AD user:/home/adjoe:/bin/bash\n\
    top:x:4294967294:1::/:/bin/sh\n\
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
    none:x:4294967295:1::/:/bin/sh\n\
    huge:x:4294967296:1::/:/bin/sh\n\
    short:x\n:x:5:5:::\nno uid:x::5:::\n\
    +::::::\n+@group::7::::\n-gone:x:8:8:::\n\n::::\n\
    last:x:4112:4112:plain:/home/last:/usr/sbin/nologin";

fn program(folder: &Path, script: &str) -> Option<PathBuf> {
    let path = folder.join("getent");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Some(path)
}

/// Users with this file and this `getent`.
fn users(folder: &Path, script: Option<&str>, excluded: &[&str]) -> Users {
    fs::write(folder.join("passwd"), PASSWD).unwrap();
    let path = script.and_then(|script| program(folder, script));
    let excluded: Vec<String> = excluded.iter().map(|name| (*name).to_owned()).collect();
    Users::reading(folder.join("passwd"), Program::at(path, PATIENCE), &excluded)
}

fn settled(users: &mut Users, id: &str) -> String {
    users.name_or_id(id);
    users.settle(PATIENCE);
    users.name_or_id(id)
}

#[test]
fn every_line_of_the_file_stands_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut users = users(folder.path(), None, &[]);
    for (id, name) in [
        ("0", "root"),
        ("4111", "mysqlt"),
        ("4200", "bad\u{fffd}\u{fffd}name"),
        ("1655400007", "adjoe"),
        ("4294967294", "top"),
        ("4112", "last"),
        ("4294967295", "4294967295"),
        ("5", "5"),
        ("7", "7"),
        ("8", "8"),
        ("S-1-5-18", "S-1-5-18"),
    ] {
        assert_eq!(settled(&mut users, id), name);
    }
}

#[test]
fn a_file_that_was_changed_or_replaced_is_read_again_and_one_that_is_gone_stays_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passwd");
    let mut passwd = Passwd::new(path.clone());
    passwd.refresh();
    assert_eq!(passwd.name(7), None);
    fs::write(&path, "a:x:7:7:::\n").unwrap();
    passwd.refresh();
    assert_eq!((passwd.name(7), passwd.uid("a")), (Some("a"), Some(7)));
    // Of the same size, and perhaps of the same moment: another inode tells.
    fs::write(folder.path().join("new"), "b:x:7:7:::\n").unwrap();
    fs::rename(folder.path().join("new"), &path).unwrap();
    passwd.refresh();
    assert_eq!((passwd.name(7), passwd.uid("a")), (Some("b"), None));
    fs::remove_file(&path).unwrap();
    passwd.refresh();
    assert_eq!(passwd.name(7), Some("b"));
}

#[test]
fn who_is_not_in_the_file_is_asked_of_getent_many_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "echo \"$@\" >> {}/asked\nshift\nfor key; do [ $key = 5000 ] || echo \"ldap$key:*:$key:1::/:/bin/false\"; done\n\
         exit 2",
        folder.path().display()
    );
    let mut users = users(folder.path(), Some(&script), &[]);
    let ids = ["5000", "5001", "5002", "0"];
    ids.iter().for_each(|id| _ = users.name_or_id(id));
    users.settle(PATIENCE);
    let names = ids.map(|id| users.name_or_id(id));
    assert_eq!(names, ["5000", "ldap5001", "ldap5002", "root"]);
    // Once, or in as many calls as there were turns of the thread; never for those in the file.
    let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
    assert!(asked.lines().count() <= 3 && !asked.contains(" 0"), "{asked}");
    users.settle(PATIENCE);
    assert_eq!(fs::read_to_string(folder.path().join("asked")).unwrap(), asked, "answers are remembered");
}

#[test]
fn a_getent_that_hangs_is_killed_and_costs_no_pass_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = program(folder.path(), "exec sleep 1000");
    let mut getent = Program::at(path.clone(), Duration::from_millis(50));
    assert_eq!(getent.ask(&["5000".to_owned()]), Said::Nothing);
    // With what it left open in another program.
    let path = program(folder.path(), "sleep 1000 & exit 1").or(path);
    assert_eq!(Program::at(path.clone(), PATIENCE).ask(&["5000".to_owned()]), Said::Nothing);
    program(folder.path(), "exec sleep 1000");
    fs::write(folder.path().join("passwd"), PASSWD).unwrap();
    let mut users = Users::reading(folder.path().join("passwd"), Program::at(path, PATIENCE), &[]);
    let started = Instant::now();
    // The thread is with the unknown one for a minute; those of the file were there before it.
    assert_eq!((users.name_or_id("0"), users.name_or_id("5000")), ("0".to_owned(), "5000".to_owned()));
    users.settle(Duration::from_millis(1));
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn without_such_a_program_there_are_the_users_of_the_file() {
    assert_eq!(Program::at(None, PATIENCE).ask(&["5000".to_owned()]), Said::NoProgram);
    let broken = Some(PathBuf::from("/nonexistent/getent"));
    assert_eq!(Program::at(broken, PATIENCE).ask(&["5000".to_owned()]), Said::Nothing);
    assert_eq!(
        Program::at(Some("/bin/true".into()), PATIENCE).ask(&["--help".to_owned()]),
        Said::Users(Vec::new())
    );
}

#[test]
fn users_are_excluded_by_name_by_number_and_by_the_names_that_a_directory_gives() {
    let folder = tempfile::tempdir().unwrap();
    let script = "[ $2 = joe ] && echo 'DOM\\joe:*:5005:1::/:/bin/false' && exit 0\nexit 2";
    let mut users = users(folder.path(), Some(script), &["mysqlt", "4112", "joe", "nosuch"]);
    users.settle(PATIENCE);
    for (id, is_withheld) in [("4111", true), ("4112", true), ("5005", true), ("0", false), ("6000", false)] {
        assert_eq!(users.is_withheld(Some(id)), is_withheld, "{id}");
    }
    assert!(users.is_withheld(None), "nobody knows whose it is");
}

#[test]
fn while_an_excluded_user_is_unknown_nobody_is_sent_whose_name_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut users = users(folder.path(), Some("exec sleep 1000"), &["joe"]);
    for id in ["0", "5005"] {
        assert!(users.is_withheld(Some(id)), "nothing is known yet of {id}");
    }
    // The thread is busy with joe; it looks into the file first in its next turn only.
    assert!(users.is_withheld(Some("5005")));
    let mut free = super::Users::reading(folder.path().join("passwd"), Program::at(None, PATIENCE), &[]);
    assert!(!free.is_withheld(Some("5005")) && !free.is_withheld(None));
}

#[test]
fn the_same_users_have_the_names_that_getent_gives_on_this_machine() {
    let output = std::process::Command::new("getent").arg("passwd").output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut users = Users::new(&[]);
    let listed: Vec<(&str, &str)> = lines
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            Some((*fields.first()?, *fields.get(2)?))
        })
        .collect();
    assert!(!listed.is_empty());
    listed.iter().for_each(|(_, id)| _ = users.name_or_id(id));
    users.settle(PATIENCE);
    let mut seen = std::collections::HashSet::new();
    for (name, id) in listed.into_iter().filter(|(_, id)| seen.insert(*id)) {
        assert_eq!(users.name_or_id(id), name);
    }
}
