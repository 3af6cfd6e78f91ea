//! The audit: how it is written while people use the program, and how it is read.

use std::{fs, path::Path, process::Output};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fleetps::testing::{
    audit_log::AuditLog,
    auth::{Grant, Person, Principal, Role},
};
use fleetps_nats::{
    audit::{Audit, AuditEntry, Outcome},
    server::{ManagedServer, Part, ServerSettings},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    authz::person,
    console::until,
    program::{Running, fleetps},
    support::{PATIENCE, Site, family, texts},
};

/// The records of a web server, as a broker keeps them.
pub async fn records(folder: &Path) -> (AuditLog, ManagedServer, Audit) {
    let settings = ServerSettings {
        data: folder.to_owned(),
        program: None,
        public: None,
        simulator: false,
        max_file_store_bytes: 1 << 30,
    };
    let server = ManagedServer::start(settings).await.unwrap();
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let history = folder.join("history");
    fs::create_dir(&history).unwrap();
    let records = AuditLog::open(&client, history, CancellationToken::new()).await.unwrap();
    (records, server, Audit::open(&client).await.unwrap())
}

/// A site whose records are kept by a broker.
async fn site(folder: &Path) -> (Site, ManagedServer, Audit) {
    let (records, server, audit) = records(folder).await;
    let site = Site::with_records(records);
    site.tell("web-1", family());
    site.tell("db-1", family());
    (site, server, audit)
}

/// The entries, oldest first, when there are `count`.
async fn entries(site: &Site, count: usize) -> Vec<Value> {
    let waiting = async {
        loop {
            let answer = site.json("/api/v1/audit").await;
            let mut entries = answer["entries"].as_array().unwrap().clone();
            assert!(entries.len() <= count, "{entries:#?}");
            if entries.len() == count {
                entries.reverse();
                return entries;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("an entry is missing")
}

fn brief(entry: &Value) -> [&str; 4] {
    ["action", "host", "what", "outcome"].map(|field| entry[field].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_searches_exports_questions_and_refusals_are_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let (site, server, _) = site(folder.path()).await;
    // An open page and its JSON are one look; pages without command lines of a host are none.
    for url in
        ["/hosts/web-1", "/hosts/web-1?view=flat", "/api/v1/hosts/web-1/processes", "/", "/hosts/nosuch"]
    {
        site.get(url).await;
    }
    site.get("/hosts/db-1").await;
    site.get("/search?q=cmd+~+secret").await;
    site.get("/api/v1/hosts?format=csv").await;
    let sql = Request::post("/api/v1/sql").header("host", "localhost").body(Body::from("SELECT 42")).unwrap();
    site.send(sql).await;
    let mut forbidden = Request::get("/audit").header("host", "localhost").body(Body::empty()).unwrap();
    let from = [192, 0, 2, 7].into();
    let grants = vec![Grant { role: Role::Viewer, groups: None, hides_command_lines: false }];
    let viewer = Person { name: "vera".to_owned(), grants, ..Person::nobody_in_particular(from) };
    forbidden.extensions_mut().insert(Principal::User(viewer));
    assert_eq!(site.send(forbidden).await.status, StatusCode::FORBIDDEN);
    let entries = entries(&site, 6).await;
    assert_eq!(
        entries.iter().map(brief).collect::<Vec<_>>(),
        [
            ["command-lines.view", "web-1", "GET /hosts/web-1", "done"],
            ["command-lines.view", "db-1", "GET /hosts/db-1", "done"],
            ["search", "", "GET /search?q=cmd+~+secret", "done"],
            ["export", "", "GET /api/v1/hosts?format=csv", "done"],
            // This site has no history to ask.
            ["sql.ask", "", "SELECT 42", "failed"],
            ["request.refuse", "", "GET /audit", "refused"],
        ]
    );
    let last = &entries[5];
    assert_eq!((last["who"].as_str(), last["address"].as_str()), (Some("vera"), Some("192.0.2.7")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_filtered_and_hostile_texts_are_only_text_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (site, server, audit) = site(folder.path()).await;
    for (who, action, what) in [
        ("=cmd|' /C calc'!A0", "sign-in", "<script>alert(1)</script>"),
        ("anna", "token.make", "\u{1b}[31m\u{202e}'; DROP TABLE audit; --"),
        ("<img src=x>", "token.end", "@SUM(A1)"),
    ] {
        let entry = AuditEntry {
            at_us: fleetps::testing::live::now_us(),
            who: who.to_owned(),
            from: None,
            action: action.to_owned(),
            host: Some("web-1".parse().unwrap()),
            what: what.to_owned(),
            outcome: Outcome::Refused,
        };
        audit.record(entry).await.unwrap();
    }
    let page = site.page("/audit").await;
    assert_eq!(texts(&page, "#audit td.name"), ["<img src=x>", "anna", "=cmd|' /C calc'!A0"]);
    assert!(texts(&page, "#audit img, #audit script").is_empty());
    let raw = site.get("/audit").await.body;
    assert!(!raw.contains('\u{1b}') && !raw.contains('\u{202e}'));
    assert_eq!(texts(&site.page("/audit?action=token").await, "#audit td.name"), ["<img src=x>", "anna"]);
    assert_eq!(texts(&site.page("/audit?who=ANN&host=web-1").await, "#audit td.name"), ["anna"]);
    assert_eq!(texts(&site.page("/audit?host=db-1").await, "#audit td.name"), [""; 0]);
    assert_eq!(texts(&site.page("/audit?to=2020-01-01T00:00:00Z").await, "#audit td.name"), [""; 0]);
    let older = site.page("/audit?limit=1").await;
    assert_eq!(texts(&older, "p.more a"), ["Older entries"]);
    // The export above all is not to be run by a spreadsheet.
    let csv = site.get("/api/v1/audit?format=csv").await.body;
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_reader(csv.as_bytes()).records().map(Result::unwrap).collect();
    assert_eq!((&rows[2][2], &rows[0][6]), ("'=cmd|' /C calc'!A0", "'@SUM(A1)"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_named_where_the_audit_is_shown_and_to_whoever_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let (site, server, _) = site(folder.path()).await;
    assert_eq!(site.json("/readyz").await["incomplete"], json!([]));
    let name = "audit-1763712000-000000000001-000000000050-20251121T083000Z-v1.duckdb";
    fs::write(folder.path().join("history").join(format!("{name}.damaged")), "nothing").unwrap();
    assert_eq!(site.json("/readyz").await["incomplete"], json!([name]));
    assert_eq!(site.json("/api/v1/audit").await["incomplete"], json!([name]));
    let told = texts(&site.page("/audit").await, "[role=alert]");
    assert_eq!(told, [format!("The entries in {name} are missing: the file cannot be read.")]);
    let mut ready = Request::get("/readyz").header("host", "localhost").body(Body::empty()).unwrap();
    ready.extensions_mut().insert(Principal::User(person(Role::Viewer, None, false)));
    assert!(!site.send(ready).await.body.contains("audit-"));
    server.stop().await;
}

fn verify(data: &Path, more: &[&str]) -> Output {
    fleetps(data).args(["audit", "verify"]).args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_command_follows_the_chain_while_everything_runs_and_names_what_was_edited() {
    let folder = tempfile::tempdir().unwrap();
    let (data, settings) = (folder.path().join("data"), folder.path().join("settings.toml"));
    fs::write(&settings, "[history]\nseal_interval = \"100ms\"\n").unwrap();
    let running = Running::start(&data, &["--config", settings.to_str().unwrap()]);
    let ask = |path: &str| ureq::get(format!("{}{path}", running.address)).call().unwrap();
    for number in 0..5 {
        ask(&format!("/search?q=number{number}"));
    }
    let segment = || {
        let names = fs::read_dir(data.join("history")).ok()?.map(|entry| entry.unwrap().path());
        names.into_iter().find(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("audit-") && name.ends_with(".duckdb")
        })
    };
    until("the audit is sealed", || segment().is_some());
    until("all of it is written down", || said(&verify(&data, &[])).contains(" 5 entries"));
    let whole = verify(&data, &[]);
    assert!(whole.status.success(), "{}", said(&whole));
    let text = said(&whole);
    let hash = text.split("The last hash is ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(verify(&data, &["--expect", hash]).status.success());
    assert!(!verify(&data, &["--expect", &"0".repeat(64)]).status.success());
    running.stop();

    // Without the broker, what is sealed is checked all the same.
    let alone = verify(&data, &[]);
    assert!(alone.status.success() && said(&alone).contains("The broker was not asked"), "{}", said(&alone));
    // A backup has it too.
    let [saved, restored] = ["saved", "restored"].map(|name| folder.path().join(name));
    let run = |data: &Path, command: &str| fleetps(data).arg(command).arg(&saved).output().unwrap();
    assert!(run(&data, "backup").status.success() && run(&restored, "restore").status.success());
    assert!(verify(&restored, &["--expect", hash]).status.success());
    let editor = duckdb::Connection::open(segment().unwrap()).unwrap();
    editor.execute("UPDATE audit SET who = 'somebody else'", []).unwrap();
    drop(editor);
    let edited = verify(&data, &[]);
    let text = said(&edited);
    assert!(!edited.status.success() && text.contains("was edited"), "{text}");
}
