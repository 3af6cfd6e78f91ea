//! Suggestions below the box of the head, in a real browser: typing, keys, the pointer, and answers that come out of order.

use fantoccini::{Locator, elements::Element};
use serde_json::json;

use crate::{
    browser::Browser,
    browser_widths::{axe, violations},
    suggest::fleet,
};

const TEXTS: &str = "return [...document.querySelectorAll('#suggestions [role=option] .t')].map((option) => option.textContent)";
const CHOSEN: &str = "return document.getElementById(document.getElementById('find').getAttribute('aria-activedescendant'))?.querySelector('.t').textContent ?? null";
const IS_OPEN: &str = "return document.getElementById('find').getAttribute('aria-expanded')";
const PLACE: &str = "return location.pathname + location.search";
const DOWN: &str = "\u{e015}";
const UP: &str = "\u{e013}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

async fn field(browser: &Browser) -> Element {
    browser.client.find(Locator::Id("find")).await.unwrap()
}

/// Types into the box, and waits until this is suggested.
async fn suggested(browser: &Browser, text: &str, wanted: &[&str]) -> Element {
    let field = field(browser).await;
    field.send_keys(text).await.unwrap();
    browser.until(TEXTS, json!(wanted)).await;
    field
}

const OF_SERVER: [&str; 3] = ["webserver", "webserver", "All results for “webs”"];

#[tokio::test(flavor = "multi_thread")]
async fn arrows_choose_enter_opens_and_escape_closes_and_keeps_the_text() {
    let Some(browser) = Browser::open(fleet(), true).await else { return };
    browser.go("/").await;
    browser.until_live().await;
    let field = suggested(&browser, "webs", &OF_SERVER).await;
    browser.until(IS_OPEN, json!("true")).await;
    assert_eq!(browser.run(CHOSEN).await, json!(null));
    for (key, wanted) in
        [(DOWN, "webserver"), (UP, ""), (UP, "All results for “webs”"), (DOWN, ""), (DOWN, "webserver")]
    {
        field.send_keys(key).await.unwrap();
        let wanted = if wanted.is_empty() { json!(null) } else { json!(wanted) };
        browser.until(CHOSEN, wanted).await;
    }
    field.send_keys(ESCAPE).await.unwrap();
    browser.until(IS_OPEN, json!("false")).await;
    let kept = "const field = document.getElementById('find'); return [field.value, document.activeElement === field]";
    assert_eq!(browser.run(kept).await, json!(["webs", true]));
    field.send_keys(DOWN).await.unwrap();
    browser.until(TEXTS, json!(OF_SERVER)).await;
    // The second of the name is the process with most CPU.
    field.send_keys(&format!("{DOWN}{DOWN}{ENTER}")).await.unwrap();
    browser.until("return location.pathname", json!("/hosts/db-1/processes/31")).await;
    browser.until(IS_OPEN, json!("false")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enter_alone_searches_as_ever_and_the_pointer_opens_what_it_clicks() {
    let Some(browser) = Browser::open(fleet(), true).await else { return };
    browser.go("/top").await;
    let field = suggested(&browser, "webs", &OF_SERVER).await;
    field.send_keys(ENTER).await.unwrap();
    browser.until(PLACE, json!("/search?q=webs")).await;
    browser.until(IS_OPEN, json!("false")).await;
    // The head stays, and with it the text.
    let field =
        suggested(&browser, "\u{e003}\u{e003}\u{e003}eb-1", &["web-1", "db-1", "All results for “web-1”"])
            .await;
    browser.click("#suggestions a[href='/hosts/web-1']").await;
    browser.until(PLACE, json!("/hosts/web-1")).await;
    browser.until(IS_OPEN, json!("false")).await;
    assert_eq!(field.prop("value").await.unwrap().as_deref(), Some("web-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_answer_that_comes_later_is_dropped() {
    let Some(browser) = Browser::open(fleet(), true).await else { return };
    browser.go("/top").await;
    browser.run("
        window.asked = [];
        const real = window.fetch;
        window.fetch = (url, ...rest) => String(url).startsWith('/api/v1/suggest')
            ? new Promise((resolve) => window.asked.push({ answer: () => real(url).then((answer) => resolve({ ok: true, json: async () => {
                const read = await answer.json();
                setTimeout(() => { window.read = (window.read ?? 0) + 1 }); // behind what is done with it
                return read;
            } })) }))
            : real(url, ...rest);").await;
    let field = field(&browser).await;
    for (text, number) in [("init", 1), ("\u{e003}\u{e003}\u{e003}\u{e003}webs", 2)] {
        field.send_keys(text).await.unwrap();
        browser.until("return window.asked.length", json!(number)).await;
    }
    browser.run("window.asked[1].answer()").await;
    browser.until(TEXTS, json!(OF_SERVER)).await;
    browser.run("window.asked[0].answer()").await;
    browser.until("return window.read", json!(2)).await;
    assert_eq!(browser.run(TEXTS).await, json!(OF_SERVER));
    // Nor does one come back to a list that was closed.
    field.send_keys("e").await.unwrap();
    browser.until("return window.asked.length", json!(3)).await;
    field.send_keys(ESCAPE).await.unwrap();
    browser.run("window.asked[2].answer()").await;
    browser.until("return window.read", json!(3)).await;
    assert_eq!(browser.run(IS_OPEN).await, json!("false"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_text_a_wrong_filter_says_its_column_and_a_time_that_names_are_of_now() {
    let Some(browser) = Browser::open(fleet(), true).await else { return };
    browser.go("/top").await;
    let label = "web<img src=x onerror=alert(1)>‹U+202E›";
    let field = suggested(&browser, "src", &[label, label, "All results for “src”"]).await;
    assert_eq!(browser.run("return document.querySelectorAll('#suggestions img').length").await, json!(0));
    let note = "return document.getElementById('find-note').textContent";
    field.clear().await.unwrap();
    field.send_keys("cpu > x").await.unwrap();
    browser.until(&format!("{note}.split(':')[0]"), json!("At column 7")).await;
    browser.until(IS_OPEN, json!("false")).await;
    field.clear().await.unwrap();
    let texts = ["webserver", "All results for “webserver”"];
    suggested(&browser, "webserver at 2026-11-20 03:12", &texts).await;
    browser.until(&format!("{note}.startsWith('Names as of now; the links lead to ')"), json!(true)).await;
    field.send_keys(ENTER).await.unwrap();
    browser
        .until(
            "return location.pathname + location.search.slice(0, 27)",
            json!("/search?q=webserver&at=2026-11-20T"),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_wrong_with_the_list_and_nothing_scrolls_sideways_at_any_width_in_either_theme() {
    let Some(axe) = axe() else { return };
    let Some(browser) = Browser::open(fleet(), true).await else { return };
    for width in [320, 1024, 1440] {
        browser.client.set_window_size(width, 800).await.unwrap();
        for (text, is_list) in [("web at 2026-11-20 03:12", true), ("cpu > x", false)] {
            for theme in ["light", "dark"] {
                browser.go("/top").await;
                browser.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
                let field = field(&browser).await;
                field.send_keys(text).await.unwrap();
                let note = "return document.getElementById('find-note').textContent !== ''";
                browser.until(note, json!(true)).await;
                if is_list {
                    field.send_keys(DOWN).await.unwrap();
                }
                let is_chosen =
                    "return document.getElementById('find').hasAttribute('aria-activedescendant')";
                browser.until(is_chosen, json!(is_list)).await;
                assert_eq!(violations(&browser, &axe).await, json!([]), "{text} at {width} px, {theme}");
                let is_wide = "const { scrollWidth, clientWidth } = document.documentElement; return scrollWidth > clientWidth";
                assert_eq!(browser.run(is_wide).await, json!(false), "{text} at {width} px");
            }
        }
    }
}
