//! Metrics: read by a strict parser of our own and by the Python client's, named as the manual says, and for those only who
//! may read them.

mod bounds;
mod hosts;
mod logs;
mod parsed;
mod whole;

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use fleetps::testing::{
    auth::{Grant, Person},
    metrics::{ALL, Family, Kind},
};

use self::parsed::{Scrape, parse, parse_with_python};
use crate::{
    guarded::Guarded,
    support::{Answer, Site, family},
};

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3";

/// A scrape, as Prometheus asks.
async fn scrape(site: &Site, url: &str, accept: &str) -> Answer {
    let request = Request::get(url).header("host", "localhost").header("accept", accept);
    site.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn both_formats_have_every_metric_of_the_manual_and_no_other() {
    let site = Site::with("web-1", family());
    site.get("/hosts/web-1").await;
    site.get("/nothing-here").await;
    let open = scrape(&site, "/metrics", OPEN_METRICS).await;
    assert_eq!(open.status, StatusCode::OK, "{}", open.body);
    assert_eq!(open.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(open.headers["vary"].to_str().unwrap().to_lowercase(), "accept");
    let read = parse(&open.body, true);
    check_declared(&read, "/metrics");
    assert_eq!(read.value("fleetps_hosts", &[("state", "up")]), Some(1.0));
    assert_eq!(read.value("fleetps_ready", &[("part", "broker")]), Some(0.0));
    let page = [("route", "/hosts/{host}"), ("method", "GET"), ("status", "2xx")];
    assert_eq!(read.value("fleetps_http_request_duration_seconds_count", &page), Some(1.0));
    let none = [("route", "none"), ("method", "GET"), ("status", "4xx")];
    assert_eq!(read.value("fleetps_http_request_duration_seconds_count", &none), Some(1.0));
    parse_with_python(&open.body, true);
    let plain = scrape(&site, "/metrics", "*/*").await;
    assert_eq!(plain.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let plain_read = parse(&plain.body, false);
    assert_eq!(plain_read.value("fleetps_hosts", &[("state", "up")]), Some(1.0));
    parse_with_python(&plain.body, false);
}

/// A token of a user who holds `grant`, limited to `scope`.
async fn token(guarded: &Guarded, name: &str, grant: &str, scope: &str) -> String {
    let grants = vec![grant.parse::<Grant>().unwrap()];
    let person =
        Person { name: name.to_owned(), grants, ..Person::nobody_in_particular([127, 0, 0, 1].into()) };
    let hour = Duration::from_secs(3600);
    guarded.accounts().make_token(&person, scope, scope.parse::<Grant>().unwrap(), hour).await.unwrap()
}

/// What a program with this token is answered; without one where it is empty.
async fn asked_with(guarded: &Guarded, token: &str, url: &str) -> (StatusCode, String) {
    let mut request = Request::get(url).header("host", "localhost");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = guarded.site.send(request.body(Body::empty()).unwrap()).await;
    (answer.status, answer.body)
}

/// Whether a scrape has every family that the program declares for this address, each with its kind, labels and help.
fn check_declared(scrape: &Scrape, of: &str) {
    let declared: Vec<&&Family> = ALL.iter().filter(|family| is_of(family, of)).collect();
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    let names = sorted(scrape.families.iter().map(|family| family.name.clone()).collect());
    assert_eq!(names, sorted(declared.iter().map(|family| family.name.to_owned()).collect()));
    for read in &scrape.families {
        let declared = declared.iter().find(|declared| declared.name == read.name).unwrap();
        assert_eq!((read.kind.as_str(), read.help.as_str()), (declared.kind.word(), declared.help));
    }
}

fn is_of(family: &Family, address: &str) -> bool {
    let is_of_hosts = family.name.starts_with("fleetps_host_")
        || family.name.starts_with("fleetps_program_")
        || family.name.starts_with("fleetps_series_");
    is_of_hosts == (address == "/metrics/hosts")
}

/// The table of the manual.
fn table(address: &str) -> String {
    let mut table = "| metric | kind | labels | says |\n|---|---|---|---|\n".to_owned();
    for family in ALL.iter().filter(|family| is_of(family, address)) {
        let suffix = match family.kind {
            Kind::Counter | Kind::Info => family.sample_suffix(),
            Kind::Gauge | Kind::Histogram => "",
        };
        let labels = family.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let (name, kind) = (family.name, family.kind.word());
        table += &format!("| `{name}{suffix}` | {kind} | {labels} | {} |\n", family.help);
    }
    table
}

#[test]
fn the_manual_has_every_metric_with_its_kind_labels_and_help() {
    let manual = include_str!("../../../../docs/metrics.md");
    for address in ["/metrics", "/metrics/hosts"] {
        let table = table(address);
        assert!(manual.contains(&table), "docs/metrics.md should have for {address}:\n{table}");
    }
}

#[tokio::test]
async fn metrics_are_for_tokens_that_may_read_them_and_a_token_may_read_nothing_else() {
    let guarded = Guarded::new(Default::default()).await;
    let _anna = guarded.anna().await;
    let ask =
        async |token: Option<&str>, url: &str| asked_with(&guarded, token.unwrap_or_default(), url).await;
    guarded.user("bert", "viewer").await;
    guarded.user("carl", "administrator:web").await;
    let metrics = token(&guarded, "bert", "viewer", "metrics").await;
    let viewer = token(&guarded, "bert", "viewer", "viewer").await;
    let of_web = token(&guarded, "carl", "administrator:web", "metrics").await;
    let (status, body) = ask(None, "/metrics").await;
    assert_eq!(
        status,
        StatusCode::UNAUTHORIZED,
        "not the way to the sign-in, which a program would follow: {body}"
    );
    assert!(body.starts_with("{\"error\""), "{body}");
    assert_eq!(ask(Some("fleetps_wrong"), "/metrics").await.0, StatusCode::UNAUTHORIZED);
    for token in [&metrics, &viewer] {
        let (status, body) = ask(Some(token), "/metrics").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert!(body.contains("fleetps_bounded_limit{of=\"password-checks\"} 4\n"), "{body}");
    }
    let (status, body) = ask(Some(&of_web), "/metrics").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "it counts every host: {body}");
    assert!(body.contains("read metrics of fleetps"), "{body}");
    for url in ["/", "/api/v1/hosts", "/api/v1/top", "/audit", "/users", "/events"] {
        assert_eq!(ask(Some(&metrics), url).await.0, StatusCode::FORBIDDEN, "{url}");
    }
    for url in ["/hosts/web-1", "/api/v1/hosts/web-1", "/api/v1/hosts/web-1/processes"] {
        assert_eq!(ask(Some(&metrics), url).await.0, StatusCode::NOT_FOUND, "{url}");
    }
}
