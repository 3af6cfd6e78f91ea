//! Charts in a real browser: axes, values at the cursor, legends that isolate, and all of it by keyboard.

use serde_json::json;

use crate::{browser::Browser, history::PastSite};

const TICKS: &str = "return [...document.querySelectorAll('#chart-cpu .plot .ticks span')].slice(0, 3).map((tick) => tick.textContent)";
const FADED: &str = "return [...document.querySelectorAll('#chart-load .chart path.line')].map((path) => path.classList.contains('faded'))";

fn history(past: &PastSite) -> String {
    format!("/hosts/web-1/history?from={}&to={}", past.at(0), past.at(12))
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_have_axes_a_grid_and_times_and_their_programs_are_links() {
    let past = PastSite::usual();
    let url = history(&past);
    let Some(browser) = Browser::open(past.site, true).await else { return };
    browser.go(&url).await;
    browser.until(TICKS, json!(["100 %", "50.0 %", "0.0 %"])).await;
    browser
        .until("return document.querySelectorAll('#chart-cpu .chart:not(.stack) path.grid').length", json!(1))
        .await;
    browser
        .until(
            "return document.querySelector('#chart-cpu .plot').querySelectorAll('.labels time').length",
            json!(7),
        )
        .await;
    browser.click("#chart-cpu .legend a").await;
    browser.until("return new URL(location).searchParams.get('q')", json!("name = \"worker\"")).await;
    browser.until("return document.querySelector('#processes, #nothing') !== null", json!(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cursor_moves_by_key_and_every_series_says_its_value_there() {
    let past = PastSite::usual();
    let url = history(&past);
    let Some(browser) = Browser::open(past.site, true).await else { return };
    browser.go(&url).await;
    browser.until("return document.querySelectorAll('.chart .handle').length > 6", json!(true)).await;
    browser.run("document.querySelector('#chart-cpu .handle').focus()").await;
    browser.press("ArrowLeft").await;
    browser.until("return document.activeElement.ariaValueNow", json!("99")).await;
    browser.until("return document.querySelectorAll('.chart .cursor').length > 6", json!(true)).await;
    browser.press("Home").await;
    browser.until("return document.activeElement.ariaValueNow", json!("0")).await;
    browser
        .until("return document.querySelector('#chart-cpu .caption [data-v]').textContent", json!("31.4 %"))
        .await;
    browser.until("return document.activeElement.ariaValueText.includes('31.4')", json!(true)).await;
    browser
        .until("return document.querySelector('#chart-memory .legend .then').textContent !== ''", json!(true))
        .await;
    // The row of values beside the charts is of the same moment.
    browser
        .until("return document.querySelector('#values [data-v=cpu_percent]').textContent", json!("31.4"))
        .await;
    browser.press("Enter").await;
    browser.until("return new URL(location).searchParams.get('at') !== null", json!(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legend_isolates_one_line_and_shows_all_again() {
    let past = PastSite::usual();
    let url = history(&past);
    let Some(browser) = Browser::open(past.site, true).await else { return };
    browser.go(&url).await;
    browser.click("#chart-load .key:nth-of-type(1)").await;
    browser.until(FADED, json!([false])).await;
    browser.click("#chart-load .key:nth-of-type(2)").await;
    browser.until(FADED, json!([true])).await;
    browser.click("#chart-load .key:nth-of-type(2)").await;
    browser.until(FADED, json!([false])).await;
}
