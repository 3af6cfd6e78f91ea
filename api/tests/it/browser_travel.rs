//! Through time in a real browser: by click, by drag, by key, by link, and without scripts.

use fantoccini::{
    Locator,
    actions::{InputSource, MouseActions, PointerAction},
};
use fleetps_nats::{Snapshot, snapshot::Process};
use serde_json::json;

use crate::{
    browser::Browser,
    support::{Site, process, snapshot_at, time_at},
};

/// Ten minutes of web-1, in which each snapshot has a process that is called by its second.
fn history() -> Vec<Vec<(&'static str, Snapshot)>> {
    let at = |second: i64| {
        let named = process(10, 1, &format!("at-{second}"));
        let processes: Vec<Process> = vec![process(1, 0, "init"), Process { started_at_us: second, ..named }];
        ("web-1", snapshot_at(second, processes))
    };
    let all: Vec<_> = (0..600).step_by(10).map(at).collect();
    all.chunks(20).map(<[_]>::to_vec).collect()
}

/// The page at a second, with a timeline over all ten minutes.
fn url_at(second: i64) -> String {
    format!("/hosts/web-1?at={}&from={}&to={}", time_at(second), time_at(0), time_at(600))
}

const SHOWN: &str = "return [...document.querySelectorAll('#processes td.name .t')].map((cell) => cell.textContent).find((name) => name.startsWith('at-'))";
const MARK: &str = "return Number(document.querySelector('#timeline .mark line').getAttribute('x1'))";
const PICTURE: &str = "return document.querySelectorAll('#timeline .picture svg path.line').length";

impl Browser {
    /// Presses the pointer on the timeline at a share of its width, moves it to another, and lets it go.
    async fn drag(&self, from: f64, to: f64) {
        let timeline = self.client.find(Locator::Id("timeline")).await.unwrap();
        let (left, top, width, height) = timeline.rectangle().await.unwrap();
        let y = top + height / 3.0;
        let at = |share: f64| PointerAction::MoveTo { duration: None, x: left + width * share, y };
        let actions = MouseActions::new("mouse".to_owned())
            .then(at(from))
            .then(PointerAction::Down { button: 0 })
            .then(at((from + to) / 2.0))
            .then(at(to))
            .then(PointerAction::Up { button: 0 });
        self.client.perform_actions(actions).await.unwrap();
    }
}

#[tokio::test]
async fn a_click_on_the_timeline_travels_there_and_the_back_button_comes_back() {
    let Some(browser) = Browser::open(Site::with_history(history()), true).await else { return };
    browser.go(&url_at(500)).await;
    browser.until(SHOWN, json!("at-500")).await;
    browser.until(PICTURE, json!(2)).await;
    browser.run("window.samePage = true").await;
    browser.drag(0.25, 0.25).await;
    // A pixel more or less decides between the two snapshots.
    browser.until(&format!("{SHOWN}.match(/^at-1[45]0$/) !== null"), json!(true)).await;
    browser.client.back().await.unwrap();
    browser.until(SHOWN, json!("at-500")).await;
    browser.until("return window.samePage", json!(true)).await;
}

#[tokio::test]
async fn keys_go_from_snapshot_to_snapshot_and_a_held_key_leaves_no_queue() {
    let Some(browser) = Browser::open(Site::with_history(history()), true).await else { return };
    browser.go(&url_at(500)).await;
    browser.until(SHOWN, json!("at-500")).await;
    browser.press("[").await;
    browser.until(SHOWN, json!("at-490")).await;
    browser.until(MARK, json!(816.666_666_666_666_6)).await;
    browser.press("]").await;
    browser.until(SHOWN, json!("at-500")).await;
    let held = "for (let press = 0; press < 30; press++) document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '[', repeat: press > 0, bubbles: true}))";
    browser.run("window.pages = 0; const fetch = window.fetch; window.fetch = (...about) => { window.pages++; return fetch(...about) }").await;
    browser.run(held).await;
    browser.until(SHOWN, json!("at-480")).await;
    assert_eq!(
        browser.run("return window.pages").await,
        json!(2),
        "thirty presses while one page was on its way"
    );
}

#[tokio::test]
async fn a_drag_zooms_and_a_shared_link_opens_the_same_view() {
    let Some(browser) = Browser::open(Site::with_history(history()), true).await else { return };
    browser.go(&url_at(300)).await;
    browser.until(PICTURE, json!(2)).await;
    browser.drag(0.25, 0.75).await;
    browser.until("const {from, to} = document.getElementById('timeline').dataset; return Math.round((to - from) / 6000)", json!(50)).await;
    browser.until(SHOWN, json!("at-300")).await;
    let place = browser.client.find(Locator::Css("[data-view=Flat]")).await.unwrap();
    place.click().await.unwrap();
    browser.until("return new URL(location).searchParams.get('view')", json!("flat")).await;
    let seen = "return [document.getElementById('timeline').dataset.image, document.querySelector('#bar time').dateTime, document.querySelector('.switch [aria-current][data-view]').textContent]";
    let (view, link) = (browser.run(seen).await, browser.client.current_url().await.unwrap());
    browser.client.goto("about:blank").await.unwrap();
    browser.client.goto(link.as_str()).await.unwrap();
    browser.until(seen, view).await;
}

#[tokio::test]
async fn the_live_page_steps_back_by_key_and_l_leads_back_to_live() {
    let site = Site::with_history(history());
    site.tell("web-1", vec![process(1, 0, "init")]);
    site.tell("web-1", vec![process(1, 0, "init")]);
    let Some(browser) = Browser::open(site, true).await else { return };
    browser.go(&url_at(590)).await;
    browser.until(SHOWN, json!("at-590")).await;
    browser.press("l").await;
    browser.until_live().await;
    browser.until("return document.getElementById('bar')", json!(null)).await;
    browser.press("?").await;
    let help = "return [...document.querySelectorAll('dialog dt')].map((term) => term.textContent).join(' ')";
    let keys = browser.run(help).await;
    assert!(
        ["[", "]", "l"].iter().all(|key| keys.as_str().unwrap().split(' ').any(|known| known == *key)),
        "{keys}"
    );
}

#[tokio::test]
async fn pointing_at_the_timeline_says_the_values_there() {
    let Some(browser) = Browser::open(Site::with_history(history()), true).await else { return };
    browser.go(&url_at(500)).await;
    browser.until(PICTURE, json!(2)).await;
    let point = "const box = document.getElementById('timeline').getBoundingClientRect(); document.querySelector('.parts button').dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: box.left + box.width / 2, clientY: box.top + 20}))";
    browser.run(point).await;
    browser
        .until(
            "return document.querySelector('.tip')?.textContent.includes('CPU 31.4 % · Memory 25.0 %')",
            json!(true),
        )
        .await;
}

#[tokio::test]
async fn the_past_can_be_travelled_without_scripts() {
    let Some(browser) = Browser::open(Site::with_history(history()), false).await else { return };
    browser.go(&url_at(500)).await;
    browser.client.wait().for_element(Locator::Css("noscript img, .timeline img")).await.unwrap();
    browser.click("#earlier").await;
    let until_shown = async |second: i64| {
        let wanted = time_at(second).replace('Z', ".000000Z");
        browser.until_attribute("#bar b time", "datetime", &wanted).await;
    };
    until_shown(490).await;
    let buttons = browser.client.find_all(Locator::Css(".parts button")).await.unwrap();
    buttons[15].click().await.unwrap();
    until_shown(150).await;
}
