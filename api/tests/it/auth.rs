//! People: who gets in, who does not, and what ends it.

use std::time::Duration;

use axum::http::{Request, StatusCode};
use fleetps::testing::auth::{By, SignInSettings};
use futures_util::StreamExt;
use scraper::Html;

use crate::{
    guarded::{Guarded, PASSWORD, Visitor, location},
    support::{PATIENCE, attributes, family, read, texts},
};

#[tokio::test]
async fn the_first_link_makes_one_administrator_once() {
    let site = Guarded::new(SignInSettings::default()).await;
    let anna = site.visitor();
    assert_eq!(location(&anna.get("/hosts/web-1?q=a").await), "/sign-in?next=%2Fhosts%2Fweb-1%3Fq%3Da");
    let (link, left_over) = (site.first_link().await, site.first_link().await);
    let chosen = |password: &'static str, repeated: &'static str| {
        [("name", "Anna"), ("password", password), ("repeated", repeated)]
    };
    for (password, repeated) in [("password1", "password1"), ("short", "short"), (PASSWORD, "another")] {
        let refused = anna.fill(&link, &link, &chosen(password, repeated)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{password}");
        assert_eq!(texts(&Html::parse_document(&refused.body), "[role=alert]").len(), 1);
    }
    assert_eq!(location(&anna.fill(&link, &link, &chosen(PASSWORD, PASSWORD)).await), "/");
    assert!(anna.is_in().await);
    for link in [&link, &left_over] {
        assert_eq!(site.visitor().get(link).await.status, StatusCode::NOT_FOUND);
    }
    assert!(site.accounts().first_link().await.unwrap().is_none());
    assert_eq!(site.audited().await.last().unwrap(), "anna sign-in.first done");
}

#[tokio::test]
async fn nobody_is_added_who_looks_like_another() {
    let site = Guarded::new(SignInSettings::default()).await;
    let viewer = || vec!["viewer".parse().unwrap()];
    site.accounts().add_user(&By::command(), &"anna1".parse().unwrap(), viewer()).await.unwrap();
    let refused = site.accounts().add_user(&By::command(), &"annal".parse().unwrap(), viewer()).await;
    assert_eq!(refused.unwrap_err().to_string(), "annal looks like anna1, who is a user already");
    site.accounts().add_user(&By::command(), &"bert".parse().unwrap(), viewer()).await.unwrap();
    assert_eq!(site.accounts().users.all().len(), 2);
}

#[tokio::test]
async fn the_first_links_that_are_left_work_no_more_once_there_was_an_administrator() {
    let site = Guarded::new(SignInSettings::default()).await;
    let left_over = site.first_link().await;
    site.anna().await;
    assert_eq!(site.visitor().get(&left_over).await.status, StatusCode::NOT_FOUND);
    // Even where the records of users are lost afterwards.
    site.accounts().users.remove("anna").await.unwrap();
    assert!(!site.accounts().has_administrator());
    assert_eq!(site.visitor().get(&left_over).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn two_who_use_one_link_at_once_are_not_both_let_in() {
    let site = Guarded::new(SignInSettings::default()).await;
    let link = site.first_link().await;
    let follow = |name: &'static str| {
        let (visitor, link) = (site.visitor(), link.clone());
        async move {
            let fields = [("name", name), ("password", PASSWORD), ("repeated", PASSWORD)];
            visitor.fill(&link, &link, &fields).await.status
        }
    };
    let (one, other) = tokio::join!(follow("one"), follow("other"));
    assert_eq!([one, other].iter().filter(|status| **status == StatusCode::SEE_OTHER).count(), 1);
    assert_eq!(site.accounts().users.all().len(), 1);
}

#[tokio::test]
async fn a_cookie_from_before_the_sign_in_is_worth_nothing_after_it_and_each_sign_in_has_its_own() {
    let site = Guarded::new(SignInSettings::default()).await;
    site.anna().await;
    let (anna, attacker) = (site.visitor(), site.visitor());
    anna.get("/sign-in").await;
    *attacker.cookie.lock() = anna.cookie();
    assert_eq!(anna.sign_in("ANNA ", PASSWORD).await.status, StatusCode::SEE_OTHER);
    assert!(anna.is_in().await && !attacker.is_in().await);
    let first = anna.clone();
    *attacker.cookie.lock() = anna.cookie();
    assert!(attacker.is_in().await);
    // Signing in again in the same browser ends the session before.
    let answer = anna.fill("/account", "/sign-in", &[("name", "anna"), ("password", PASSWORD)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(first.is_in().await && !attacker.is_in().await);
    assert_eq!(location(&anna.fill("/account", "/sign-out", &[]).await), "/sign-in");
    assert!(!anna.is_in().await);
}

#[tokio::test]
async fn unknown_names_wrong_passwords_and_disabled_users_are_told_the_same_at_the_same_cost() {
    let site = Guarded::new(SignInSettings::default()).await;
    site.anna().await;
    site.user("bert", "viewer").await;
    site.user("carl", "viewer").await;
    site.accounts().set_disabled(&By::command(), &"carl".parse().unwrap(), true).await.unwrap();
    let told = |name: &'static str, password: &'static str| {
        let (visitor, accounts) = (site.visitor(), site.accounts());
        async move {
            let before = accounts.hashes_computed();
            let answer = visitor.sign_in(name, password).await;
            let problem = texts(&Html::parse_document(&answer.body), "[role=alert]");
            (answer.status, problem, accounts.hashes_computed() - before)
        }
    };
    let wrong = told("bert", "wrong password").await;
    assert_eq!((wrong.0, wrong.2), (StatusCode::UNAUTHORIZED, 1));
    for (name, password) in [("nobody-of-this-name", PASSWORD), ("carl", PASSWORD), ("<b>ü", PASSWORD)] {
        assert_eq!(told(name, password).await, wrong, "{name}");
    }
    let audited = site.audited().await;
    assert!(audited.contains(&"bert sign-in refused".to_owned()), "{audited:?}");
    assert!(audited.contains(&"<b>ü sign-in refused".to_owned()), "{audited:?}");
}

#[tokio::test]
async fn of_a_thousand_tries_ten_a_minute_are_made_and_nobody_is_locked_out_for_good() {
    let site = Guarded::new(SignInSettings::default()).await;
    site.anna().await;
    let visitor = site.visitor();
    let html = visitor.page("/sign-in").await;
    let token = attributes(&html, "input[name=form_token]", "value").swap_remove(0);
    let before = site.accounts().hashes_computed();
    let mut slowed_down = 0;
    for attempt in 0..1000 {
        let password = format!("guess number {attempt}");
        let fields = [("name", "anna"), ("password", password.as_str()), ("form_token", &token)];
        let answer = visitor.post("/sign-in", &fields).await;
        slowed_down += usize::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    let tried = site.accounts().hashes_computed() - before;
    assert!((5..=10).contains(&tried) && slowed_down >= 990, "{tried} tries, {slowed_down} slowed down");
    // A link is another way in, at once.
    let secret = site.accounts().users_link(&By::command(), &"anna".parse().unwrap()).await.unwrap();
    let link = format!("/welcome/{}", secret.text());
    let fields = [("password", "another horse battery"), ("repeated", "another horse battery")];
    assert_eq!(visitor.fill(&link, &link, &fields).await.status, StatusCode::SEE_OTHER);
    assert!(visitor.is_in().await);
}

#[tokio::test]
async fn whoever_tries_an_account_all_the_time_does_not_keep_out_a_browser_that_knows_it() {
    let site = Guarded::new(SignInSettings::default()).await;
    let anna = site.anna().await;
    site.user("bert", "viewer").await;
    anna.fill("/account", "/sign-out", &[]).await;
    let attack = async || {
        let attacker = site.visitor();
        let mut status = StatusCode::OK;
        for _ in 0..30 {
            status = attacker.sign_in("anna", "not the password").await.status;
        }
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    };
    attack().await;
    assert_eq!(site.visitor().sign_in("anna", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(anna.sign_in("anna", PASSWORD).await.status, StatusCode::SEE_OTHER);
    // It has a count of its own, is known to one user, and the password is asked for as always.
    attack().await;
    let of_bert = site.visitor();
    *of_bert.browser.lock() = anna.browser.lock().clone();
    assert_eq!(of_bert.sign_in("bert", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    let stolen = site.visitor();
    *stolen.browser.lock() = anna.browser.lock().clone();
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(stolen.sign_in("anna", "not the password").await.status);
    }
    assert!(
        answers.contains(&StatusCode::UNAUTHORIZED) && answers.ends_with(&[StatusCode::TOO_MANY_REQUESTS])
    );
    // A new password forgets every browser.
    let secret = site.accounts().users_link(&By::command(), &"anna".parse().unwrap()).await.unwrap();
    let link = format!("/welcome/{}", secret.text());
    let fields = [("password", "another horse battery"), ("repeated", "another horse battery")];
    let elsewhere = site.visitor();
    assert_eq!(elsewhere.fill(&link, &link, &fields).await.status, StatusCode::SEE_OTHER);
    attack().await;
    assert_eq!(anna.sign_in("anna", "another horse battery").await.status, StatusCode::TOO_MANY_REQUESTS);
    elsewhere.fill("/account", "/sign-out", &[]).await;
    assert_eq!(elsewhere.sign_in("anna", "another horse battery").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn disabling_somebody_ends_the_session_and_its_open_pages_within_a_second() {
    let site = Guarded::new(SignInSettings::default()).await;
    let anna = site.anna().await;
    site.user("bert", "viewer").await;
    let bert = site.visitor();
    bert.sign_in("bert", PASSWORD).await;
    let (mut of_bert, mut of_anna) = (bert.live("/live").await, anna.live("/live").await);
    for stream in [&mut of_bert, &mut of_anna] {
        tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
    }
    let disabled = anna.fill("/users/bert", "/users/bert", &[("do", "disable")]).await;
    assert_eq!(disabled.status, StatusCode::SEE_OTHER);
    let rest = tokio::time::timeout(Duration::from_secs(1), of_bert.count()).await;
    assert!(rest.is_ok(), "the open page was still sent something a second after");
    assert!(!bert.is_in().await && bert.sign_in("bert", PASSWORD).await.status == StatusCode::UNAUTHORIZED);
    // Anna's own page goes on.
    site.site.tell("web-2", family());
    tokio::time::timeout(PATIENCE, of_anna.next()).await.unwrap().unwrap().unwrap();
    assert!(anna.is_in().await);
    let last = anna.fill("/users/anna", "/users/anna", &[("do", "disable")]).await;
    assert_eq!(last.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_is_taken_back_is_not_seen_any_more_on_pages_that_are_open() {
    let site = Guarded::new(SignInSettings::default()).await;
    site.anna().await;
    site.user("bert", "viewer").await;
    let bert = site.visitor();
    bert.sign_in("bert", PASSWORD).await;
    let mut open = bert.live("/live").await;
    tokio::time::timeout(PATIENCE, open.next()).await.unwrap().unwrap().unwrap();
    let (name, grant) = ("bert".parse().unwrap(), "viewer".parse().unwrap());
    site.accounts().set_grant(&By::command(), &name, &grant, false).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(1), open.count()).await.is_ok());
    assert_eq!(bert.get("/").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_new_password_ends_every_other_session_and_needs_the_old_one() {
    let site = Guarded::new(SignInSettings::default()).await;
    let (here, elsewhere) = (site.anna().await, site.visitor());
    elsewhere.sign_in("anna", PASSWORD).await;
    let sessions = here.page("/account").await;
    assert_eq!(texts(&sessions, "#sessions tbody tr").len(), 2);
    let new = "another horse battery";
    let change = |old: &'static str| [("old", old), ("password", new), ("repeated", new)];
    let refused = here.fill("/account", "/account/password", &change("not the old one")).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(elsewhere.is_in().await);
    let changed = here.fill("/account", "/account/password", &change(PASSWORD)).await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER);
    assert!(here.is_in().await && !elsewhere.is_in().await);
    assert_eq!(elsewhere.sign_in("anna", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn one_of_ones_own_sessions_can_be_ended_and_nobody_elses() {
    let site = Guarded::new(SignInSettings::default()).await;
    let (anna, elsewhere) = (site.anna().await, site.visitor());
    site.user("bert", "viewer").await;
    let bert = site.visitor();
    bert.sign_in("bert", PASSWORD).await;
    elsewhere.sign_in("anna", PASSWORD).await;
    let other = attributes(&anna.page("/account").await, "input[name=session]", "value").swap_remove(0);
    let end = [("session", other.as_str())];
    bert.fill("/account", "/account/sessions/end", &end).await;
    assert!(elsewhere.is_in().await);
    anna.fill("/account", "/account/sessions/end", &end).await;
    assert!(!elsewhere.is_in().await && anna.is_in().await);
}

#[tokio::test]
async fn a_session_ends_when_nothing_is_asked_in_it() {
    let idle_limit = Duration::from_millis(1500);
    let site = Guarded::new(SignInSettings { idle_limit, ..SignInSettings::default() }).await;
    let anna = site.anna().await;
    assert!(anna.is_in().await);
    // A live update is not a request.
    let is_shown = async || {
        let request = Request::get("/live").header("accept", "text/event-stream");
        anna.response(request, String::new()).await.status() == StatusCode::OK
    };
    let ended = async {
        while is_shown().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    // Trying it does not revive it.
    assert!(!anna.is_in().await);
    assert!(!anna.is_in().await);

    // Nor is what an open page asks by itself.
    assert_eq!(anna.sign_in("anna", PASSWORD).await.status, StatusCode::SEE_OTHER);
    assert!(anna.is_in().await);
    let is_refreshed = async || {
        let request = Request::get("/account").header("x-fleetps-by-itself", "1");
        anna.response(request, String::new()).await.status() == StatusCode::OK
    };
    let ended = async {
        while is_refreshed().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert!(!anna.is_in().await);
}

#[tokio::test]
async fn a_form_whose_session_has_ended_leads_to_the_sign_in_and_back_and_does_nothing() {
    let site = Guarded::new(SignInSettings::default()).await;
    let anna = site.anna().await;
    let page = anna.page("/users").await;
    let token = attributes(&page, "main input[name=form_token]", "value").swap_remove(0);
    let body = format!("name=carl&form_token={token}");
    let before = "http://localhost/users?x=1";
    let send = |visitor: Visitor, from: Option<&'static str>| {
        let mut request = Request::post("/users");
        if let Some(from) = from {
            request = request.header("referer", from);
        }
        let body = body.clone();
        async move { read(visitor.response(request, body).await).await }
    };
    // Signed out in another tab: the browser has another cookie by now.
    let other_tab = anna.clone();
    let signed_out = other_tab.fill("/account", "/sign-out", &[]).await;
    assert_eq!(signed_out.status, StatusCode::SEE_OTHER);
    let asked = send(anna.clone(), Some(before)).await;
    assert_eq!((asked.status, location(&asked)), (StatusCode::SEE_OTHER, "/sign-in?next=%2Fusers%3Fx%3D1"));
    // A page of another site, or none, leads nowhere.
    for from in [Some("http://evil.example/users"), None] {
        let refused = send(anna.clone(), from).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{from:?}");
    }
    // Signed in again in another tab: the form is too old, and says how to get back to it.
    assert_eq!(anna.sign_in("anna", PASSWORD).await.status, StatusCode::SEE_OTHER);
    let refused = send(anna.clone(), Some(before)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let refused = Html::parse_document(&refused.body);
    assert_eq!(attributes(&refused, "#back", "href"), ["/users?x=1"]);
    assert_eq!(attributes(&refused, "main[data-refused]", "id"), ["main"]);
    assert_eq!(site.accounts().users.all().len(), 1, "nobody was added");
}
