//! Moving over with what was kept: hosts go on without a window, and their past is in the history.

use std::{collections::BTreeSet, path::Path, time::Duration};

use fleetps::testing::legacy::{Import, Report};
use fleetps_nats::subject;
use serde_json::json;

use super::{Scene, ingest, process_001};

/// The database of system 001 with two machines and a snapshot a minute in the last hour, and one that is years old.
fn database(file: &Path, minutes: std::ops::Range<i64>) {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS monitor_host (id integer PRIMARY KEY, hostname text, api_key text);
             CREATE TABLE IF NOT EXISTS monitor_snapshot (id integer PRIMARY KEY, captured_at datetime, host_id bigint);
             CREATE TABLE IF NOT EXISTS monitor_process (id integer PRIMARY KEY, pid integer, ppid integer, name text,
                cpu_percent real, memory_mb real, cmdline text, snapshot_id bigint);
             INSERT OR IGNORE INTO monitor_host VALUES (1, 'web.example.com', 'key-1'), (2, 'Büro 1', 'key-2');
             INSERT OR IGNORE INTO monitor_snapshot VALUES (1, '2001-01-01 00:00:00', 1);",
        )
        .unwrap();
    for minute in minutes {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(60 - minute);
        let at = at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string();
        for host in [1, 2] {
            let id = 10 + 2 * minute + host;
            connection.execute("INSERT INTO monitor_snapshot VALUES (?, ?, ?)", (id, &at, host)).unwrap();
            let line = "mysql --password=hunter2 -u shop";
            for (pid, name) in [(1, "init"), (40, "mysql")] {
                let row = (pid, i64::from(pid > 1), name, 12.5, 64.0, line, id);
                let sql = "INSERT INTO monitor_process (pid, ppid, name, cpu_percent, memory_mb, cmdline, snapshot_id) \
                           VALUES (?, ?, ?, ?, ?, ?, ?)";
                connection.execute(sql, row).unwrap();
            }
        }
    }
}

async fn import(scene: &Scene, file: &Path) -> Report {
    let import = Import {
        file: file.to_owned(),
        history: scene.folder.path().join("history"),
        keep: Duration::from_secs(400 * 24 * 3600),
        groups: BTreeSet::from(["moved".to_owned()]),
        command_lines: true,
    };
    import.run(&scene.client).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_history_of_001_move_over_once() {
    let scene = Scene::with_operators().await;
    let file = scene.folder.path().join("db.sqlite3");
    database(&file, 5..45);
    let first = import(&scene, &file).await;
    let hosts = vec!["web.example.com".to_owned(), "B_ro_1".to_owned()];
    assert_eq!(
        first,
        Report { system: "001", new_hosts: hosts, snapshots: 80, too_old: 1, ..Report::default() }
    );
    let again = import(&scene, &file).await;
    assert_eq!(again, Report { system: "001", known: 81, ..Report::default() });
    let unnumbered = scene.get("/api/v1/snapshots/21/processes").await;
    assert_eq!(unnumbered.status, 404, "a number of the old database is none of the stream");
    database(&file, 45..55);
    assert_eq!(import(&scene, &file).await.snapshots, 20);

    scene.sealed("web.example.com", 50).await;
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(20);
    let then = scene.fleet(&format!("/api/v1/hosts/web.example.com/processes?at={at}")).await;
    let line = then["processes"][1]["command_line"].as_str().unwrap();
    assert!(line.starts_with("mysql --password=") && !line.contains("hunter2"), "{line}");
    assert_eq!(then["processes"][1]["resident_bytes"], json!(64 << 20));
    let started: BTreeSet<String> =
        then["processes"].as_array().unwrap().iter().map(|it| it["started_at"].to_string()).collect();
    assert_eq!(started.len(), 1, "both were there from the first snapshot on");

    // Its agent posts on, and no window was ever open.
    let body = ingest("Büro 1", &jiff::Timestamp::now().to_string(), json!([process_001(1, 0, "init", "")]));
    let posted = scene.enrol("/api/v1/ingest", Some(("x-api-key", "key-2")), &body).await;
    assert_eq!(posted.status, 201, "{posted:?}");
    assert_eq!(scene.hosts().await[0]["host"], "B_ro_1");
    let stranger = scene.post("/api/v1/ingest", Some(("x-api-key", "key-3")), &body).await;
    assert_eq!(stranger.status, 403);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_host_that_the_brokers_configuration_admits_stays_its_own() {
    let scene = Scene::with_operators().await;
    let subject = subject::snapshot(&"web.example.com".parse().unwrap());
    let jetstream = async_nats::jetstream::new(scene.client.clone());
    jetstream.publish(subject, "sent".into()).await.unwrap().await.unwrap();
    let file = scene.folder.path().join("db.sqlite3");
    database(&file, 5..6);
    let report = import(&scene, &file).await;
    assert_eq!(report.new_hosts, ["web.example.com-001", "B_ro_1"]);
    scene.close().await;
}
