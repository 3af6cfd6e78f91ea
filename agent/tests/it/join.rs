//! A host joins a fleet: its key, its settings, and then the agent itself.

use std::{path::Path, process::Command, time::Duration};

use fleetps_agent::{AgentSettings, scrub::CommandLineMode, settings::AgentFile};
use fleetps_nats::{
    HostName,
    admission::EnrolmentTokens,
    hosts::{self, Admission},
    key,
    server::{ManagedServer, Part},
};
use tokio_util::sync::CancellationToken;

use crate::support::{Stored, admit, jetstream, start_server, within};

/// The output of `fleetps-agent join`, and whether it succeeded.
async fn join(server: &ManagedServer, folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetps-agent"));
    command
        .args(["join", &server.url(), "--host", "web-01", "--no-service", "--folder"])
        .arg(folder)
        .args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_again_changes_nothing_but_how_the_broker_is_reached() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start_server(data.path()).await;
    let _admission = admit(&server).await;
    let token = token(&server).await;
    assert!(join(&server, folder.path(), &["--token", &token]).await.0);
    let config = folder.path().join("agent.toml");
    let mut own = AgentFile::read(Some(&config)).unwrap();
    own.broker.nats = Some("nats://127.0.0.1:1".to_owned());
    own.sample = AgentSettings {
        command_line: CommandLineMode::Off,
        interval: Duration::from_secs(7),
        top: Some(9),
        max_processes: 11,
        exclude_names: vec!["a".to_owned()],
        exclude_users: vec!["b".to_owned()],
        state: folder.path().join("elsewhere"),
    };
    std::fs::write(&config, own.to_toml().unwrap()).unwrap();
    let (is_joined, text) = join(&server, folder.path(), &[]).await;
    assert!(is_joined && text.contains("web-01 is admitted"), "{text}");
    let file = AgentFile::read(Some(&config)).unwrap();
    own.broker.nats = Some(server.url());
    assert_eq!(file, own);

    std::fs::write(&config, "[sample]\ncommand_line = \"of\"").unwrap();
    let (is_joined, text) = join(&server, folder.path(), &[]).await;
    assert!(!is_joined && text.contains("agent.toml"), "{text}");
}

async fn token(server: &ManagedServer) -> String {
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let tokens = EnrolmentTokens::open(&client).await.unwrap();
    within(tokens.make(Duration::from_secs(60), 1, [])).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_joined_has_its_key_and_settings_and_publishes_with_them() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start_server(data.path()).await;
    let _admission = admit(&server).await;
    let token = token(&server).await;
    let (is_joined, text) = join(&server, folder.path(), &["--token", &token]).await;
    assert!(is_joined && text.contains("web-01 is admitted"), "{text}");
    let config = folder.path().join("agent.toml");
    let file = AgentFile::read(Some(&config)).unwrap();
    assert_eq!(file.host.as_ref().map(HostName::as_str), Some("web-01"));
    assert!(!std::fs::read_to_string(&config).unwrap().contains(&token));
    let key_file = file.broker.nkey.clone().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(key_file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    let mut stored = Stored::new(jetstream(&server).await);
    let (broker, stop) = (file.broker.broker(&file.wire), CancellationToken::new());
    let settings = AgentSettings { interval: Duration::from_millis(200), ..file.sample };
    let agent = tokio::spawn(fleetps_agent::run(settings, broker, "web-01".parse().unwrap(), stop.clone()));
    assert_eq!(stored.next().await.subject, "fleetps.web-01.snapshot");

    // Told to, it makes itself a new key, and goes on with that.
    let before = key::read(&key_file).unwrap().public_key();
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let known = hosts::open(&client).await.unwrap();
    let mut entry = known.get("web-01").await.unwrap().unwrap();
    entry.value.rotate = true;
    assert!(known.update("web-01", &entry.value, entry.revision).await.unwrap());
    let changed = async {
        loop {
            let record = known.get("web-01").await.unwrap().unwrap().value;
            if !record.rotate {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let record = within(changed).await;
    assert_eq!(record.keys, [key::read(&key_file).unwrap().public_key()]);
    assert_ne!(record.keys, [before]);
    stored.next().await;
    stop.cancel();
    within(agent).await.unwrap().unwrap();
    within(server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_refused_is_told_what_to_do_and_has_no_settings() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start_server(data.path()).await;
    let _admission = admit(&server).await;
    let (is_joined, text) = join(&server, folder.path(), &["--token", "fpse_wrong"]).await;
    assert!(!is_joined && text.contains("fleetps host list"), "{text}");
    assert!(!folder.path().join("agent.toml").exists());
    // Without a token it may wait, and has all it needs for when it is approved.
    let (is_joined, text) = join(&server, folder.path(), &[]).await;
    assert!(is_joined && text.contains("fleetps host approve web-01"), "{text}");
    assert!(folder.path().join("agent.toml").exists());
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let known = hosts::open(&client).await.unwrap();
    assert!(
        known.get("web-01").await.unwrap().is_none_or(|entry| entry.value.admission != Admission::Admitted)
    );
    within(server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_removes_the_key_and_the_settings_and_nothing_else() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start_server(data.path()).await;
    let _admission = admit(&server).await;
    let token = token(&server).await;
    assert!(join(&server, folder.path(), &["--token", &token]).await.0);
    std::fs::write(folder.path().join("own.txt"), "the owner's").unwrap();
    std::fs::write(folder.path().join("host.next"), "a change of the key that did not end").unwrap();
    let leave = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleetps-agent"));
        let output = command.args(["leave", "--folder"]).arg(folder.path()).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let names = || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let before = names();
    let (is_well, text) = leave(&["--dry-run"]);
    assert!(is_well && text.contains("agent.toml") && text.contains("host.nk"), "{text}");
    assert_eq!(names(), before, "it was only asked");
    let (is_well, text) = leave(&[]);
    assert!(is_well && text.contains("fleetps host forget web-01"), "{text}");
    assert_eq!(names(), ["own.txt"]);
    // Whoever leaves twice is told so.
    let (is_well, text) = leave(&[]);
    assert!(is_well && text.contains("had not joined"), "{text}");
    within(server.stop()).await;
}
