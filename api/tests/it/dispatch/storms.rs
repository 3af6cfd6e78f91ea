use fleetps::testing::notify::Outbox;

use super::*;
use crate::notify::notification;

fn kinds_and_subjects(got: &[Got]) -> Vec<(String, Value)> {
    got.iter()
        .map(|got| (got.json()["kind"].as_str().unwrap().to_owned(), got.json()["subject"].clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_300_rules_that_dies_is_one_message_and_so_is_its_return() {
    let scene = Scene::with_channel().await;
    let running = scene.start().await;
    let all = |change| -> Vec<Transition> {
        let of_rule = |rule: u16| {
            let mut transition = transition("web-1", &format!("rule-{rule}"), change);
            transition.change.value = Some(95.0 + f64::from(rule) / 100.0);
            transition
        };
        (0..300).map(of_rule).collect()
    };
    scene.publish(&all(Change::Raised)).await;
    scene.until("it is told", |got| !got.is_empty()).await;
    scene.publish(&all(Change::Cleared)).await;
    scene.until("its end is told", |got| got.len() > 1).await;
    let got = scene.receiver.got();
    assert_eq!(
        kinds_and_subjects(&got),
        [
            ("raised".to_owned(), json!({ "host": "web-1" })),
            ("resolved".to_owned(), json!({ "host": "web-1" }))
        ]
    );
    let (raised, resolved) = (got[0].json(), got[1].json());
    assert_eq!((&raised["also_count"], raised["also"].as_array().unwrap().len()), (&json!(299), 10));
    assert_eq!(raised["thread"], resolved["thread"]);
    assert!(raised["title"].as_str().unwrap().starts_with("memory is 9"), "{raised}");
    assert_eq!(raised["culprits"][0]["value"], "11.2 GB");
    assert_eq!(raised["acknowledge"], "https://ps.example.com/alerts/acknowledge?host=web-1");
    assert_eq!(running.shared.dispatching.figures().dispatched, 2);
    running.stop().await;
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_hosts_that_lose_their_switch_are_one_message_and_so_is_their_return() {
    let scene = Scene::with_channel().await;
    let running = scene.start().await;
    let all = |change| -> Vec<Transition> {
        (0..500).map(|host| transition(&format!("h-{host:03}"), "host-silent", change)).collect()
    };
    scene.publish(&all(Change::Raised)).await;
    scene.until("it is told", |got| !got.is_empty()).await;
    scene.publish(&all(Change::Cleared)).await;
    scene.until("its end is told", |got| got.len() > 1).await;
    let got = scene.receiver.got();
    let hosts = |got: &Got| got.json()["subject"]["hosts"]["count"].clone();
    assert_eq!(got.iter().map(hosts).collect::<Vec<_>>(), [json!(500), json!(500)]);
    assert_eq!(got[0].json()["link"], "https://ps.example.com/alerts?rule=host-silent");
    running.stop().await;
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_channel_nothing_is_made_and_with_the_first_one_nobody_hears_of_what_was_before() {
    let mut scene = Scene::new().await;
    scene.grouping.quiet = Duration::from_millis(50);
    let running = scene.start_at_once();
    scene.publish(&[transition("web-1", "before", Change::Raised)]).await;
    assert_eq!(scene.records.silences().await.unwrap().len(), 0);
    assert_eq!(scene.records.acknowledgements().await.unwrap().len(), 0);
    assert_eq!(scene.records.routes().await.unwrap(), None);
    running.until("it waits", |dispatching| dispatching.outbox().is_none()).await;
    assert_eq!(scene.made().await, Vec::<String>::new());
    scene.channel("hook", "ok").await;
    let again = scene.start().await;
    running.until("it begins", |dispatching| dispatching.outbox().is_some()).await;
    scene.publish(&[transition("web-1", "after", Change::Raised)]).await;
    scene.until("what came after is told", |got| !got.is_empty()).await;
    let ended =
        [transition("web-1", "before", Change::Cleared), transition("web-1", "after", Change::Cleared)];
    scene.publish(&ended).await;
    scene.until("and its end", |got| got.len() > 1).await;
    let rules: Vec<Value> = scene.receiver.got().iter().map(|got| got.json()["rule"].clone()).collect();
    assert_eq!(rules, [json!("after"), json!("after")]);
    again.stop().await;
    running.stop().await;
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_it_goes_on_where_it_was_and_two_servers_say_everything_once() {
    let mut scene = Scene::with_channel().await;
    scene.grouping.quiet = Duration::from_millis(50);
    let first = scene.start().await;
    scene.publish(&[transition("web-1", "memory", Change::Raised)]).await;
    scene.until("it is told", |got| !got.is_empty()).await;
    first.stop().await;
    scene.publish(&[transition("web-2", "memory", Change::Raised)]).await;
    let servers = [scene.start().await, scene.start().await];
    scene.until("what came meanwhile is told", |got| got.len() == 2).await;
    scene.publish(&[transition("web-1", "memory", Change::Cleared)]).await;
    scene.until("the end is told", |got| got.len() == 3).await;
    scene.publish(&[transition("web-2", "memory", Change::Cleared)]).await;
    scene.until("the other one is told", |got| got.len() == 4).await;
    let got = scene.receiver.got();
    let hosts: Vec<String> =
        got.iter().map(|got| got.json()["subject"]["host"].as_str().unwrap().to_owned()).collect();
    assert_eq!(hosts, ["web-1", "web-2", "web-1", "web-2"]);
    assert_eq!(got[0].json()["thread"], got[2].json()["thread"]);
    for running in servers {
        running.stop().await;
    }
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_and_silences_decide_who_hears_of_what_and_what_a_silence_kept_back_is_named() {
    let mut scene = Scene::with_channel().await;
    scene.grouping.quiet = Duration::from_millis(50);
    scene.channel("other", "ok2").await;
    let list = json!({ "routes": [{ "channels": ["other"], "matcher": { "rules": ["mem*"] } }], "changed_by": "anna", "changed_at_us": 1 });
    assert!(scene.records.save_routes(&serde_json::from_value(list).unwrap(), None).await.unwrap());
    let silence = json!({ "matcher": { "hosts": ["web-2"] }, "why": "new disk", "who": "anna",
        "when": { "once": { "from_us": now_us() - 1_000_000, "until_us": now_us() + 3_600_000_000_i64 } } });
    let silence =
        scene.records.add_silence(&serde_json::from_value(silence).unwrap(), now_us()).await.unwrap();
    let all = [("web-1", "memory"), ("web-2", "memory"), ("web-1", "disk")];
    let running = scene.start().await;
    scene.publish(&all.map(|(host, rule)| transition(host, rule, Change::Raised))).await;
    running.until("it is decided", |dispatching| dispatching.figures().kept_back.len() == 2).await;
    scene.until("one is told", |got| !got.is_empty()).await;
    let got: Vec<String> = scene.receiver.got().iter().map(headline).collect();
    assert_eq!(got, ["ok2: \"Critical: web-1: memory is 97.0 %, more than 95.0 %\""]);
    let kept_back = running.shared.dispatching.figures().kept_back;
    assert_eq!(kept_back, BTreeMap::from([("no_route", 1), ("silenced", 1)]));
    running.until("the silence says so", |dispatching| dispatching.muted().contains_key(&silence)).await;
    assert!(running.shared.dispatching.muted()[&silence].latest[0].1.starts_with("Critical: web-2: memory"));
    running.stop().await;
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_raised_long_before_it_is_told_is_told_where_it_is_still_open() {
    let scene = Scene::with_channel().await;
    let running = scene.start().await;
    let late = |host: &str| {
        let mut transition = transition(host, "memory", Change::Raised);
        transition.change.at_us -= 660 * 1_000_000;
        transition
    };
    let cleared = transition("web-2", "memory", Change::Cleared);
    // The host sent it in time, and nobody evaluated it until now.
    let unevaluated = |change| {
        let mut transition = transition("web-3", "memory", change);
        transition.change.at_us -= 660 * 1_000_000;
        transition.decided_at_us = transition.change.at_us;
        transition
    };
    let (raised, ended) = (unevaluated(Change::Raised), unevaluated(Change::Cleared));
    scene.publish(&[late("web-1"), late("web-2"), cleared, raised, ended]).await;
    scene.until("the open one is told", |got| !got.is_empty()).await;
    let kept_back = |dispatching: &Dispatching| dispatching.figures().kept_back;
    running.until("others are not", |dispatching| kept_back(dispatching).values().sum::<u64>() == 4).await;
    let kept_back = kept_back(&running.shared.dispatching);
    assert_eq!(kept_back, BTreeMap::from([("began_untold", 2), ("late", 2)]));
    let got: Vec<String> = scene.receiver.got().iter().map(headline).collect();
    assert_eq!(got, ["ok: \"Critical: web-1: memory is 97.0 %, more than 95.0 %\""]);
    running.stop().await;
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_without_room_holds_up_no_other_and_is_told_when_there_is_room() {
    let mut scene = Scene::new().await;
    scene.grouping.quiet = Duration::from_millis(50);
    // It comes before the other one, and what waits for it is tried again and again.
    scene.channel("dead", "broken").await;
    scene.channel("hook", "ok").await;
    let outbox = Outbox::open(&scene.client).await.unwrap();
    let mut waiting = 0;
    let refusal = loop {
        match outbox.put("dead", &notification(&format!("n{waiting}"), "it waits"), None).await {
            Ok(_) => waiting += 1,
            Err(error) => break error,
        }
    };
    assert!(refusal.is_full(), "{refusal:?}");
    let running = scene.start().await;
    scene.publish(&[transition("web-1", "memory", Change::Raised)]).await;
    scene.until("the other channel is told", |got| !got.is_empty()).await;
    let count = |dispatching: &Dispatching, what: &str| {
        let counts = dispatching.figures().outbox;
        counts.into_iter().find(|(name, _)| *name == what).map_or(0, |(_, count)| count)
    };
    running.until("one is refused", |dispatching| count(dispatching, "refused") > 0).await;
    assert_eq!(running.shared.dispatching.figures().dispatched, 2);
    outbox.forget("dead").await.unwrap();
    running.until("there is room for it", |dispatching| count(dispatching, "put") == 2).await;
    running.stop().await;
    scene.server.stop().await;
}
