//! Questions that are not answered: the page keeps its head, its forms and what was typed, and leads to a shorter range.

use std::time::Duration;

use axum::http::StatusCode;
use fleetps::testing::{config::QuestionSettings, history_service::HistoryService};
use fleetps_ingestor::history::History;
use scraper::Html;

use crate::{
    history::PastSite,
    support::{Site, attributes, family, texts},
};

/// A site whose history answers nothing in time.
fn out_of_time() -> (Site, PastSite) {
    let past = PastSite::usual();
    let mut site = Site::with("web-1", family());
    let limits = QuestionSettings { page_within: Duration::from_nanos(1), ..QuestionSettings::default() };
    let history = History::open(past.site.folder.path()).unwrap();
    site.shared.past = HistoryService::new(limits, site.shared.shutdown.clone()).over(history);
    site.router = crate::described::router(site.shared.clone());
    (site, past)
}

#[tokio::test]
async fn a_page_whose_question_took_too_long_keeps_its_forms_and_leads_to_a_shorter_range() {
    let (site, past) = out_of_time();
    let (from, to) = (past.at(1), past.at(10));
    for (url, field, value, shorter) in [
        ("/top?by=memory&range=7d".to_owned(), "#span input[name=by]", "memory", Some("range=1d")),
        ("/top?show=growth&range=3h".to_owned(), "#span input[name=show]", "growth", Some("range=1h")),
        ("/events?text=cron&range=1d".to_owned(), "#q", "cron", Some("range=3h")),
        ("/hosts/web-1/events?text=cron&range=1d".to_owned(), "#q", "cron", Some("range=3h")),
        ("/hosts/web-1/history?range=7d".to_owned(), "#span input[name=zone]", "UTC", Some("range=1d")),
        (format!("/hosts/web-1/diff?from={from}&to={to}"), "#ends input[name=zone]", "UTC", None),
        (format!("/search?q=name+%3D+nginx&at={to}"), "#q", "name = nginx", None),
        (format!("/hosts/web-1?q=java&view=flat&at={to}"), "#span input[name=q]", "java", None),
    ] {
        let answer = site.get(&url).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{url}: {}", answer.body);
        let page = Html::parse_document(&answer.body);
        assert_eq!(attributes(&page, field, "value"), [value], "{url}");
        let said = texts(&page, "#unanswered h2");
        assert!(said[0].contains("stopped, because it took longer"), "{url}: {said:?}");
        assert!(texts(&page, ".empty h1").is_empty(), "{url}: no page of its own");
        let link = attributes(&page, "#shorter", "href");
        assert_eq!(link.len(), usize::from(shorter.is_some()), "{url}");
        assert!(link.iter().zip(shorter).all(|(link, wanted)| link.ends_with(wanted)), "{url}: {link:?}");
        let has_head = url.starts_with("/hosts/");
        assert_eq!(texts(&page, "#timeline .labels").len(), usize::from(has_head), "{url}");
    }
    let json = site.get("/api/v1/top?range=7d").await;
    assert_eq!(json.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(json.body.starts_with("{\"error\""), "{}", json.body);
}

#[tokio::test]
async fn what_cannot_be_found_out_does_not_tell_whether_there_is_such_a_host() {
    let (site, past) = out_of_time();
    let answer = site.get(&format!("/hosts/web-9?at={}", past.at(3))).await;
    let page = Html::parse_document(&answer.body);
    assert!(
        texts(&page, "#unanswered").is_empty() && texts(&page, "#timeline").is_empty(),
        "{}",
        answer.body
    );
}
