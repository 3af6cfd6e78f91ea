//! Pages of other origins can do nothing with a user's cookie, in a real browser. One origin is at another port, which
//! is the same site, so that the cookie is sent along; one is at another name of this machine, which is another site.

use std::sync::Arc;

use axum::{Router, extract::Request, http::Method, middleware, response::Html, routing::get};
use fleetps::testing::{
    auth::{Accounts, By, Secret, SignInSettings},
    routes::table,
};
use fleetps_nats::{
    audit::{Audit, Chained},
    hosts,
    server::{ManagedServer, Part},
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    guarded::{Guarded, PASSWORD},
    support::{PATIENCE, attributes},
};

/// A request that changes something, as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    has_cookie: bool,
    status: u16,
}

/// A victim's browser in front of a site, and what the site was sent.
struct Scene {
    browser: Browser,
    server: ManagedServer,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// A link by which a user chooses a password.
    link: Secret,
    attacker_port: u16,
}

impl Scene {
    async fn open() -> Option<Self> {
        let guarded = Guarded::new(SignInSettings::default()).await;
        let first = guarded.first_link().await;
        guarded.user("bert", "viewer").await;
        let link = guarded.accounts().users_link(&By::command(), &"bert".parse().unwrap()).await.unwrap();
        let (mut site, server) = guarded.into_parts();
        site.shared.broker = Some(server.broker(Part::Api).connect("test").await.unwrap());
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let log = Arc::clone(&seen);
        site.router = crate::described::router(site.shared.clone()).layer(middleware::from_fn(
            move |request: Request, next: middleware::Next| {
                let log = Arc::clone(&log);
                async move {
                    let is_safe = request.method().is_safe();
                    let path = request.uri().path().to_owned();
                    let cookies =
                        request.headers().get("cookie").map(|value| value.to_str().unwrap().to_owned());
                    let has_cookie = cookies.is_some_and(|cookies| cookies.contains("fleetps"));
                    let response = next.run(request).await;
                    if !is_safe {
                        log.lock().push(Seen { path, has_cookie, status: response.status().as_u16() });
                    }
                    response
                }
            },
        ));
        let browser = Browser::open(site, true).await?;
        let attacker_port = serve_nothing().await;
        browser.go(&first).await;
        for (field, value) in [("name", "anna"), ("password", PASSWORD), ("repeated", PASSWORD)] {
            browser.run(&format!("document.querySelector('main [name={field}]').value = '{value}'")).await;
        }
        browser.run("document.querySelector('main button').click()").await;
        browser.until("return location.pathname", json!("/")).await;
        seen.lock().clear();
        Some(Self { browser, server, seen, link, attacker_port })
    }

    fn accounts(&self) -> &Accounts {
        self.browser.site.shared.people.accounts().unwrap()
    }

    async fn audited(&self) -> Vec<Chained> {
        let client = self.server.broker(Part::Api).connect("audit").await.unwrap();
        Audit::open(&client).await.unwrap().read(1).await.unwrap()
    }

    /// Everything that an attack could change.
    async fn state(&self) -> String {
        let accounts = self.accounts();
        let sessions: Vec<String> = accounts.sessions.all().into_iter().map(|(key, _)| key).collect();
        let client = self.server.broker(Part::Api).connect("state").await.unwrap();
        let hosts = hosts::open(&client).await.unwrap().all().await.unwrap();
        let (users, tokens) = (accounts.users.all(), accounts.tokens.all());
        format!(
            "{users:?} {tokens:?} {sessions:?} {:?} {:?}",
            hosts.len(),
            accounts.working_link(&self.link).is_ok()
        )
    }

    /// The form of the attacker's page: the fields that each form wants, and a token of a page that the attacker has.
    async fn fields(&self) -> Value {
        let page = self.browser.site.get("/sign-in").await.body;
        let token = attributes(&scraper::Html::parse_document(&page), "main [name=form_token]", "value");
        let (session, _) = self.accounts().sessions_of("anna").swap_remove(0);
        json!({
            "form_token": token[0], "name": "bert", "password": PASSWORD, "repeated": PASSWORD, "old": PASSWORD,
            "role": "administrator", "groups": "web", "days": "7", "do": "disable", "grant": "viewer",
            "session": session, "sql": "SELECT 1",
        })
    }

    /// Sends one request from a page of the attacker, and returns what the server saw of it.
    async fn attack(&self, from: &str, script: &str) -> Seen {
        self.browser.client.goto(&format!("http://{from}:{}/", self.attacker_port)).await.unwrap();
        let before = self.seen.lock().len();
        self.browser.run(script).await;
        let waiting = async {
            loop {
                if let Some(seen) = self.seen.lock().get(before).cloned() {
                    return seen;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("nothing was sent: {script}"))
    }

    async fn cookies(&self) -> Vec<String> {
        self.browser.go("/assets/0/nothing.css").await;
        let cookies = self.browser.client.get_all_cookies().await.unwrap();
        let mut all: Vec<_> =
            cookies.iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value())).collect();
        all.sort();
        all
    }
}

/// Empty pages at every name of this machine; returns the port.
async fn serve_nothing() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().route("/", get(async || Html("<!doctype html><title>nothing</title>")));
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

fn by_form(url: &str, fields: &Value) -> String {
    format!(
        "const form = Object.assign(document.createElement('form'), {{method: 'post', action: {url:?}}});
        for (const [name, value] of Object.entries({fields})) {{
            form.append(Object.assign(document.createElement('input'), {{type: 'hidden', name, value}}));
        }}
        document.body.append(form);
        HTMLFormElement.prototype.submit.call(form);"
    )
}

fn by_fetch(url: &str, fields: &Value) -> String {
    format!(
        "fetch({url:?}, {{method: 'POST', mode: 'no-cors', credentials: 'include', body: new URLSearchParams({fields})}})"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_origin_changes_anything_with_the_cookie_of_somebody_who_is_signed_in() {
    let Some(scene) = Scene::open().await else { return };
    let (before, audited, cookies) =
        (scene.state().await, scene.audited().await.len(), scene.cookies().await);
    let port = scene.browser.address.rsplit(':').next().unwrap().to_owned();
    let named = |name: &str| cookies.iter().any(|cookie| cookie.starts_with(&format!("{name}-{port}=")));
    // The third is the zone of the browser, which its script tells.
    let zone = cookies.iter().filter(|cookie| cookie.starts_with("fleetps-zone=")).count();
    assert!(cookies.len() == 2 + zone && named("fleetps") && named("fleetps-browser"), "{cookies:?}");
    let fields = scene.fields().await;
    let mut tried = 0;
    for route in table().into_iter().filter(|route| route.method == Method::POST) {
        let path = route.path.replace("{link}", &scene.link.text()).replace("{name}", "bert");
        let path = path.replace("{host}", "web-1").replace("{id}", "disk-full").replace("{place}", "1");
        assert!(!path.contains('{'), "{path}");
        let url = format!("{}{path}", scene.browser.address);
        for (from, is_same_site) in [("127.0.0.1", true), ("localhost", false)] {
            for script in [by_form(&url, &fields), by_fetch(&url, &fields)] {
                let seen = scene.attack(from, &script).await;
                assert_eq!((seen.path.as_str(), seen.status), (path.as_str(), 403), "{from}: {script}");
                // Else the test would show nothing.
                assert_eq!(seen.has_cookie, is_same_site, "{from}: {script}");
                tried += 1;
            }
        }
    }
    assert!(tried > 40, "{tried}");
    assert_eq!(scene.state().await, before);
    assert_eq!((scene.audited().await.len(), scene.cookies().await), (audited, cookies));
    scene.browser.go("/account").await;
    scene.browser.until("return location.pathname", json!("/account")).await;
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_origin_signs_anybody_in_as_somebody_else() {
    let Some(scene) = Scene::open().await else { return };
    scene.browser.client.delete_all_cookies().await.unwrap();
    let (before, audited) = (scene.state().await, scene.audited().await.len());
    let (address, mut fields) = (scene.browser.address.clone(), scene.fields().await);
    let port = address.rsplit(':').next().unwrap();
    // Cookies are for every port, so a page at another one can give the browser a secret that it knows.
    let secret = Secret::new().unwrap();
    fields["form_token"] = secret.derive("form").into();
    let plant = format!("document.cookie = 'fleetps-{port}={}; path=/';", secret.text());
    let welcome = format!("/welcome/{}", scene.link.text());
    for path in ["/sign-in", &welcome] {
        let url = format!("{address}{path}");
        for (from, is_same_site) in [("127.0.0.1", true), ("localhost", false)] {
            for script in [by_form(&url, &fields), by_fetch(&url, &fields)] {
                let seen = scene.attack(from, &format!("{plant}{script}")).await;
                assert_eq!((seen.path.as_str(), seen.status), (path, 403), "{from}: {script}");
                // Chromium sends one that says nothing of sites to another site, too, for two minutes.
                assert!(seen.has_cookie || !is_same_site, "{from}: {script}");
            }
        }
    }
    assert_eq!((scene.state().await, scene.audited().await.len()), (before, audited));
    scene.browser.go("/").await;
    scene.browser.until("return location.pathname", json!("/sign-in")).await;
    scene.server.stop().await;
}
