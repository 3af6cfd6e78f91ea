//! People: who gets in, who does not, and what ends it.

use std::time::Duration;

use axum::http::{HeaderMap, Request, StatusCode, header, request::Builder};
use fleetps::{
    live::now_us,
    people::{By, Session, SignInSettings},
    routes,
};
use futures_util::StreamExt;
use scraper::Html;

use crate::{
    guarded::{Guarded, PASSWORD},
    support::{Answer, PATIENCE, attributes, family, read, texts},
};

fn location(answer: &Answer) -> &str {
    answer.headers[header::LOCATION].to_str().unwrap()
}

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
    let ended = async {
        while anna.is_in().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // Asking all the time does not help here, because use is noted once a minute only.
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test]
async fn nothing_that_changes_something_is_done_without_the_token_of_a_page() {
    let site = Guarded::new(SignInSettings::default()).await;
    let anna = site.anna().await;
    let stranger = site.visitor();
    stranger.get("/sign-in").await;
    let token =
        attributes(&stranger.page("/sign-in").await, "input[name=form_token]", "value").swap_remove(0);
    let posts: Vec<_> = routes::table().into_iter().filter(|route| route.method == "POST").collect();
    assert!(posts.len() >= 12);
    for route in posts {
        let path = route.path.replace("{link}", "x").replace("{name}", "anna").replace("{host}", "web-1");
        for fields in [vec![], vec![("form_token", "")], vec![("form_token", token.as_str())]] {
            let answer = anna.post(&path, &fields).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {fields:?}");
        }
    }
    for page in ["/sign-in", "/account", "/users", "/users/anna", "/sql", "/confirm"] {
        let html = anna.page(page).await;
        let forms = texts(&html, "form[method=post]").len();
        let with_token = attributes(&html, "form[method=post] input[name=form_token]", "value");
        assert!(with_token.len() == forms && with_token.iter().all(|token| token.len() == 64), "{page}");
    }
}

#[tokio::test]
async fn what_is_dangerous_needs_the_password_once_more() {
    let site = Guarded::new(SignInSettings::default()).await;
    let anna = site.anna().await;
    let an_hour_ago = now_us() - 3_600_000_000;
    let (key, _) = site.accounts().sessions_of("anna").swap_remove(0);
    let age = |session: &mut Session| {
        session.confirmed_at_us = an_hour_ago;
        true
    };
    site.accounts().sessions.change(&key, age).await.unwrap();
    let bert = [("name", "bert"), ("role", "viewer")];
    let asked = anna.fill("/users", "/users", &bert).await;
    assert_eq!(location(&asked), "/confirm?next=%2Fusers");
    assert_eq!(site.accounts().users.all().len(), 1);
    let confirm = |password: &'static str| [("password", password), ("next", "/users")];
    let wrong = anna.fill("/confirm", "/confirm", &confirm("wrong password")).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert_eq!(location(&anna.fill("/confirm", "/confirm", &confirm(PASSWORD)).await), "/users");
    assert_eq!(anna.fill("/users", "/users", &bert).await.status, StatusCode::OK);
    assert_eq!(site.accounts().users.all().len(), 2);
}

/// Asks with a token.
async fn with_token(site: &Guarded, token: &str, method: &str, url: &str) -> Answer {
    let request =
        Request::builder().method(method).uri(url).header("authorization", format!("Bearer {token}"));
    read(site.visitor().response(request, "SELECT 1".to_owned()).await).await
}

#[tokio::test]
async fn a_token_does_what_it_was_made_for_until_it_is_revoked_or_its_owner_may_less() {
    let site = Guarded::new(SignInSettings::default()).await;
    let anna = site.anna().await;
    let make = |name: &'static str, role: &'static str, groups: &'static str| {
        [("name", name), ("role", role), ("groups", groups), ("days", "7")]
    };
    let made = anna.fill("/account", "/account/tokens", &make("report", "viewer", "")).await;
    let token = texts(&Html::parse_document(&made.body), "#new-token").swap_remove(0);
    assert!(token.starts_with("fleetps_") && !anna.get("/account").await.body.contains(&token));
    assert_eq!(texts(&anna.page("/account").await, "#tokens td:nth-child(3)"), ["never"]);
    assert_eq!(with_token(&site, &token, "GET", "/api/v1/hosts").await.status, StatusCode::OK);
    assert_ne!(texts(&anna.page("/account").await, "#tokens td:nth-child(3)"), ["never"]);
    // The form token is not asked of programs; only the console is missing here.
    let sql = with_token(&site, &token, "POST", "/api/v1/sql").await;
    assert_eq!(sql.status, StatusCode::SERVICE_UNAVAILABLE);
    for (url, why) in [("/api/v1/audit", "a viewer"), ("/account", "no browser"), ("/users", "a viewer")] {
        let refused = with_token(&site, &token, "GET", url).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{url} for {why}");
    }
    let cookie_only = anna.post("/api/v1/sql", &[]).await;
    assert_eq!(cookie_only.status, StatusCode::FORBIDDEN);
    for wrong in ["", "fleetps_", &token.replace("fleetps_", ""), &format!("{token}A")] {
        let refused = with_token(&site, wrong, "GET", "/api/v1/hosts").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let key = attributes(&anna.page("/account").await, "input[name=token]", "value").swap_remove(0);
    anna.fill("/account", "/account/tokens/revoke", &[("token", &key)]).await;
    assert_eq!(with_token(&site, &token, "GET", "/api/v1/hosts").await.status, StatusCode::UNAUTHORIZED);
    let audited = site.audited().await;
    for entry in ["anna token.make done", "anna token.revoke done"] {
        assert!(audited.contains(&entry.to_owned()), "{audited:?}");
    }
}

#[tokio::test]
async fn a_token_is_never_more_than_its_owner() {
    let site = Guarded::new(SignInSettings::default()).await;
    site.anna().await;
    site.user("bert", "viewer:web").await;
    let bert = site.visitor();
    bert.sign_in("bert", PASSWORD).await;
    let make =
        |groups: &'static str| [("name", "t"), ("role", "administrator"), ("groups", groups), ("days", "7")];
    let beyond = bert.fill("/account", "/account/tokens", &make("db")).await;
    assert_eq!(beyond.status, StatusCode::BAD_REQUEST);
    let made = bert.fill("/account", "/account/tokens", &make("")).await;
    let token = texts(&Html::parse_document(&made.body), "#new-token").swap_remove(0);
    assert_eq!(with_token(&site, &token, "GET", "/api/v1/audit").await.status, StatusCode::FORBIDDEN);
    assert_eq!(with_token(&site, &token, "GET", "/api/v1/hosts/web-1").await.status, StatusCode::NOT_FOUND);
    let (name, everything) = ("bert".parse().unwrap(), "viewer".parse().unwrap());
    site.accounts().set_grant(&By::command(), &name, &everything, true).await.unwrap();
    assert_eq!(with_token(&site, &token, "GET", "/api/v1/hosts/web-1").await.status, StatusCode::OK);
    site.accounts().set_disabled(&By::command(), &name, true).await.unwrap();
    assert_eq!(with_token(&site, &token, "GET", "/api/v1/hosts").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn nobody_asks_from_elsewhere_than_is_allowed_and_json_has_its_limit() {
    let allowed_from = vec!["192.0.2.0/24".parse().unwrap()];
    let office = Guarded::new(SignInSettings { allowed_from, ..SignInSettings::default() }).await;
    assert_eq!(office.visitor().get("/sign-in").await.status, StatusCode::FORBIDDEN);

    let site = Guarded::new(SignInSettings::default()).await;
    let anna = site.anna().await;
    let mut answers = Vec::new();
    for _ in 0..400 {
        answers.push(anna.get("/api/v1/hosts/nosuch").await.status);
        if answers.last() == Some(&StatusCode::TOO_MANY_REQUESTS) {
            break;
        }
    }
    assert!(answers.len() > 100 && answers.ends_with(&[StatusCode::TOO_MANY_REQUESTS]), "{}", answers.len());
    assert!(anna.is_in().await);
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_it_and_only_tls_asks_for_tls() {
    let trusted_proxies = vec!["0.0.0.0/32".parse().unwrap()];
    let site = Guarded::new(SignInSettings { trusted_proxies, ..SignInSettings::default() }).await;
    let anna = site.anna().await;
    let over_tls = |request: Builder| request.header("x-forwarded-proto", "https");
    for url in
        ["/", "/sign-in", "/nosuch", "/account", "/users", "/api/v1/hosts", "/hosts/nosuch", "/healthz"]
    {
        let plain = anna.get(url).await.headers;
        let secure = anna.response(over_tls(Request::get(url)), String::new()).await.headers().clone();
        let has = |headers: &HeaderMap, name: &str| headers.contains_key(name);
        for name in [
            "content-security-policy",
            "x-content-type-options",
            "referrer-policy",
            "cross-origin-opener-policy",
        ] {
            assert!(has(&plain, name) && has(&secure, name), "{url} {name}");
        }
        assert!(
            !has(&plain, "strict-transport-security") && has(&secure, "strict-transport-security"),
            "{url}"
        );
        assert!(!has(&plain, "access-control-allow-origin"), "{url}");
    }
    let visitor = site.visitor();
    visitor.response(over_tls(Request::get("/sign-in")), String::new()).await;
    assert!(visitor.cookie().starts_with("__Host-fleetps="), "{}", visitor.cookie());
}
