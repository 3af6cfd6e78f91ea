//! Pages, through the router.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fleetps::testing::live::now_us;
use fleetps_nats::Snapshot;

use crate::support::{Site, attributes, family, process, snapshot, texts};

#[tokio::test]
async fn an_empty_install_says_how_to_start_an_agent() {
    let html = Site::new().page("/").await;
    let said = &texts(&html, ".empty")[0];
    for line in ["fleetps enrol-token", "fleetps-agent join", "fleetps --demo 40"] {
        assert!(said.contains(line), "{said}");
    }
}

#[tokio::test]
async fn the_fleet_page_shows_each_host_with_its_state_figures_and_busiest_process() {
    let site = Site::with("web-1", family());
    site.tell_snapshot("gone-1", snapshot(1, family()), now_us() - 3_600_000_000);
    let html = site.page("/").await;
    assert_eq!(texts(&html, "[data-f=up], [data-f=silent], [data-f=down]"), ["1 up", "0 silent", "1 down"]);
    let up = texts(&html, "#h-web-1 td");
    assert_eq!(
        [&up[..2], &up[3..5], &up[6..11]].concat(),
        ["up", "web-1", "Debian GNU/Linux 12", "31.4", "25.0", "32.0 GiB", "0.42", "5", "worker 14.2 %"]
    );
    let down = texts(&html, "#h-gone-1 td");
    assert_eq!(down[..5], ["down", "gone-1", "", "Debian GNU/Linux 12", "–"]);
    assert_eq!(down[6..], ["–", "32.0 GiB", "–", "–", "–", "1 h"]);
    assert_eq!(texts(&html, "#programs tbody tr:first-child td")[..4], ["worker", "1", "2", "14.7"]);
    let filtered = site.page("/?q=down").await;
    assert_eq!(texts(&filtered, "#hosts td.host"), ["gone-1"]);
}

#[tokio::test]
async fn hosts_whose_clock_is_off_and_two_machines_with_one_key_are_told_above_the_table() {
    let site = Site::with("web-1", family());
    assert_eq!(texts(&site.page("/").await, "[data-f=warnings]"), [""]);
    let off = Snapshot { clock_offset_us: Some(-3_600_000_000), ..snapshot(1, family()) };
    site.tell_snapshot("behind", off, now_us());
    for (sequence, run_id) in [(2, "a"), (3, "b"), (4, "a")] {
        let of_run = Snapshot { run_id: run_id.to_owned(), ..snapshot(sequence, family()) };
        site.tell_snapshot("twice", of_run, now_us());
    }
    let told = ["behind: clock 1 h behind", "twice: two machines send as this host"].join(" · ");
    assert_eq!(texts(&site.page("/").await, "[data-f=warnings]"), [told]);
    assert_eq!(texts(&site.page("/?q=clock").await, "#hosts td.host"), ["behind"]);
    let of_host = texts(&site.page("/hosts/behind").await, "[data-f=warning]");
    assert_eq!(of_host, ["clock 1 h behind: times here are by the server's clock, not the host's"]);
    let hosts = site.json("/api/v1/hosts").await;
    let warnings: Vec<_> = hosts["hosts"].as_array().unwrap().iter().map(|host| &host["warning"]).collect();
    assert_eq!(warnings.iter().filter(|warning| warning.is_string()).count(), 2, "{hosts}");
}

#[tokio::test]
async fn the_tree_hangs_children_below_their_parents_with_the_sums_of_what_is_below() {
    let site = Site::with("web-1", family());
    let html = site.page("/hosts/web-1").await;
    assert_eq!(texts(&html, "#processes td.pid"), ["1", "10", "11", "12", "20"]);
    assert_eq!(attributes(&html, "#processes tbody tr", "aria-level"), ["1", "2", "3", "3", "2"]);
    assert_eq!(attributes(&html, "#processes tbody tr", "aria-posinset"), ["1", "1", "1", "2", "2"]);
    assert_eq!(texts(&html, "#processes td.name .note")[1], "2 below · Σ 14.7 % · 20.0 M");
    assert_eq!(attributes(&html, "table#processes", "role"), ["treegrid"]);

    let toggle = attributes(&html, "[aria-expanded=true] .twist", "href")[1].clone();
    assert!(toggle.starts_with("/hosts/web-1?closed=10#p10-"), "{toggle}");
    let collapsed = site.page(toggle.split('#').next().unwrap()).await;
    assert_eq!(texts(&collapsed, "#processes td.pid"), ["1", "10", "20"]);
    assert_eq!(attributes(&collapsed, "#processes tr:nth-child(2)", "aria-expanded"), ["false"]);
}

#[tokio::test]
async fn a_filter_keeps_ancestors_and_dims_them() {
    let site = Site::with("web-1", family());
    let html = site.page("/hosts/web-1?q=WORKER").await;
    assert_eq!(texts(&html, "#processes td.pid"), ["1", "10", "11", "12"]);
    assert_eq!(texts(&html, "#processes tr.dim td.pid"), ["1", "10"]);
    assert_eq!(texts(&html, "[data-f=matching]"), ["2 matches"]);
}

#[tokio::test]
async fn rates_appear_with_the_second_sample_and_are_missing_before() {
    let site = Site::with("web-1", vec![process(1, 0, "init")]);
    assert_eq!(texts(&site.page("/hosts/web-1").await, "td.read, td.written"), ["–", "–"]);
    let mut later = process(1, 0, "init");
    later.read_bytes = Some(1000 + 10 * 2048);
    site.tell("web-1", vec![later]);
    assert_eq!(texts(&site.page("/hosts/web-1").await, "td.read, td.written"), ["2.00 k", "0"]);
}

#[tokio::test]
async fn processes_can_be_flat_folded_sorted_and_shown_with_other_columns() {
    let site = Site::with("web-1", family());
    let flat = site.page("/hosts/web-1?view=flat&sort=pid&dir=desc").await;
    assert_eq!(texts(&flat, "#processes td.pid"), ["20", "12", "11", "10", "1"]);
    assert_eq!(attributes(&flat, "th[aria-sort]", "aria-sort"), ["descending"]);
    let folded = site.page("/hosts/web-1?view=user").await;
    assert_eq!(texts(&folded, "#processes td.name"), ["root", "www-data"]);
    assert_eq!(texts(&folded, "#processes td.pid"), ["4", "1"]);
    let columns = site.page("/hosts/web-1?cols=parent&cols=cpu").await;
    assert_eq!(texts(&columns, "#processes th"), ["Process", "Parent", "CPU %"]);
}

#[tokio::test]
async fn five_thousand_processes_are_shown_in_portions_below_100_kb() {
    let processes =
        (1..=5_000).map(|pid| process(pid, u32::from(pid > 1), &format!("worker-{pid}"))).collect();
    let site = Site::with("big", processes);
    for url in ["/hosts/big", "/hosts/big?view=flat"] {
        let request = Request::get(url).header("host", "localhost").header("accept-encoding", "gzip");
        let response = tower::ServiceExt::oneshot(site.router.clone(), request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().len();
        assert!(bytes < 100_000, "{url}: {bytes} bytes");
        let html = site.page(url).await;
        assert_eq!(texts(&html, "#processes td.pid").len(), 500);
        assert_eq!(texts(&html, "[data-more]"), ["Show 500 more of 5,000"]);
    }
    assert_eq!(texts(&site.page("/hosts/big?rows=20000").await, "#processes td.pid").len(), 5_000);
}

#[tokio::test]
async fn refusals_are_pages_or_json_with_the_right_status() {
    let site = Site::with("web-1", family());
    for (url, status, text) in [
        ("/hosts/nobody", StatusCode::NOT_FOUND, "No host is called \"nobody\""),
        ("/hosts/a.b", StatusCode::NOT_FOUND, "No host"),
        ("/nowhere", StatusCode::NOT_FOUND, "Page not found: /nowhere"),
        ("/hosts/web-1?sort=colour", StatusCode::BAD_REQUEST, "The parameter “sort”"),
        ("/?rows=-1", StatusCode::BAD_REQUEST, "The parameter “rows”"),
        ("/hosts/%FF", StatusCode::BAD_REQUEST, "cannot be read"),
    ] {
        let answer = site.get(url).await;
        assert_eq!(answer.status, status, "{url}");
        let html = scraper::Html::parse_document(&answer.body);
        assert!(texts(&html, "h1")[0].contains(text), "{url}: {}", answer.body);
    }
}

#[tokio::test]
async fn every_answer_carries_the_protecting_headers_and_foreign_names_are_misdirected() {
    let site = Site::with("web-1", family());
    for url in ["/", "/hosts/web-1", "/nowhere", "/api/v1/hosts", "/healthz", "/favicon.ico"] {
        let headers = site.get(url).await.headers;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{url}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{url}");
    }
    let foreign = Request::get("/").header("host", "evil.example:8080").body(Body::empty()).unwrap();
    assert_eq!(site.send(foreign).await.status, StatusCode::MISDIRECTED_REQUEST);
    let nameless = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(site.send(nameless).await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn pages_hold_no_inline_script_or_style_and_their_assets_are_kept_for_ever() {
    let site = Site::with("web-1", family());
    for url in ["/", "/hosts/web-1", "/hosts/web-1/system", "/nowhere"] {
        let html = scraper::Html::parse_document(&site.get(url).await.body);
        assert!(texts(&html, "style, script:not([src])").is_empty(), "{url}");
        assert!(attributes(&html, "[style]", "style").is_empty(), "{url}");
        for asset in attributes(&html, "script", "src").into_iter().chain(attributes(&html, "link", "href")) {
            let answer = site.get(&asset).await;
            assert_eq!(answer.status, StatusCode::OK, "{asset}");
            assert!(answer.headers["cache-control"].to_str().unwrap().contains("immutable"), "{asset}");
        }
    }
}

#[tokio::test]
async fn a_host_that_sends_nothing_says_since_when_over_its_last_table() {
    let site = Site::with("web-1", family());
    assert_eq!(texts(&site.page("/hosts/web-1").await, "#stale [data-f=stale]"), [""]);
    let last_us = now_us() - 3_600_000_000;
    site.tell_snapshot("gone-1", snapshot(1, family()), last_us);
    for url in ["/hosts/gone-1", "/hosts/gone-1/system"] {
        let html = site.page(url).await;
        assert_eq!(texts(&html, ".word.down[data-f=state]"), ["down"], "{url}");
        assert_eq!(texts(&html, "#stale [data-f=stale]"), ["Down since"], "{url}");
        let since = attributes(&html, "#stale time.clock", "datetime");
        assert_eq!(since, [fleetps::testing::display::time_exact(last_us)], "{url}");
        assert!(texts(&html, "#live-dot")[0].starts_with("loaded "), "{url}");
    }
}

#[tokio::test]
async fn a_form_that_is_refused_comes_back_as_it_was_filled_in() {
    let site = Site::with("web-1", family());
    for (url, field, value) in [
        ("/hosts/web-1/groups", "groups", "web <b> env=prod"),
        ("/hosts/web-1/settings", "interval_ms", "soon"),
    ] {
        let answer = site.send(site.form(url, &[(field, value)]).await).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{url}: {}", answer.body);
        let html = scraper::Html::parse_document(&answer.body);
        assert_eq!(attributes(&html, "form.fields", "action"), [url]);
        assert_eq!(texts(&html, "textarea"), [value], "{url}");
        assert_eq!(attributes(&html, "form.fields p a", "href"), ["/hosts/web-1/system"]);
    }
}

#[tokio::test]
async fn every_page_begins_with_the_way_past_its_head_and_ends_with_the_glossary() {
    let site = Site::with("web-1", family());
    for url in ["/", "/hosts/web-1", "/glossary"] {
        let html = site.page(url).await;
        assert_eq!(attributes(&html, "body a", "href")[0], "#main", "{url}");
        assert_eq!(attributes(&html, "footer a", "href"), ["/glossary"], "{url}");
    }
    assert!(texts(&site.page("/glossary").await, ".glossary dt").contains(&"Silent".to_owned()));
}

#[tokio::test]
async fn the_system_page_says_what_is_known_and_dashes_for_what_is_not() {
    let site = Site::with("web-1", family());
    let html = site.page("/hosts/web-1/system").await;
    assert_eq!(
        texts(&html, "[data-f=os], [data-f=kernel], [data-f=memory_used]"),
        ["Debian GNU/Linux 12", "–", "8.00 GiB of 32.0 GiB"]
    );
}
