//! What a page says of "now", in a real browser: hosts that fall silent, pages that are asked again, and the way to a process.

use fleetps::testing::live::steady_us;
use fleetps_nats::snapshot::Process;
use serde_json::json;

use crate::{
    browser::Browser,
    support::{Site, family, process},
};

const STALE: &str = "return getComputedStyle(document.getElementById('stale')).display !== 'none' && document.querySelector('#stale strong').textContent.split(' ').slice(0, 2).join(' ')";
const DOT: &str =
    "const dot = document.getElementById('live-dot'); return [dot.textContent, dot.classList.contains('on')]";

#[tokio::test]
async fn a_host_that_falls_silent_is_not_live_until_it_is_back() {
    let Some(browser) = Browser::open(Site::with("web-1", family()), true).await else { return };
    for page in ["/hosts/web-1", "/hosts/web-1/system"] {
        browser.go(page).await;
        browser.until(DOT, json!(["live", true])).await;
        browser.until(STALE, json!(false)).await;
        browser.site.shared.fleet.age(steady_us() + 31_000_000);
        browser.until(DOT, json!(["host is silent", false])).await;
        browser.until(STALE, json!("Silent since")).await;
        browser.site.shared.fleet.age(steady_us() + 101_000_000);
        browser.until(STALE, json!("Down since")).await;
        browser.go(page).await;
        browser.until(DOT, json!(["host is down", false])).await;
        browser.site.tell("web-1", family());
        browser.until(DOT, json!(["live", true])).await;
        browser.until(STALE, json!(false)).await;
    }
}

#[tokio::test]
async fn a_page_that_is_not_live_is_asked_again_while_it_ends_now() {
    let Some(browser) = Browser::open(Site::with("web-1", family()), true).await else { return };
    browser.go("/hosts/web-1/processes/11").await;
    browser.until("return document.querySelector('.now dd').textContent", json!("14.2")).await;
    browser
        .until("return document.getElementById('live-dot').textContent.startsWith('loaded ')", json!(true))
        .await;
    browser.run("window.samePage = true").await;
    let mut changed = family();
    changed[2].cpu_percent = Some(77.7);
    browser.site.tell("web-1", changed);
    browser.until("return document.querySelector('.now dd').textContent", json!("77.7")).await;
    browser.until("return window.samePage", json!(true)).await;
}

const DETAIL: &str = "return [...document.querySelectorAll('tr.detail dt')].map((term) => term.textContent)";

fn with_a_worker_in_a_unit() -> Vec<Process> {
    let mut all = family();
    all[2].unit = Some("nginx.service".to_owned());
    all[2].executable = Some("/usr/sbin/nginx\u{202e}".to_owned());
    all
}

#[tokio::test]
async fn a_name_is_the_way_to_a_process_by_mouse_by_key_and_from_the_details_of_its_row() {
    let site = Site::with("web-1", with_a_worker_in_a_unit());
    let Some(browser) = Browser::open(site, true).await else { return };
    let at_the_process = "return location.pathname + ' ' + document.querySelector('h1').textContent";
    browser.go("/hosts/web-1").await;
    browser.until_live().await;
    browser.click("tr[id^=p11-] td.name a.t").await;
    browser.until(at_the_process, json!("/hosts/web-1/processes/11 worker")).await;
    browser.go("/hosts/web-1?view=flat").await;
    browser.until_live().await;
    browser.press("j").await;
    browser.press("d").await;
    // The row has the rest.
    let facts = json!(["Command line", "Executable", "Unit", "Started", "Parent", "PID"]);
    browser.until(DETAIL, facts).await;
    let executable = "return document.querySelector('tr.detail dd.mono + dt + dd.mono').textContent";
    browser.until(executable, json!("/usr/sbin/nginx‹U+202E› Copy")).await;
    browser
        .until("return document.querySelector('tr.detail a[href*=\"/10?\"]').textContent", json!("nginx 10"))
        .await;
    browser.press("Enter").await;
    browser.until(at_the_process, json!("/hosts/web-1/processes/11 worker")).await;
}

#[tokio::test]
async fn a_tap_on_a_row_of_a_narrow_page_shows_what_is_left_out_and_the_way_to_the_process() {
    let site = Site::with("web-1", vec![process(1, 0, "init")]);
    let Some(browser) = Browser::open(site, true).await else { return };
    browser.client.set_window_size(390, 844).await.unwrap();
    browser.go("/hosts/web-1").await;
    browser.until_live().await;
    browser.until("return document.querySelector('td.user').offsetParent", json!(null)).await;
    browser.click("tr[id^=p1-] td.cpu").await;
    browser.until(&format!("{DETAIL}.includes('User')"), json!(true)).await;
    browser.click("tr.detail a.button").await;
    browser.until("return location.pathname", json!("/hosts/web-1/processes/1")).await;
}
