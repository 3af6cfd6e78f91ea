//! Every page at every width, light and dark, in a real browser: nothing scrolls sideways, no column shrinks to nothing, and
//! axe finds no violation of WCAG 2.2 AA.
//!
//! axe is Deque's, from npm: `FLEETPS_TEST_AXE` names its `axe.min.js`. Without it that test says that it was skipped, and
//! passes; with `FLEETPS_TEST_REQUIRE_AXE=1` it fails instead.

use std::io::Write;

use fleetps_nats::snapshot::Process;
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    history::PastSite,
    support::{family, process},
};

/// From the narrowest phone to a wide screen; 720 is half of 1440, as at 200 % zoom.
const WIDTHS: [u32; 9] = [320, 390, 701, 720, 800, 960, 1024, 1440, 2560];
const HEIGHT: u32 = 900;

/// What is wider than the page, and columns that are narrower than a word. Half a pixel is rounding.
const TOO_WIDE: &str = "
    const width = document.documentElement.clientWidth;
    const wide = document.documentElement.scrollWidth <= width ? [] : [...document.querySelectorAll('body *')]
        .filter((element) => element.getBoundingClientRect().right > width + .5 && !element.closest('.answer'))
        .map((element) => `${element.tagName}#${element.id}`);
    const narrow = [...document.querySelectorAll('table.rows thead th')]
        .filter((head) => head.offsetParent && head.textContent.trim() && head.getBoundingClientRect().width < 34)
        .map((head) => `${head.closest('table').id} ${head.className}`);
    return [...wide.slice(0, 5), ...narrow];";

/// A history, and two hosts of now: one with long names, deep families and a long command line, one that was never
/// heard of again.
fn site() -> (PastSite, Vec<String>) {
    let past = PastSite::usual();
    let mut all = family();
    all.extend((100..130).map(|pid| Process {
        name: format!("a-program-with-a-long-name-{pid}"),
        command_line: Some(format!("/usr/bin/long --{}", "option=".repeat(400))),
        unit: Some("a-unit-with-a-name-that-is-long.service".to_owned()),
        ..process(pid, if pid == 100 { 10 } else { pid - 1 }, "long")
    }));
    past.site.tell("web-1", all.clone());
    past.site.tell("a-host-with-a-name-that-is-quite-long-indeed-01", all);
    let (from, to) = (past.at(0), past.at(12));
    let host = "/hosts/web-1";
    let pages = [
        "/".to_owned(),
        host.to_owned(),
        format!("{host}?view=flat"),
        format!("{host}?view=program"),
        format!("{host}?at={}", past.at(5)),
        format!("{host}/system"),
        format!("{host}/history?from={from}&to={to}"),
        format!("{host}/events?from={from}&to={to}"),
        format!("{host}/diff?from={}&to={}", past.at(1), past.at(10)),
        format!("{host}/processes/11"),
        format!("/events?from={from}&to={to}"),
        format!("/top?from={from}&to={to}"),
        "/search?q=nginx".to_owned(),
        "/glossary".to_owned(),
        "/api".to_owned(),
        "/nowhere".to_owned(),
    ];
    (past, pages.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_scrolls_sideways_and_no_column_shrinks_to_nothing_at_any_width() {
    let (past, pages) = site();
    let Some(browser) = Browser::open(past.site, true).await else { return };
    for page in pages {
        browser.go(&page).await;
        for width in WIDTHS {
            browser.client.set_window_size(width, HEIGHT).await.unwrap();
            browser.until("return innerWidth", json!(width)).await;
            assert_eq!(browser.run(TOO_WIDE).await, json!([]), "{page} at {width} px");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_process_is_on_the_first_third_of_a_laptops_screen() {
    let (past, _) = site();
    let Some(browser) = Browser::open(past.site, true).await else { return };
    browser.client.set_window_size(1440, HEIGHT).await.unwrap();
    browser.go("/hosts/web-1").await;
    let top = "return document.querySelector('#processes tbody tr').getBoundingClientRect().top <= 300";
    browser.until(top, json!(true)).await;
}

/// The source of axe, where it is.
pub fn axe() -> Option<String> {
    let source = std::env::var("FLEETPS_TEST_AXE").ok().and_then(|path| std::fs::read_to_string(path).ok());
    let required = std::env::var_os("FLEETPS_TEST_REQUIRE_AXE").is_some_and(|value| value == "1");
    assert!(
        source.is_some() || !required,
        "axe is required (FLEETPS_TEST_REQUIRE_AXE=1), but FLEETPS_TEST_AXE is no file"
    );
    if source.is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED a test of accessibility: FLEETPS_TEST_AXE names no axe.min.js"
        );
    }
    source
}

/// What axe finds wrong with the page as it is.
pub async fn violations(browser: &Browser, axe: &str) -> Value {
    browser.client.execute(&format!("{axe}; window.axe = axe"), Vec::new()).await.unwrap();
    browser.run("window.found = null; const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']; axe.run(document, {runOnly: tags}).then((found) => { window.found = found.violations.map((violation) => [violation.id, violation.nodes.length, violation.nodes[0].html, violation.nodes[0].failureSummary]) })").await;
    browser.until("return Array.isArray(window.found)", Value::Bool(true)).await;
    browser.run("return window.found").await
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_wrong_on_any_page_in_either_theme() {
    let Some(axe) = axe() else { return };
    let (past, pages) = site();
    let Some(browser) = Browser::open(past.site, true).await else { return };
    // Of a silent host, too: its bar, and its table without colour.
    let silent = "/hosts/a-host-with-a-name-that-is-quite-long-indeed-01".to_owned();
    for page in pages.into_iter().chain([silent]) {
        if page.contains("quite-long") {
            browser.site.shared.fleet.age(fleetps::testing::live::steady_us() + 31_000_000);
        }
        for theme in ["light", "dark"] {
            browser.go(&page).await;
            browser.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
            assert_eq!(violations(&browser, &axe).await, json!([]), "{page}, {theme}");
        }
    }
}
