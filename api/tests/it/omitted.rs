//! What a host left out of its snapshot, or shortened in it, is told wherever processes are listed or searched.

use fleetps::testing::live::now_us;
use fleetps_nats::Snapshot;
use serde_json::json;

use crate::{
    commands,
    support::{Site, family, snapshot, snapshot_at, texts, time_at},
};

const SHORTENED: &str = "/usr/bin/java -cp /opt/…[5,812 bytes]… com.example.Main";

/// A snapshot of five processes, of which two have shortened texts; three more were left out.
fn incomplete(whole: Snapshot) -> Snapshot {
    let mut snapshot = Snapshot { processes_left_out: 3, texts_shortened: 2, ..whole };
    for process in &mut snapshot.processes[..2] {
        process.command_line = Some(SHORTENED.to_owned());
    }
    snapshot
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_now_is_said_on_the_page_in_json_in_a_terminal_and_by_a_search() {
    let site = Site::with("whole", family());
    site.tell_snapshot("web-1", incomplete(snapshot(1, family())), now_us());
    let said = async |url: &str| texts(&site.page(url).await, "[data-f=omitted]").join("");
    assert_eq!(said("/hosts/web-1").await, "3 processes are left out, 2 texts are shortened");
    let filtered = "3 processes are left out, 2 texts are shortened: what was cut of them is not searched";
    assert_eq!(said("/hosts/web-1?q=cmd~java").await, filtered);
    assert_eq!(said("/hosts/whole?q=cmd~java").await, "");

    for url in ["/api/v1/hosts/web-1/processes?q=sshd", "/api/v1/hosts/web-1"] {
        let answer = site.json(url).await;
        assert_eq!(
            (&answer["processes_left_out"], &answer["texts_shortened"]),
            (&json!(3), &json!(2)),
            "{url}"
        );
    }
    let found = site.json("/api/v1/search?q=cmd~java").await;
    assert_eq!(
        (
            &found["total"],
            &found["hosts_incomplete"],
            &found["processes_left_out"],
            &found["texts_shortened"]
        ),
        (&json!(2), &json!(1), &json!(3), &json!(2))
    );
    let search = site.page("/search?q=cmd~java").await;
    let expected = "1 host could not be searched whole: 3 processes left out, 2 texts shortened.";
    assert_eq!(texts(&search, "#omitted"), [expected]);

    let server = commands::serve_site(site).await;
    for (host, aside) in
        [("web-1", "Of this sample 3 processes are left out, 2 texts are shortened.\n"), ("whole", "")]
    {
        let output = commands::fleetps(&["ps", host, "--server", &server]).await;
        assert_eq!(String::from_utf8(output.stderr).unwrap(), aside);
    }
}

#[tokio::test]
async fn what_was_missing_then_is_said_of_the_past() {
    let snapshots = [("web-1", incomplete(snapshot_at(0, family()))), ("web-1", snapshot_at(10, family()))];
    let site = Site::with_history(vec![snapshots.into()]);
    for (second, left_out, shortened) in [(5, 3, 2), (15, 0, 0)] {
        let at = time_at(second);
        let processes = site.json(&format!("/api/v1/hosts/web-1/processes?at={at}")).await;
        let found = site.json(&format!("/api/v1/search?q=cmd~java&at={at}")).await;
        for answer in [&processes, &found] {
            let told = (&answer["processes_left_out"], &answer["texts_shortened"]);
            assert_eq!(told, (&json!(left_out), &json!(shortened)), "{answer}");
        }
        assert_eq!(found["hosts_incomplete"], json!(shortened / 2));
    }
}
