//! Sums over processes on pages and in JSON: nothing counts twice, and what is in no process is said.

use fleetps_nats::{
    Snapshot,
    snapshot::{HostInfo, Process},
};
use serde_json::json;

use crate::{
    commands,
    support::{Site, attributes, process, snapshot_at, texts, time_at},
};

const GIB: u64 = 1 << 30;
const HIDDEN: &str = "sees only its own processes: /proc is mounted with hidepid=2";

/// A service of three that share a buffer, one of which starts short-lived children. The machine has 8 GiB in use and four
/// cores, of which two and a half are busy.
fn service(second: i64) -> Snapshot {
    let seconds = u64::try_from(second).unwrap();
    let backend = |pid, parent, cpu_ms_per_s: u64, ended_children_cpu_ms| Process {
        cpu_percent: Some(cpu_ms_per_s as f32 / 10.0),
        cpu_time_ms: Some(1_000 + seconds * cpu_ms_per_s),
        resident_bytes: Some(3 * GIB),
        shared_bytes: Some(2 * GIB),
        ended_children_cpu_ms: Some(ended_children_cpu_ms),
        ..process(pid, parent, "postgres")
    };
    let processes = vec![backend(1, 0, 500, 7_500), backend(2, 1, 400, 0), backend(3, 1, 100, 2_500)];
    let mut snapshot = snapshot_at(second, processes);
    snapshot.host.cpu_time_ms = Some(90_000 + seconds * 2_500);
    snapshot
}

const CPU: &str = "CPU 250 %: 100 in processes, 100 in ended children, 50.0 in no process";
const MEMORY: &str = "Memory 8.00 GiB: 5.00 GiB in processes, shared counted once, 3.00 GiB in no process";

#[tokio::test]
async fn sums_of_the_present_and_of_a_moment_count_shared_memory_once_and_have_what_is_in_no_process() {
    let site = Site::with_history(vec![vec![("web-1", service(0)), ("web-1", service(10))]]);
    for second in [0, 10] {
        site.tell_snapshot("web-1", service(second), fleetps::testing::live::now_us() + second);
    }
    let then = format!("&at={}", time_at(15));
    for at in ["", &then] {
        let tree = site.page(&format!("/hosts/web-1?view=tree{at}")).await;
        assert_eq!(texts(&tree, "[data-f=sums]"), [format!("{CPU} · {MEMORY}")], "{at}");
        assert_eq!(
            texts(&tree, "#processes td.name .note"),
            ["2 below · Σ 150 % · 4.00 G", "ended children · 25.0 %"],
            "{at}"
        );
        assert_eq!(
            texts(&tree, "#processes td.cpu"),
            ["50.0", "40.0", "10.0"],
            "a row's own use stays its own"
        );
        let fold = site.page(&format!("/hosts/web-1?view=program{at}")).await;
        assert_eq!(texts(&fold, "#processes td.cpu, #processes td.memory"), ["200", "5.00 G"], "{at}");
        assert!(attributes(&fold, "#processes th.memory", "title")[0].contains("counted once"));
        let answer = site.json(&format!("/api/v1/hosts/web-1/processes?limit=1{at}")).await;
        let expected = json!({
            "cpu_percent": 100.0,
            "ended_children_cpu_percent": 100.0,
            "remaining_cpu_percent": 50.0,
            "machine_cpu_percent": 250.0,
            "memory_bytes": 5 * GIB,
            "remaining_memory_bytes": 3 * GIB,
            "machine_memory_used_bytes": 8 * GIB,
        });
        assert_eq!((&answer["sums"], &answer["limited_view"]), (&expected, &json!(null)), "{at}");
    }
    let fleet = site.page("/").await;
    assert_eq!(texts(&fleet, "#programs tbody td"), ["postgres", "1", "3", "200", "5.00 G"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_an_agent_does_not_see_are_said_on_pages_in_json_and_in_a_terminal() {
    let site = Site::new();
    for second in [0, 10] {
        let mut snapshot = service(second);
        snapshot.processes_left_out = 3;
        snapshot.host_info = HostInfo { limited_view: Some(format!("{HIDDEN}<b>")), ..snapshot.host_info };
        site.tell_snapshot("web-1", snapshot, fleetps::testing::live::now_us() + second);
    }
    for tab in ["", "/system"] {
        let page = site.page(&format!("/hosts/web-1{tab}")).await;
        assert_eq!(texts(&page, "[data-f=warning]"), [format!("the agent {HIDDEN}<b>")], "{tab}");
    }
    let said = texts(&site.page("/hosts/web-1").await, "[data-f=sums]").join("");
    assert!(said.contains("50.0 in processes left out or not seen, or in none"), "{said}");
    let limited = json!(format!("{HIDDEN}<b>"));
    assert_eq!(site.json("/api/v1/hosts/web-1/processes").await["limited_view"], limited);
    assert_eq!(site.json("/api/v1/hosts/web-1").await["host_info"]["limited_view"], limited);

    let server = commands::serve_site(site).await;
    let output = commands::fleetps(&["ps", "web-1", "--server", &server]).await;
    let aside = String::from_utf8(output.stderr).unwrap();
    assert!(aside.ends_with(&format!("The agent {HIDDEN}<b>.\n")), "{aside}");
}
