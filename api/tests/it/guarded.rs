//! A site where people sign in, with a real broker, and people in front of browsers.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, BodyDataStream},
    http::{Request, StatusCode, header, request::Builder},
};
use fleetps::testing::auth::{Accounts, Addresses, By, Grant, People, SignInSettings, UserName};
use fleetps_nats::{
    audit::{Audit, Chained},
    server::{ManagedServer, Part, ServerSettings},
};
use parking_lot::Mutex;
use scraper::Html;
use tower::ServiceExt;

use crate::support::{Answer, Site, attributes, family, read};

pub const PASSWORD: &str = "correct horse battery";

/// A site where people sign in, and its broker.
pub struct Guarded {
    pub site: Site,
    server: ManagedServer,
}

impl Guarded {
    pub async fn new(settings: SignInSettings) -> Self {
        let mut site = Site::with("web-1", family());
        let server = ManagedServer::start(ServerSettings {
            data: site.folder.path().to_owned(),
            program: None,
            public: None,
            simulator: false,
            max_file_store_bytes: 1 << 30,
        })
        .await
        .unwrap();
        let client = server.broker(Part::Api).connect("test").await.unwrap();
        let audit = Audit::open(&client).await.unwrap();
        let addresses = Addresses::new(&settings, false);
        let accounts = Accounts::open(&client, audit, settings, None).await.unwrap();
        site.shared.people = People::of(accounts, addresses);
        site.router = crate::described::router(site.shared.clone());
        Self { site, server }
    }

    /// The site and the broker, which goes when it is dropped.
    pub fn into_parts(self) -> (Site, ManagedServer) {
        (self.site, self.server)
    }

    pub fn accounts(&self) -> &Accounts {
        self.site.shared.people.accounts().unwrap()
    }

    /// A person with a browser that has no cookie yet.
    pub fn visitor(&self) -> Visitor {
        Visitor::of(self.site.router.clone())
    }

    /// Where a first administrator comes in.
    pub async fn first_link(&self) -> String {
        format!("/welcome/{}", self.accounts().first_link().await.unwrap().unwrap().text())
    }

    /// Anna, who administers everything, signed in.
    pub async fn anna(&self) -> Visitor {
        let anna = self.visitor();
        let link = self.first_link().await;
        let answer =
            anna.fill(&link, &link, &[("name", "Anna"), ("password", PASSWORD), ("repeated", PASSWORD)]);
        assert_eq!(answer.await.status, StatusCode::SEE_OTHER);
        anna
    }

    /// A user with a password and one grant, not signed in.
    pub async fn user(&self, name: &str, grant: &str) {
        let (name, grant): (UserName, Grant) = (name.parse().unwrap(), grant.parse().unwrap());
        let secret = self.accounts().add_user(&By::command(), &name, vec![grant]).await.unwrap();
        let link = format!("/welcome/{}", secret.text());
        let answer =
            self.visitor().fill(&link, &link, &[("password", PASSWORD), ("repeated", PASSWORD)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
    }

    /// The audit's entries: person, action and outcome.
    pub async fn audited(&self) -> Vec<String> {
        let client = self.server.broker(Part::Api).connect("audit").await.unwrap();
        let entries = Audit::open(&client).await.unwrap().read(1).await.unwrap();
        let line =
            |entry: &Chained| format!("{} {} {}", entry.entry.who, entry.entry.action, entry.entry.outcome);
        entries.iter().map(line).collect()
    }
}

/// A person with a browser, which keeps its cookie.
#[derive(Clone)]
pub struct Visitor {
    router: Router,
    pub cookie: Arc<Mutex<String>>,
    /// That by which the browser is known.
    pub browser: Arc<Mutex<String>>,
}

impl Visitor {
    /// One in front of this server, without a cookie yet.
    pub fn of(router: Router) -> Self {
        Self { router, cookie: Arc::default(), browser: Arc::default() }
    }

    pub fn cookie(&self) -> String {
        self.cookie.lock().clone()
    }

    pub async fn response(&self, request: Builder, body: String) -> axum::response::Response {
        let mut request = request.header("host", "localhost");
        for cookie in [self.cookie(), self.browser.lock().clone()] {
            if !cookie.is_empty() {
                request = request.header(header::COOKIE, cookie);
            }
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        for set in response.headers().get_all(header::SET_COOKIE) {
            let cookie = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            let kept = if cookie.contains("-browser") { &self.browser } else { &self.cookie };
            *kept.lock() = cookie;
        }
        response
    }

    pub async fn get(&self, url: &str) -> Answer {
        read(self.response(Request::get(url), String::new()).await).await
    }

    pub async fn page(&self, url: &str) -> Html {
        Html::parse_document(&self.get(url).await.body)
    }

    /// The messages to an open page from now on.
    pub async fn live(&self, url: &str) -> BodyDataStream {
        let request = Request::get(url).header(header::ACCEPT, "text/event-stream");
        let response = self.response(request, String::new()).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().into_data_stream()
    }

    /// Sends a form as it is, without a token.
    pub async fn post(&self, url: &str, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        read(self.response(Request::post(url), body).await).await
    }

    /// Fills in a form of `page`, with its token, and sends it to `url`.
    pub async fn fill(&self, page: &str, url: &str, fields: &[(&str, &str)]) -> Answer {
        let html = self.page(page).await;
        let token = attributes(&html, "main input[name=form_token]", "value").swap_remove(0);
        self.post(url, &[fields, &[("form_token", &token)]].concat()).await
    }

    pub async fn sign_in(&self, name: &str, password: &str) -> Answer {
        self.fill("/sign-in", "/sign-in", &[("name", name), ("password", password)]).await
    }

    pub async fn is_in(&self) -> bool {
        self.get("/").await.status == StatusCode::OK
    }
}

/// Where an answer leads.
pub fn location(answer: &Answer) -> &str {
    answer.headers[header::LOCATION].to_str().unwrap()
}
