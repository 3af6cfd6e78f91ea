//! From page to page over time in a real browser: search, a process, and back.

use fantoccini::Locator;
use serde_json::json;

use crate::{browser::Browser, history::PastSite};

const TITLE: &str = "return document.querySelector('main h1').textContent";

#[tokio::test(flavor = "multi_thread")]
async fn a_search_leads_to_a_process_and_back_to_the_same_search() {
    let past = PastSite::usual();
    let at = past.at(5);
    let Some(browser) = Browser::open(past.site, true).await else { return };
    browser.go("/top").await;
    let find = browser.client.find(Locator::Id("find")).await.unwrap();
    find.send_keys("worker\u{e007}").await.unwrap();
    browser.until(TITLE, json!("Search")).await;
    browser.until("return location.pathname + location.search", json!("/search?q=worker")).await;
    let moment = browser.client.find(Locator::Id("search-at")).await.unwrap();
    moment.send_keys(&format!("{at}\u{e007}")).await.unwrap();
    browser.until("return document.querySelectorAll('#found tbody tr').length", json!(2)).await;
    let link = browser.client.find(Locator::Css("#found tbody tr:last-child td.name a")).await.unwrap();
    link.click().await.unwrap();
    browser.until(TITLE, json!("worker")).await;
    browser.until("return document.querySelector('#siblings td.pid').textContent", json!("11")).await;
    browser.client.back().await.unwrap();
    browser.until("return document.querySelectorAll('#found tbody tr').length", json!(2)).await;
    assert_eq!(browser.run("return document.getElementById('q').value").await, json!("worker"));
}
