//! Changes by signed-in people, and what they need: forms, the password once more, API tokens.

use axum::http::{HeaderMap, Request, StatusCode, request::Builder};
use fleetps::testing::{
    auth::{By, Session, SignInSettings},
    live::now_us,
    routes,
};
use scraper::Html;

use crate::{
    guarded::{Guarded, PASSWORD},
    support::{Answer, attributes, read, texts},
};

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
        let path = route
            .path
            .replace("{link}", "x")
            .replace("{name}", "anna")
            .replace("{host}", "web-1")
            .replace("{id}", "x");
        for fields in [vec![], vec![("form_token", "")], vec![("form_token", token.as_str())]] {
            let answer = anna.post(&path, &fields).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {fields:?}");
        }
    }
    for page in ["/sign-in", "/account", "/users", "/users/anna", "/sql"] {
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
    let bert = [("name", "bert"), ("role", "operator"), ("groups", "web env=prod")];
    let asked = anna.fill("/users", "/users", &bert).await;
    assert_eq!(asked.status, StatusCode::OK);
    assert!(!site.audited().await.iter().any(|entry| entry.contains("refuse")), "asking is no refusal");
    // The page keeps what was filled in, and goes on with it.
    let html = Html::parse_document(&asked.body);
    assert_eq!(attributes(&html, "form.card", "action"), ["/users"]);
    assert_eq!(
        attributes(&html, "form.card input[type=hidden]:not([name=form_token])", "value"),
        bert.map(|(_, value)| value)
    );
    assert_eq!(site.accounts().users.all().len(), 1);
    let confirmed = |password: &'static str| [&bert[..], &[("confirm-password", password)]].concat();
    let wrong = anna.fill("/users", "/users", &confirmed("wrong password")).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains("Wrong password.") && wrong.body.contains("env=prod"), "{}", wrong.body);
    assert!(!wrong.body.contains("wrong password\""), "a password is not written into a page");
    assert_eq!(anna.fill("/users", "/users", &confirmed(PASSWORD)).await.status, StatusCode::OK);
    assert_eq!(site.accounts().users.all().len(), 2);
    // What is refused keeps what was filled in, too.
    let again = anna.fill("/users", "/users", &bert).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let html = Html::parse_document(&again.body);
    assert_eq!(attributes(&html, "main [name=name], main [name=groups]", "value"), ["bert", "web env=prod"]);
    assert_eq!(texts(&html, "main option[selected]"), ["operator"]);
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
async fn a_token_has_a_name_that_is_seen_and_that_no_other_token_of_its_owner_has() {
    let site = Guarded::new(SignInSettings::default()).await;
    let anna = site.anna().await;
    let make = async |name: &'static str| {
        let fields = [("name", name), ("role", "viewer"), ("groups", ""), ("days", "7")];
        anna.fill("/account", "/account/tokens", &fields).await.status
    };
    for name in ["--help", "-", " ", "\u{200b}report", "re\u{202e}port", "=1+1"] {
        assert_eq!(make(name).await, StatusCode::BAD_REQUEST, "{name:?}");
    }
    assert_eq!(make("Report  7").await, StatusCode::OK);
    assert_eq!(make(" report 7 ").await, StatusCode::BAD_REQUEST);
    assert_eq!(make("Übersicht").await, StatusCode::OK);
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

#[tokio::test]
async fn pages_have_a_limit_that_many_open_pages_never_meet_and_that_is_each_persons_own() {
    let site = Guarded::new(SignInSettings::default()).await;
    let anna = site.anna().await;
    site.user("bert", "viewer").await;
    let bert = site.visitor();
    bert.sign_in("bert", PASSWORD).await;
    // Thirty pages, each with what it loads.
    let mut answers = Vec::new();
    for _ in 0..30 * 15 {
        answers.push(anna.get("/assets/0/nothing.css").await.status);
    }
    assert!(!answers.contains(&StatusCode::TOO_MANY_REQUESTS));
    while answers.last() != Some(&StatusCode::TOO_MANY_REQUESTS) && answers.len() < 20_000 {
        answers.push(anna.get("/assets/0/nothing.css").await.status);
    }
    assert_eq!(answers.last(), Some(&StatusCode::TOO_MANY_REQUESTS));
    let token = "the limit is counted before the form is looked at";
    while anna.post("/account/password", &[("form_token", token)]).await.status
        != StatusCode::TOO_MANY_REQUESTS
    {}
    // Other people, the sign-in and health checks are not affected.
    assert!(bert.is_in().await);
    for _ in 0..1_000 {
        assert_eq!(anna.get("/healthz").await.status, StatusCode::OK);
    }
    assert_eq!(site.visitor().sign_in("anna", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn whether_the_server_lives_is_all_that_everybody_may_know() {
    let site = Guarded::new(SignInSettings::default()).await;
    for (url, told) in [("/healthz", r#"{"alive":true}"#), ("/readyz", r#"{"ready":false}"#)] {
        let answer = site.visitor().get(url).await;
        assert_eq!(answer.body.split_whitespace().collect::<String>(), told);
        assert!(!answer.headers.contains_key("server") && !format!("{:?}", answer.headers).contains("0.1"));
    }
    assert!(!site.visitor().get("/sign-in").await.body.contains(env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn tidying_leaves_a_token_that_still_holds() {
    let site = Guarded::new(SignInSettings::default()).await;
    let anna = site.anna().await;
    let fields = [("name", "report"), ("role", "viewer"), ("groups", ""), ("days", "7")];
    assert_eq!(anna.fill("/account", "/account/tokens", &fields).await.status, StatusCode::OK);
    // It tidies at once, and then waits for ten minutes.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), site.accounts().tidy()).await;
    assert_eq!(site.accounts().tokens_of("anna").len(), 1);
}
