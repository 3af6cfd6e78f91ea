//! A start where the broker lost its records of users: it makes nobody an administrator, says so, and restores the
//! saved records on request.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use fleetps_nats::{
    audit::Audit,
    bucket::Bucket,
    server::{Part, broker_in},
};
use serde_json::{Value, json};

use crate::{
    described::got,
    program::{fleetps, until},
};

/// A running `fleetps` with sign-in, and what it printed at its start.
struct Started {
    child: Child,
    printed: String,
    address: String,
}

impl Started {
    fn on(data: &Path, arguments: &[&str]) -> Self {
        let mut command = fleetps(data);
        command.args(["--auth", "on", "--no-agent"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut printed = String::new();
        let is_last = |line: &String| line.trim().starts_with("stop ");
        for line in lines.by_ref() {
            printed += &format!("{line}\n");
            if is_last(&line) {
                break;
            }
        }
        let mut errors = child.stderr.take().unwrap();
        let address = printed.lines().find_map(|line| line.trim().strip_prefix("look "));
        let Some(address) = address.map(|address| address.trim().to_owned()) else {
            let mut said = String::new();
            errors.read_to_string(&mut said).unwrap();
            panic!("fleetps ended: {printed}{said}");
        };
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, printed, address }
    }

    fn status(&self, path: &str) -> Option<u16> {
        got(&self.address, path).map(|(status, _)| status)
    }

    fn stop(mut self) {
        assert!(
            Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap().success()
        );
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(data: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fleetps")).arg("--data").arg(data).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A data folder, stopped, whose broker knows the administrator anna, the viewer bert and the host web-1.
fn with_users() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let started = Started::on(data.path(), &[]);
    assert!(started.printed.contains("/welcome/"), "{}", started.printed);
    command(data.path(), &["user", "add", "anna", "administrator"]);
    command(data.path(), &["user", "add", "bert", "viewer"]);
    with_broker(data.path(), async |client| {
        let record = json!({"keys": ["UA"], "admission": "admitted", "first_contact_at_us": 1});
        Bucket::<Value>::open(&client, "hosts").await.unwrap().put("web-1", &record).await.unwrap();
    });
    started.stop();
    data
}

fn with_broker<T>(data: &Path, work: impl AsyncFnOnce(async_nats::Client) -> T) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = broker_in(data, Part::Api).unwrap().connect("test").await.unwrap();
        let done = work(client.clone()).await;
        client.flush().await.unwrap();
        done
    })
}

/// The folder of a bucket in the broker's store.
fn store_of(data: &Path, bucket: &str) -> PathBuf {
    let streams = data.join("nats/jetstream/jetstream/FLEET/streams").join(format!("KV_{bucket}"));
    assert!(streams.is_dir(), "{}", streams.display());
    streams
}

/// Writes bytes that are no record under some keys of the bucket of users.
fn overwrite(data: &Path, keys: &[&str]) {
    let started = Started::on(data, &[]);
    with_broker(data, async |client| {
        for key in keys {
            client.publish(format!("$KV.users.{key}"), "\u{1}{not json".into()).await.unwrap();
        }
    });
    started.stop();
}

/// The audit's entries about recoveries.
fn recoveries(data: &Path) -> Vec<String> {
    with_broker(data, async |client| {
        let audit = Audit::open(&client).await.unwrap();
        let entries = audit.read(1).await.unwrap().into_iter().map(|chained| chained.entry);
        let entries = entries.filter(|entry| entry.action.ends_with(".recover"));
        entries.map(|entry| format!("{} {}", entry.action, entry.what)).collect()
    })
}

/// Without `--recover` nobody becomes an administrator and the start says so; with it, everything is as it was.
fn comes_back(data: &Path, what: &str) {
    let started = Started::on(data, &[]);
    let printed = &started.printed;
    assert!(!printed.contains("/welcome/"), "{what}: {printed}");
    assert!(printed.contains("no administrator can") && printed.contains("--recover"), "{what}: {printed}");
    assert_eq!(started.status("/readyz"), Some(503), "{what}");
    // And once more, after it ran and stopped in this state.
    started.stop();
    let started = Started::on(data, &[]);
    assert!(!started.printed.contains("/welcome/"), "{what}: {}", started.printed);
    started.stop();

    let started = Started::on(data, &["--recover"]);
    assert!(!started.printed.contains("/welcome/"), "{what}: {}", started.printed);
    let users = command(data, &["user", "list"]);
    assert!(users.contains("anna") && users.contains("administrator"), "{what}: {users}");
    assert!(users.contains("bert"), "{what}: {users}");
    assert!(command(data, &["host", "list"]).contains("web-1"), "{what}");
    let recoveries = recoveries(data);
    assert!(recoveries.len() == 1 && recoveries[0].contains("anna"), "{what}: {recoveries:?}");
    until("it is ready", || (started.status("/readyz") == Some(200)).then_some(()));
    started.stop();
}

#[test]
fn users_whose_bucket_is_gone_come_back() {
    let data = with_users();
    fs::remove_dir_all(store_of(data.path(), "users")).unwrap();
    comes_back(data.path(), "the bucket is gone");
}

#[test]
fn users_come_back_when_the_whole_store_of_the_broker_is_gone_with_its_keys() {
    let data = with_users();
    fs::remove_dir_all(data.path().join("nats")).unwrap();
    comes_back(data.path(), "everything of the broker is gone");
}

#[test]
fn users_whose_bucket_is_empty_come_back() {
    let data = with_users();
    let messages = store_of(data.path(), "users").join("msgs");
    for entry in fs::read_dir(&messages).unwrap() {
        fs::write(entry.unwrap().path(), "").unwrap();
    }
    comes_back(data.path(), "the bucket is empty");
}

#[test]
fn users_whose_records_cannot_be_read_come_back() {
    let data = with_users();
    overwrite(data.path(), &["anna", "bert"]);
    comes_back(data.path(), "no record can be read");
}

#[test]
fn one_record_that_cannot_be_read_is_told_and_comes_back_though_an_administrator_is_left() {
    let data = with_users();
    overwrite(data.path(), &["bert"]);
    let started = Started::on(data.path(), &[]);
    assert!(!started.printed.contains("/welcome/"), "{}", started.printed);
    assert_eq!(started.status("/readyz"), Some(503));
    started.stop();
    let started = Started::on(data.path(), &["--recover"]);
    assert!(command(data.path(), &["user", "list"]).contains("bert"));
    started.stop();
}

#[test]
fn where_nothing_was_saved_only_recover_makes_a_new_administrator_and_the_audit_has_it() {
    let data = with_users();
    fs::remove_dir_all(data.path().join("state-backups")).unwrap();
    fs::remove_dir_all(store_of(data.path(), "users")).unwrap();
    let started = Started::on(data.path(), &[]);
    let printed = started.printed.clone();
    assert!(!printed.contains("/welcome/") && printed.contains("the audit says"), "{printed}");
    started.stop();
    // The audit that the broker has is gone too; the segments know.
    fs::remove_dir_all(data.path().join("nats")).unwrap();
    fs::remove_dir_all(data.path().join("state-backups")).unwrap();
    let started = Started::on(data.path(), &[]);
    let printed = started.printed.clone();
    assert!(!printed.contains("/welcome/") && printed.contains("the audit says"), "{printed}");
    started.stop();
    fs::remove_dir_all(data.path().join("state-backups")).unwrap();
    let started = Started::on(data.path(), &["--recover"]);
    assert!(started.printed.contains("/welcome/"), "{}", started.printed);
    let recoveries = recoveries(data.path());
    assert!(recoveries.iter().any(|entry| entry.starts_with("sign-in.recover")), "{recoveries:?}");
    started.stop();
}
