//! What the fleet page answers: what needs a person, what is busy, and which hosts match.

use fleetps::testing::{auth::Role, live::now_us, notify::Acknowledgement};
use fleetps_ingestor::alerts::{Change, Severity};
use fleetps_nats::{
    Snapshot,
    snapshot::{HostSample, Process},
};
use scraper::Html;

use crate::{
    alerts::{get, transition},
    authz::{self, OTHER, OWN, person},
    support::{Site, attributes, family, process, snapshot, texts},
};

/// Two web servers, of which one is busy, and a database.
fn fleet() -> Site {
    let site = Site::new();
    for (host, cpu_percent) in [("web-1", 72.0), ("web-2", 3.0), ("db-1", 60.0)] {
        let of_host = snapshot(1, family());
        let figures = HostSample { cpu_percent: Some(cpu_percent), ..of_host.host.clone() };
        site.tell_snapshot(host, Snapshot { host: figures, ..of_host }, now_us());
    }
    let groups = |host: &str, groups: &[&str]| {
        (host.parse().unwrap(), groups.iter().map(|group| (*group).to_owned()).collect())
    };
    site.shared.groups.set(
        [
            groups("web-1", &["web", "env=prod"]),
            groups("web-2", &["web", "env=test"]),
            groups("db-1", &["db", "env=prod"]),
        ]
        .into(),
    );
    site
}

#[tokio::test]
async fn the_filter_of_the_fleet_page_compares_figures_and_groups_and_says_how_many_match() {
    let site = fleet();
    for (q, expected, said) in [
        ("cpu+%3E+50", vec!["web-1", "db-1"], "2 of 3 hosts match"),
        ("group+=+web+and+cpu+%3E+50", vec!["web-1"], "1 of 3 hosts matches"),
        ("env+=+prod+and+not+db", vec!["web-1"], "1 of 3 hosts matches"),
        ("WEB-2", vec!["web-2"], "1 of 3 hosts matches"),
        ("nothing", vec![], "0 of 3 hosts match"),
        ("", vec!["web-1", "db-1", "web-2"], ""),
    ] {
        let page = site.page(&format!("/?q={q}")).await;
        assert_eq!(texts(&page, "#hosts td.host .t"), expected, "{q}");
        assert_eq!(texts(&page, "[data-f=matching]"), [said], "{q}");
        assert_eq!(texts(&page, "[data-f=hosts], [data-f=problem]"), ["3 hosts", ""], "{q}");
    }
}

#[tokio::test]
async fn agents_of_another_version_than_the_server_are_told_apart() {
    let site = fleet();
    let page = site.page("/").await;
    assert_eq!(texts(&page, "[data-f=other-agents]"), [""]);
    let older = Snapshot { agent_version: "0.0.1".to_owned(), ..snapshot(2, family()) };
    site.tell_snapshot("web-2", older, now_us());
    let page = site.page("/").await;
    assert_eq!(texts(&page, "[data-f=other-agents]"), ["1 agent of another version"]);
    let href = attributes(&page, "[data-f=other-agents]", "href").remove(0);
    let page = site.page(&href).await;
    assert_eq!(texts(&page, "#hosts td.host .t"), ["web-2"], "{href}");
    let ready = site.json("/readyz").await;
    let notices = ready["notices"].to_string();
    assert!(notices.contains("0.0.1 (1)"), "{notices}");
    let hosts = site.json("/api/v1/hosts").await;
    let versions: Vec<_> =
        hosts["hosts"].as_array().unwrap().iter().map(|host| &host["agent_version"]).collect();
    assert_eq!(versions, [env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_VERSION"), "0.0.1"]);
}

#[tokio::test]
async fn a_mistake_in_the_filter_of_the_fleet_page_is_told_at_its_column() {
    let site = fleet();
    let page = site.page("/?q=web+and+cpuu+%3E+%3Cb%3E").await;
    let problem = &texts(&page, "#filter-problem")[0];
    assert!(
        problem.starts_with("At column 9: there is no field `cpuu`; there are host, os, state"),
        "{problem}"
    );
    assert_eq!(attributes(&page, "#q", "value"), ["web and cpuu > <b>"]);
    assert_eq!(attributes(&page, "#q", "aria-invalid"), ["true"]);
    assert_eq!(texts(&page, "#hosts tbody tr").len(), 3, "as on a host's page");
    assert_eq!(texts(&page, "[data-f=matching]"), [""]);
}

#[tokio::test]
async fn groups_are_offered_beside_the_filter_and_lead_there_and_back() {
    let site = fleet();
    let page = site.page("/?sort=host").await;
    assert_eq!(texts(&page, ".chips a"), ["env=prod 2", "web 2", "db 1", "env=test 1"]);
    let web = attributes(&page, ".chips a", "href").swap_remove(1);
    assert_eq!(web, "/?q=group%3Aweb&sort=host");
    let page = site.page(&web).await;
    assert_eq!(texts(&page, "#hosts td.host .t"), ["web-1", "web-2"]);
    assert_eq!(texts(&page, ".chips [aria-current]"), ["web 2"]);
    assert_eq!(attributes(&page, ".chips [aria-current]", "href"), ["/?sort=host"]);
}

#[tokio::test]
async fn a_page_has_some_of_the_hosts_says_which_and_leads_to_the_others_without_scripts() {
    let site = fleet();
    let shown = |page: &Html| texts(page, "[data-f=shown]").swap_remove(0);
    let first = site.page("/?sort=host&rows=2").await;
    assert_eq!(texts(&first, "#hosts td.host .t"), ["db-1", "web-1"]);
    assert_eq!(shown(&first), "hosts 1 to 2 of 3");
    assert_eq!(texts(&first, "#hosts-before, #hosts-after"), ["", "Next 1"]);
    assert_eq!(attributes(&first, "#hosts th.host", "aria-sort"), ["ascending"]);
    let next = attributes(&first, "#hosts-after", "href").swap_remove(0);
    let second = site.page(&next).await;
    assert_eq!(texts(&second, "#hosts td.host .t"), ["web-2"]);
    assert_eq!(shown(&second), "hosts 3 to 3 of 3");
    assert_eq!(texts(&second, "#hosts-before, #hosts-after"), ["Previous 2", ""]);
    assert_eq!(attributes(&second, "#hosts-before", "href"), ["/?sort=host&rows=2"]);
    assert_eq!(attributes(&second, "[data-more]", "href"), ["/?sort=host&rows=500"]);
    // What is behind the last page is the last one; another order and another filter begin at the first.
    assert_eq!(texts(&site.page("/?sort=host&rows=2&page=99").await, "#hosts td.host .t"), ["web-2"]);
    let by_cpu = attributes(&second, "#hosts th.cpu a", "href").swap_remove(0);
    assert_eq!(by_cpu, "/?rows=2");
    assert!(!attributes(&second, "input[type=hidden]", "name").contains(&"page".to_owned()));
    // Where all are shown nothing is said.
    let whole = site.page("/").await;
    assert_eq!(texts(&whole, "[data-f=shown], #hosts-before, #hosts-after").concat(), "");
}

#[tokio::test]
async fn what_needs_a_person_is_told_first_with_since_when_and_nothing_when_all_is_well() {
    let site = fleet();
    let page = site.page("/").await;
    assert_eq!(texts(&page, "#troubles tbody tr").len(), 0);
    site.tell_snapshot("gone-1", snapshot(1, family()), now_us() - 3_600_000_000);
    let mut warning = transition("web-2", "<b>java", Change::Raised);
    warning.change.alert.severity = Severity::Warning;
    warning.change.alert.rule = "memory-nearly-gone".to_owned();
    let mut info = transition("db-1", "java", Change::Raised);
    info.change.alert.severity = Severity::Info;
    for raised in [warning, info, transition("web-1", "java", Change::Raised)] {
        site.shared.alerts.take(raised);
    }
    site.tell("web-1", family());
    let page = site.page("/").await;
    let told = |column: &str| texts(&page, &format!("#troubles td.{column}"));
    assert_eq!(told("status"), ["critical", "down", "warning"]);
    assert_eq!(told("host"), ["web-1", "gone-1", "web-2"]);
    assert_eq!(told("name"), ["Busy", "No snapshot", "Memory nearly gone"]);
    assert_eq!(told("unit"), ["java", "", "<b>java"]);
    let since = attributes(&page, "#troubles td.when a", "href");
    assert!(since.iter().all(|href| href.contains("?at=20")), "{since:?}");
    assert_eq!(attributes(&page, "#troubles td.name a", "href")[0], "/alerts/id-of-web-1");
}

#[tokio::test]
async fn what_somebody_looks_after_comes_last_and_hides_nothing() {
    let site = fleet();
    // More than the table has rows.
    for number in 1..=8 {
        let critical = transition(&format!("bad-{number}"), "java", Change::Raised);
        let by = Acknowledgement { who: "anna".to_owned(), why: String::new(), at_us: now_us() };
        site.shared.acknowledged.note(&critical.change.alert.id, Some(by));
        site.shared.alerts.take(critical);
    }
    let mut warning = transition("web-2", "java", Change::Raised);
    warning.change.alert.severity = Severity::Warning;
    site.shared.alerts.take(warning);
    // No host has reported since.
    let page = site.page("/").await;
    assert_eq!(texts(&page, "#troubles td.host")[0], "web-2");
    let names = texts(&page, "#troubles td.name");
    assert_eq!((names.len(), names[0].as_str(), names[1].as_str()), (8, "Busy", "Busy acknowledged"));
}

#[tokio::test]
async fn a_silent_host_whose_alert_is_raised_is_told_once() {
    let site = fleet();
    site.tell_snapshot("gone-1", snapshot(1, family()), now_us() - 3_600_000_000);
    let mut silent = transition("gone-1", "", Change::Raised);
    silent.change.alert.rule = "host-silent".to_owned();
    silent.change.alert.sentence = "silent for 1m".to_owned();
    site.shared.alerts.take(silent);
    site.tell("web-1", family());
    let page = site.page("/").await;
    assert_eq!(texts(&page, "#troubles td.name"), ["Host silent"]);
}

#[tokio::test]
async fn the_busiest_programs_and_processes_lead_to_what_they_name() {
    let site = Site::with("web-1", family());
    let busy = Process { cpu_percent: Some(88.0), ..process(7, 1, "a \"b\"") };
    site.tell("web-2", vec![process(1, 0, "init"), busy]);
    let page = site.page("/").await;
    assert_eq!(texts(&page, "#busy td.name")[..2], ["a \"b\"", "worker"]);
    assert_eq!(texts(&page, "#busy td.cpu")[..2], ["88.0", "14.2"]);
    let links = attributes(&page, "#busy td.name a", "href");
    assert!(links[0].starts_with("/hosts/web-2/processes/7?started="), "{links:?}");
    let program = attributes(&page, "#programs td.name a", "href").swap_remove(0);
    let found = site.page(&program).await;
    assert_eq!(texts(&found, "#found td.pid"), ["7"], "{program}");
    assert_eq!(attributes(&page, "#h-web-1 td.busiest a", "href"), ["/hosts/web-1?view=flat"]);
}

#[tokio::test]
async fn nobody_learns_of_hosts_groups_or_alerts_that_are_not_theirs() {
    let site = authz::site();
    let viewer = person(Role::Viewer, Some("own"), false);
    for url in ["/", "/?q=other", "/?q=group%3Aother", "/?q=cpu+%3E+0"] {
        let page = get(&site, &viewer, url).await.body;
        let page = Html::parse_document(&page);
        assert_eq!(texts(&page, ".chips a"), ["own 1"], "{url}");
        let shown =
            texts(&page, "#hosts tbody, #troubles tbody, #busy tbody, #programs tbody, [data-f=matching]")
                .join(" ");
        assert!(!shown.contains(OTHER) && !shown.contains("of 2"), "{url}: {shown}");
    }
    let page = Html::parse_document(&get(&site, &viewer, "/").await.body);
    assert_eq!(texts(&page, "#troubles td.host"), [OWN]);
    // A group's name is a field only for those who see a host in it.
    site.shared.groups.set(
        [
            (OWN.parse().unwrap(), ["own".to_owned()].into()),
            (OTHER.parse().unwrap(), ["env=prod".to_owned()].into()),
        ]
        .into(),
    );
    let page = Html::parse_document(&get(&site, &viewer, "/?q=env+=+prod").await.body);
    assert!(texts(&page, "#filter-problem")[0].contains("there is no field `env`"));
}
