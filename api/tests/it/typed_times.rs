//! Times as people type them, on pages and in JSON.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use scraper::Html;

use crate::support::{Answer, Site, attributes, family, snapshot, texts};

/// A host that reports, and has a history.
fn site() -> Site {
    let site = Site::with_history(vec![vec![("web-1", snapshot(1, family()))]]);
    site.tell("web-1", family());
    site
}

/// A page as the browser of somebody in Berlin asks for it.
async fn in_berlin(site: &Site, url: &str) -> Answer {
    let request =
        Request::get(url).header("host", "localhost").header("cookie", "fleetps-zone=Europe/Berlin");
    site.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_typed_time_becomes_exact_in_the_zone_of_the_browser_or_of_the_form() {
    let site = site();
    for (url, expected) in [
        ("/search?q=nginx&at=2026-11-20+09:00", "/search?q=nginx&at=2026-11-20T08:00:00Z"),
        (
            "/hosts/web-1?view=flat&at=Nov+20,+2026,+9:00:00+AM",
            "/hosts/web-1?view=flat&at=2026-11-20T08:00:00Z",
        ),
        (
            "/top?by=memory&from=2026-11-20+09:00&to=2026-11-20+10:00&zone=UTC",
            "/top?by=memory&from=2026-11-20T09:00:00Z&to=2026-11-20T10:00:00Z",
        ),
        ("/events?from=2026-07-20+09:00", "/events?from=2026-07-20T07:00:00Z"),
        (
            "/hosts/web-1/diff?from=2026-11-20+09:00&to=now",
            "/hosts/web-1/diff?from=2026-11-20T08:00:00Z&to=now",
        ),
        // No page of ours leads to another server.
        ("//evil.example/?at=2026-11-20+09:00", "/evil.example/?at=2026-11-20T08:00:00Z"),
    ] {
        let moved = in_berlin(&site, url).await;
        assert_eq!(moved.status, StatusCode::SEE_OTHER, "{url}");
        assert_eq!(moved.headers["location"], expected, "{url}");
    }
}

#[tokio::test]
async fn a_field_has_the_time_in_the_zone_that_stands_beside_it() {
    let site = site();
    let page = in_berlin(&site, "/top?from=2026-11-20T08:00:00Z&to=2026-11-20T09:00:00Z").await;
    let page = Html::parse_document(&page.body);
    assert_eq!(attributes(&page, "#span input[name=from]", "value"), ["2026-11-20 09:00:00"]);
    assert_eq!(attributes(&page, "#span input[name=zone]", "value"), ["Europe/Berlin"]);
    assert_eq!(texts(&page, "#span .zone"), ["Europe/Berlin"]);
    let elsewhere = site.page("/top?from=2026-11-20T08:00:00Z&to=2026-11-20T09:00:00Z").await;
    assert_eq!(attributes(&elsewhere, "#span input[name=from]", "value"), ["2026-11-20 08:00:00"]);
    assert_eq!(texts(&elsewhere, "#span .zone"), ["UTC"]);
}

#[tokio::test]
async fn what_is_no_time_keeps_what_was_typed_and_says_at_the_field_what_would_be_one() {
    let site = site();
    for (url, (place, field), (other, typed)) in [
        ("/search?q=nginx&at=%3Cb%3Eyesterdy", ("search", "at"), ("input#q", "nginx")),
        ("/hosts/web-1?q=worker&at=%3Cb%3Eyesterdy", ("moment", "at"), ("input#q", "worker")),
        ("/top?by=memory&from=%3Cb%3Eyesterdy", ("span", "from"), ("#span input[name=by]", "memory")),
        ("/events?text=nginx&to=%3Cb%3Eyesterdy", ("span", "to"), ("input#q", "nginx")),
        ("/hosts/web-1/diff?rows=7&from=%3Cb%3Eyesterdy", ("ends", "from"), ("#ends input[name=rows]", "7")),
    ] {
        let page = site.page(url).await;
        assert_eq!(attributes(&page, other, "value")[0], typed, "{url}");
        let kept = attributes(&page, &format!("input[aria-describedby={place}-{field}-wrong]"), "value");
        assert_eq!(kept, ["<b>yesterdy"], "{url}");
        let told = texts(&page, &format!("#{place}-{field}-wrong"));
        assert!(told[0].starts_with("Expected a time as in 16:28, yesterday 03:12"), "{url}: {told:?}");
    }
}

#[tokio::test]
async fn a_span_that_ends_before_it_begins_is_told_at_its_field() {
    let site = site();
    let page = site.page("/top?from=2026-11-20T09:00:00Z&to=2026-11-20T08:00:00Z").await;
    assert_eq!(texts(&page, "#span-from-wrong"), ["Expected a time before the end of the span."]);
    assert_eq!(attributes(&page, "#span input[name=to]", "value"), ["2026-11-20 08:00:00"]);
}

#[tokio::test]
async fn json_reads_a_time_without_a_zone_in_utc_whatever_a_browser_says() {
    let site = site();
    let url = "/api/v1/hosts/web-1/metrics?from=2026-11-20+09:00&to=Nov+20,+2026,+10:00+AM";
    let answer = in_berlin(&site, url).await;
    let exact =
        site.get("/api/v1/hosts/web-1/metrics?from=2026-11-20T09:00:00Z&to=2026-11-20T10:00:00Z").await;
    assert_eq!((answer.status, &answer.body), (exact.status, &exact.body));
    let refused = site.get("/api/v1/search?q=nginx&at=yesterdy").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("expected a time as in 16:28"), "{}", refused.body);
}

#[tokio::test]
async fn a_moment_that_is_still_to_come_is_told_at_its_field_and_the_page_ends_now() {
    let site = site();
    let tomorrow = fleetps::testing::display::time_exact(fleetps::testing::live::now_us() + 86_400_000_000);
    for (url, field, live) in [
        (format!("/hosts/web-1?at={tomorrow}"), "#moment-at", Some("#live-dot")),
        (format!("/hosts/web-1/history?at={tomorrow}"), "#moment-at", None),
        (format!("/hosts/web-1/events?at={tomorrow}"), "#moment-at", None),
        (format!("/search?q=nginx&at={tomorrow}"), "#search-at", None),
        (format!("/top?to={tomorrow}"), "#span-to", None),
        (format!("/events?to={tomorrow}"), "#span-to", None),
        (format!("/hosts/web-1/diff?to={tomorrow}"), "#ends-to", None),
    ] {
        let page = site.page(&url).await;
        assert_eq!(attributes(&page, field, "aria-invalid"), ["true"], "{url}");
        let said = texts(&page, &format!("{field}-wrong"));
        assert!(said[0].contains("still to come"), "{url}: {said:?}");
        assert!(texts(&page, "#bar").is_empty(), "{url} is no page of the past");
        assert!(live.is_none_or(|live| texts(&page, live).len() == 1), "{url}");
    }
}
