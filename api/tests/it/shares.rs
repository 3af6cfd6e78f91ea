//! One person has a share of every limited thing, and others are served.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::{Body, BodyDataStream},
    http::{Method, Request, StatusCode},
};
use fleetps::testing::{
    auth::{Grant, Person, Principal, Role},
    connections::Limits,
    console::Console,
    history_service::AskedFor,
    state,
};
use fleetps_ingestor::history::{History, Scope};
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;
use tower::ServiceExt;

use crate::{
    console::{history, sql_client},
    sql_page::SLOW,
    support::{Answer, PATIENCE, Site, family, read, snapshot_at},
};

fn person(name: &str, role: Role) -> Person {
    let grants = vec![Grant { role, groups: None, hides_command_lines: false }];
    Person { name: name.to_owned(), grants, ..Person::nobody_in_particular(IpAddr::from([127, 0, 0, 1])) }
}

async fn send(site: &Site, who: &Person, method: Method, url: &str, body: &str) -> axum::response::Response {
    let mut request = Request::builder().method(method).uri(url).header("host", "localhost");
    request.extensions_mut().unwrap().insert(Principal::User(who.clone()));
    site.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
}

async fn open(site: &Site, who: &str, url: &str) -> Result<BodyDataStream, Answer> {
    let response = send(site, &person(who, Role::Viewer), Method::GET, url, "").await;
    match response.status() {
        StatusCode::OK => {
            let mut stream = response.into_body().into_data_stream();
            stream.next().await.unwrap().unwrap();
            Ok(stream)
        }
        _ => Err(read(response).await),
    }
}

#[tokio::test]
async fn one_viewer_has_a_share_of_the_live_pages_and_several_make_room() {
    let mut site = Site::with("web-1", family());
    site.shared.live_pages = state::live_pages(Limits::of(Some(200)));
    site.router = crate::described::router(site.shared.clone());
    let urls = ["/live", "/hosts/web-1/live", "/hosts/web-1/system/live", "/api/v1/hosts/web-1/live"];
    let mut streams = Vec::new();
    for viewer in 0..10 {
        let name = format!("viewer-{viewer}");
        for url in urls.into_iter().cycle().take(5) {
            streams.push(open(&site, &name, url).await.ok().unwrap());
        }
        let refused = open(&site, &name, "/live").await.err().unwrap();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.body);
        assert!(refused.headers.contains_key("retry-after"));
    }
    // Every place is taken; a person who has none gets one all the same.
    for viewer in 10..14 {
        let opened = open(&site, &format!("viewer-{viewer}"), "/live").await;
        streams.push(opened.ok().unwrap());
    }
    let ended: Vec<bool> =
        streams.iter_mut().map(|stream| matches!(stream.next().now_or_never(), Some(None))).collect();
    assert_eq!(ended.iter().filter(|ended| **ended).count(), 4);
    assert!(!ended[50..].contains(&true));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_much_of_the_past_leaves_half_of_it_to_others() {
    let past = Site::with_history(vec![vec![("web-1", snapshot_at(0, family()))]]).shared.past;
    let everything = || Arc::new(Scope::everything());
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = Arc::new(parking_lot::Mutex::new(ended));
    let slowly = |who: &'static str| {
        let (past, ended, scope) = (past.clone(), Arc::clone(&ended), everything());
        tokio::spawn(async move {
            let wait = move |_: &History| {
                // Until the other end is dropped.
                let _ = ended.lock().recv();
                Ok(())
            };
            past.ask(who, AskedFor::Export, scope, wait).await.unwrap();
        })
    };
    let annas: Vec<_> = (0..20).map(|_| slowly("anna")).collect();
    for _ in 0..20 {
        let asking = past.ask("bert", AskedFor::Export, everything(), |_| Ok(1));
        assert_eq!(tokio::time::timeout(PATIENCE, asking).await.expect("bert waits for anna").unwrap(), 1);
    }
    assert!(annas.iter().all(|asking| !asking.is_finished()));
    drop(end);
    for asking in annas {
        asking.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_keeps_others_from_sql_and_an_administrator_sees_and_cancels() {
    let (_data, folder) = history();
    let mut site = Site::new();
    site.shared.console = Console::new(Some(sql_client(&folder)));
    site.router = crate::described::router(site.shared.clone());
    let site = Arc::new(site);
    let anna = person("anna", Role::Viewer);
    let ask = |who: &Person, sql: &'static str| {
        let (site, who) = (Arc::clone(&site), who.clone());
        tokio::spawn(async move { read(send(&site, &who, Method::POST, "/api/v1/sql", sql).await).await })
    };
    let annas: Vec<_> = (0..4).map(|_| ask(&anna, SLOW)).collect();
    let list = async |who: &Person| -> Vec<Value> {
        let answer = read(send(&site, who, Method::GET, "/api/v1/sql", "").await).await;
        serde_json::from_str::<Value>(&answer.body).unwrap()["questions"].as_array().unwrap().clone()
    };
    let until = async |count: usize| {
        let waiting = async {
            while list(&anna).await.len() != count || !list(&anna).await.iter().any(is_answered) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("they are not under way");
    };
    until(4).await;
    let refused = ask(&anna, "SELECT 1").await.unwrap();
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));

    // Others see nothing of hers, and cannot cancel it; an administrator can.
    let (bert, root) = (person("bert", Role::Operator), person("root", Role::Administrator));
    assert!(list(&bert).await.is_empty());
    assert_eq!(list(&root).await.len(), 4);
    let running = list(&root).await.into_iter().find(is_answered).unwrap();
    assert_eq!((&running["who"], &running["sql"]), (&Value::from("anna"), &Value::from(SLOW)));
    let page = read(send(&site, &root, Method::GET, "/sql", "").await).await;
    assert!(page.body.contains("Running queries") && page.body.contains("anna"), "{}", page.body);
    let root_asks = ask(&root, "SELECT 1");
    let cancel = format!("/api/v1/sql/cancel?question={}", running["question"]);
    send(&site, &bert, Method::POST, &cancel, "").await;
    send(&site, &anna, Method::GET, "/sql", "").await;
    assert!(list(&root).await.contains(&running));
    send(&site, &root, Method::POST, &cancel, "").await;
    // Her next one waits behind the administrator's first.
    assert_eq!(root_asks.await.unwrap().status, StatusCode::OK);
    assert_eq!(list(&anna).await.len(), 3);
    send(&site, &anna, Method::POST, "/api/v1/sql/cancel", "").await;
    for asking in annas {
        assert_ne!(asking.await.unwrap().status, StatusCode::OK);
    }
}

fn is_answered(question: &Value) -> bool {
    question["is_answered_now"] == true
}
