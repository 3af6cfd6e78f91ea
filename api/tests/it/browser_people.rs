//! Signing in, in a real browser: the first administrator, a user, a token, and out again.

use std::time::Duration;

use fantoccini::Locator;
use fleetps::testing::auth::SignInSettings;
use fleetps_nats::server::ManagedServer;
use serde_json::json;

use crate::{
    browser::Browser,
    guarded::{Guarded, PASSWORD},
    support::PATIENCE,
};

/// A browser in front of a site without users, the first link, and the broker.
async fn open(scripts: bool) -> Option<(Browser, String, ManagedServer)> {
    let guarded = Guarded::new(SignInSettings::default()).await;
    let link = guarded.first_link().await;
    let (site, server) = guarded.into_parts();
    Some((Browser::open(site, scripts).await?, link, server))
}

/// Fills in the fields of the page, and presses a button.
async fn send(browser: &Browser, fields: &[(&str, &str)], button: &str) {
    for (name, value) in fields {
        let field = Locator::Css(name);
        browser.client.wait().for_element(field).await.unwrap().send_keys(value).await.unwrap();
    }
    browser.click(button).await;
}

/// Waits until an element says this, and returns all that it says. While one page follows another, an element may be gone
/// between finding and reading it.
async fn says(browser: &Browser, selector: &str, wanted: &str) -> String {
    let mut last = None;
    let waiting = async {
        loop {
            if let Ok(element) = browser.client.find(Locator::Css(selector)).await {
                last = element.text().await.ok();
            }
            if let Some(text) = last.take_if(|text| text.contains(wanted)) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    let said = tokio::time::timeout(PATIENCE, waiting).await;
    said.unwrap_or_else(|_| panic!("{selector} says {last:?}, not {wanted:?}"))
}

const CHOSEN: [(&str, &str); 2] = [("[name=password]", PASSWORD), ("[name=repeated]", PASSWORD)];

/// From the first link to a user with a token, and out; every step is a form.
async fn from_the_first_link_to_a_token(scripts: bool) {
    let Some((browser, link, server)) = open(scripts).await else { return };
    browser.go("/hosts/web-1").await;
    says(&browser, "h1", "Sign in").await;
    browser.go(&link).await;
    send(&browser, &[("[name=name]", "anna"), CHOSEN[0], CHOSEN[1]], "main button").await;
    says(&browser, "#hosts td.host", "web-1").await;

    browser.click("a[href='/users']").await;
    send(&browser, &[("main [name=name]", "bert")], "main form button").await;
    let for_bert = says(&browser, "#link", "/welcome/").await;
    if scripts {
        browser.click("button[data-copy-of='link']").await;
        says(&browser, "button[data-copy-of='link']", "Copied").await;
    }
    send(&browser, &[], "form[action='/sign-out'] button").await;
    says(&browser, "h1", "Sign in").await;

    browser.client.goto(&for_bert).await.unwrap();
    says(&browser, "h1", "Welcome, bert").await;
    send(&browser, &CHOSEN, "main button").await;
    says(&browser, ".top a[href='/account']", "bert").await;
    send(&browser, &[], "form[action='/sign-out'] button").await;
    says(&browser, "h1", "Sign in").await;
    browser.go("/hosts/web-1?view=flat").await;
    send(&browser, &[("[name=name]", "bert"), ("[name=password]", "not it at all")], "main button").await;
    says(&browser, "[role=alert]", "Wrong name or password").await;
    send(&browser, &[("[name=password]", PASSWORD)], "main button").await;
    says(&browser, "#processes", "").await;
    let url = browser.client.current_url().await.unwrap();
    assert_eq!((url.path(), url.query()), ("/hosts/web-1", Some("view=flat")));

    browser.go("/account").await;
    send(&browser, &[("main [name=name]", "report")], "form[action='/account/tokens'] button").await;
    says(&browser, "#new-token", "fleetps_").await;
    if scripts {
        for width in [320, 720, 800, 1440] {
            browser.client.set_window_size(width, 900).await.unwrap();
            let fits = "return [innerWidth, document.documentElement.scrollWidth <= document.documentElement.clientWidth]";
            browser.until(fits, json!([width, true])).await;
        }
    }
    browser.go("/users").await;
    says(&browser, "h1", "You may not").await;
    server.stop().await;
}

#[tokio::test]
async fn people_sign_in_make_users_and_tokens_and_sign_out() {
    from_the_first_link_to_a_token(true).await;
}

#[tokio::test]
async fn people_sign_in_make_users_and_tokens_and_sign_out_without_scripts() {
    from_the_first_link_to_a_token(false).await;
}

#[tokio::test]
async fn an_open_page_leads_to_the_sign_in_when_its_session_is_ended() {
    let Some((browser, link, server)) = open(true).await else { return };
    browser.go(&link).await;
    send(&browser, &[("[name=name]", "anna"), CHOSEN[0], CHOSEN[1]], "main button").await;
    browser.until_live().await;
    let accounts = browser.site.shared.people.accounts().unwrap();
    let (key, _) = accounts.sessions_of("anna").swap_remove(0);
    accounts.sessions.remove(&key).await.unwrap();
    browser.until("return location.pathname + location.search", json!("/sign-in?next=%2F")).await;
    server.stop().await;
}

#[tokio::test]
async fn what_was_typed_is_there_again_when_the_session_had_ended_in_another_tab() {
    let Some((browser, link, server)) = open(true).await else { return };
    browser.go(&link).await;
    send(&browser, &[("[name=name]", "anna"), CHOSEN[0], CHOSEN[1]], "main button").await;
    browser.until_live().await;
    browser.go("/sql").await;
    says(&browser, "h1", "SQL").await;
    browser.run("document.querySelector('textarea').value = 'SELECT 42 AS kept'").await;
    let accounts = browser.site.shared.people.accounts().unwrap();
    let (key, _) = accounts.sessions_of("anna").swap_remove(0);
    accounts.sessions.remove(&key).await.unwrap();
    browser.run("document.querySelector('textarea').form.requestSubmit()").await;
    says(&browser, "h1", "Sign in").await;
    send(&browser, &[("[name=name]", "anna"), ("[name=password]", PASSWORD)], "main button").await;
    says(&browser, "#kept", "It was not sent").await;
    browser.until("return document.querySelector('textarea').value", json!("SELECT 42 AS kept")).await;
    // What is through is not kept, and no password ever is.
    browser
        .until("return sessionStorage.getItem('fleetps-form').includes('correct horse')", json!(false))
        .await;
    browser.go("/account").await;
    browser.until("return sessionStorage.getItem('fleetps-form') !== null", json!(true)).await;
    browser.click("form[action='/sign-out'] button").await;
    says(&browser, "h1", "Sign in").await;
    browser.until("return sessionStorage.getItem('fleetps-form')", json!(null)).await;
    server.stop().await;
}
