//! One search: hosts and processes, now and then, sorted and put together.

use fleetps::testing::auth::Role;
use fleetps_nats::snapshot::Process;
use scraper::Html;

use crate::{
    alerts::get,
    authz::{self, OTHER, person},
    support::{Site, attributes, family, process, texts},
};

fn fleet() -> Site {
    let site = Site::with("web-1", family());
    let pool = |pid, cpu_percent, mib: u64| Process {
        cpu_percent: Some(cpu_percent),
        resident_bytes: Some(mib << 20),
        user_name: Some("shop".to_owned()),
        unit: Some("pool.service".to_owned()),
        ..process(pid, 1, "worker")
    };
    site.tell("web-2", vec![process(1, 0, "init"), pool(31, 40.0, 5), pool(32, 2.0, 500)]);
    site
}

#[tokio::test]
async fn a_search_says_how_many_processes_on_how_many_hosts_and_is_sorted_by_any_column() {
    let site = fleet();
    let page = site.page("/search?q=worker").await;
    assert_eq!(texts(&page, "#total"), ["4 processes on 2 hosts"]);
    assert_eq!(texts(&page, "#found td.pid"), ["31", "11", "32", "12"], "by CPU");
    let by_memory = attributes(&page, "#found th.memory a", "href").swap_remove(0);
    let page = site.page(&by_memory).await;
    assert_eq!(texts(&page, "#found td.pid")[0], "32");
    assert_eq!(attributes(&page, "#found th.memory", "aria-sort"), ["descending"]);
    let up = site.page(&attributes(&page, "#found th.memory a", "href")[0]).await;
    assert_eq!(attributes(&up, "#found th.memory", "aria-sort"), ["ascending"]);
    assert_eq!(texts(&up, "#found td.pid")[0], "31");
    for (sort, first) in [("host", "web-1"), ("user", "web-1"), ("command", "web-1")] {
        let page = site.page(&format!("/search?q=worker&sort={sort}")).await;
        assert_eq!(texts(&page, "#found td.host")[0], first, "{sort}");
    }
    // The form keeps the order.
    let page = site.page("/search?q=worker&sort=memory&fold=user").await;
    assert_eq!(attributes(&page, "form.search input[name=sort]", "value"), ["memory"]);
    assert_eq!(attributes(&page, "form.search input[name=fold]", "value"), ["user"]);
    let json = site.json("/api/v1/search?q=worker").await;
    let hosts: Vec<_> =
        json["processes"].as_array().unwrap().iter().map(|found| found["host"].clone()).collect();
    assert_eq!(hosts, ["web-1", "web-1", "web-2", "web-2"], "JSON stays by host and pid");
    let json = site.json("/api/v1/search?q=worker&sort=resident_bytes&limit=1").await;
    assert_eq!((&json["processes"][0]["pid"], &json["total"]), (&32.into(), &4.into()));
    let refused = site.get("/api/v1/search?q=worker&sort=heat").await.body;
    assert!(refused.contains("memory, resident_bytes, "), "both names of a column: {refused}");
}

#[tokio::test]
async fn hosts_come_first_and_words_find_users_and_units_too() {
    let site = fleet();
    site.shared.groups.set([("web-2".parse().unwrap(), ["frontend".to_owned()].into())].into());
    let page = site.page("/search?q=web-2").await;
    assert_eq!(texts(&page, "#hosts-found a"), ["web-2"]);
    assert_eq!(attributes(&page, "#hosts-found a", "href"), ["/hosts/web-2"]);
    assert_eq!(texts(&page, ".nothing"), ["No matching process on a host that is not down."]);
    assert_eq!(texts(&site.page("/search?q=frontend").await, "#hosts-found a"), ["web-2"]);
    for q in ["shop", "pool.service"] {
        let page = site.page(&format!("/search?q={q}")).await;
        assert_eq!(texts(&page, "#found td.pid"), ["31", "32"], "{q}");
        assert_eq!(texts(&page, "#hosts-found").len(), 0, "{q}");
    }
    // The file beside the page has what the page has, in its order.
    for q in ["shop", "shop&sort=memory"] {
        let page = site.page(&format!("/search?q={q}")).await;
        let file = attributes(&page, "form.search a[download]", "href").swap_remove(0);
        let csv = site.get(&file).await.body;
        let pids: Vec<&str> = csv.lines().skip(1).map(|line| line.split(',').nth(2).unwrap()).collect();
        assert_eq!(pids, texts(&page, "#found td.pid"), "{file}");
        assert_eq!(pids.len(), 2, "{file}");
    }
    // A comparison is about processes alone.
    assert_eq!(texts(&site.page("/search?q=host+=+web-2").await, "#hosts-found").len(), 0);
}

#[tokio::test]
async fn what_is_found_is_put_together_and_each_sum_leads_to_its_parts() {
    let site = fleet();
    let page = site.page("/search?q=worker&fold=host").await;
    assert_eq!(texts(&page, "#folded td.name"), ["web-2", "web-1"]);
    assert_eq!(texts(&page, "#folded td.procs"), ["2", "2"]);
    assert_eq!(texts(&page, "#folded td.cpu"), ["42.0", "14.7"]);
    let page = site.page("/search?q=shop&fold=user").await;
    assert_eq!(texts(&page, "#folded td.memory"), ["505 M"]);
    let parts = attributes(&page, "#folded td.name a", "href").swap_remove(0);
    assert_eq!(texts(&site.page(&parts).await, "#found td.pid"), ["31", "32"], "{parts}");
    let page = site.page("/search?q=worker+or+init&fold=program").await;
    assert_eq!(texts(&page, "#folded td.name"), ["worker", "init"]);
    assert_eq!(texts(&page, "#folded td.count"), ["2", "2"]);
}

#[tokio::test]
async fn nobody_finds_hosts_that_are_not_theirs_or_what_is_withheld() {
    let site = authz::site();
    let viewer = person(Role::Viewer, Some("own"), true);
    for fold in ["process", "program", "host", "user", "unit"] {
        for q in ["other", "worker", "hunter2", "cpu+%3E+0"] {
            let page = get(&site, &viewer, &format!("/search?q={q}&fold={fold}")).await.body;
            let page = Html::parse_document(&page);
            let shown = texts(&page, "#hosts-found, #found, #folded, #total").join(" ");
            assert!(!shown.contains(OTHER) && !shown.contains("hunter2"), "{fold} {q}: {shown}");
            assert!(!shown.contains("2 hosts"), "{fold} {q}: {shown}");
            if q == "hunter2" {
                assert_eq!(texts(&page, "#total"), ["0 processes on 0 hosts"], "{fold}");
            }
        }
    }
}
