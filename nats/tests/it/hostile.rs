//! Hosts that mean harm: many connections, made-up names, names that look like others.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

use async_nats::connection::State;
use data_encoding::BASE64URL_NOPAD;
use fleetps_nats::{
    admission::{AdmissionSettings, MAX_WAITING_OF_NETWORK},
    hosts::{self, Admission},
    server::Part,
};
use nkeys::KeyPair;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpSocket,
};

use crate::{
    admission::Admitting,
    support::{host, until, within},
};

/// Whether the broker admits a client from `source` as `name` with a key of its own.
async fn knock(broker: &Admitting, source: &str, name: &str) -> bool {
    let url = broker.fixture.server.url();
    let address: SocketAddr = url.trim_start_matches("nats://").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    let mut stream = BufReader::new(socket.connect(address).await.unwrap());
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let info: serde_json::Value = serde_json::from_str(line.trim_start_matches("INFO ")).unwrap();
    let key = KeyPair::new_user();
    let signature = key.sign(info["nonce"].as_str().unwrap().as_bytes()).unwrap();
    let connect = serde_json::json!({
        "verbose": false, "pedantic": false, "headers": true, "protocol": 1, "user": name,
        "nkey": key.public_key(), "sig": BASE64URL_NOPAD.encode(&signature),
    });
    stream.write_all(format!("CONNECT {connect}\r\nPING\r\n").as_bytes()).await.unwrap();
    line.clear();
    let answered = stream.read_line(&mut line).await;
    answered.is_ok() && line.starts_with("PONG")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_few_connections_and_others_of_it_come_in_when_they_are_gone() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let token = broker.token(2).await;
    let (greedy, other) = (broker.machine("greedy"), broker.machine("other"));
    let mut clients = vec![greedy.connect(Some(&token)).await.unwrap()];
    for _ in 0..30 {
        clients.extend(greedy.connect(None).await);
    }
    println!("{} connections of 31 were let in", clients.len());
    assert!((4..=12).contains(&clients.len()), "{}", clients.len());
    assert!(broker.service.refused()["too-many-connections"] > 0);
    other.connect(Some(&token)).await.unwrap();
    drop(clients);
    until("it is let in again", || async { greedy.connect(None).await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_host_loses_every_connection() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let token = broker.token(1).await;
    let bad = broker.machine("bad");
    let mut clients = vec![bad.connect(Some(&token)).await.unwrap()];
    for _ in 0..3 {
        clients.push(bad.connect(None).await.unwrap());
    }
    broker.set("bad", |record| record.admission = Admission::Revoked).await;
    until("all are cut off", || async {
        clients.iter().all(|client| client.connection_state() != State::Connected)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_names_of_one_network_make_room_for_each_other_and_for_nobody_elses() {
    let broker = Admitting::start(AdmissionSettings { approve: true, keys: None }).await;
    assert!(!knock(&broker, "127.0.9.1", "first").await);
    let waiting = async || {
        let all = within(broker.hosts.all()).await.unwrap().into_iter();
        let waiting = all.filter(|(_, entry)| entry.value.admission == Admission::Waiting);
        waiting.map(|(name, entry)| (name, entry.value.network.unwrap_or_default())).collect::<Vec<_>>()
    };
    let began = Instant::now();
    for number in 0..MAX_WAITING_OF_NETWORK + 40 {
        let source = format!("127.0.0.{}", 1 + number % 200);
        assert!(!knock(&broker, &source, &format!("made-up-{number}")).await);
    }
    println!("{} names in {:?}", MAX_WAITING_OF_NETWORK + 40, began.elapsed());
    let of_network = async |network: &str| waiting().await.iter().filter(|(_, of)| of == network).count();
    // Those that came at once may be one too many. The next that comes makes good for them.
    let late = AtomicUsize::new(0);
    until("the network has its share and no more", || async {
        knock(&broker, "127.0.0.1", &format!("late-{}", late.fetch_add(1, Relaxed))).await;
        of_network("127.0.0.0/24").await == MAX_WAITING_OF_NETWORK
    })
    .await;
    assert_eq!(of_network("127.0.9.0/24").await, 1);

    // In that network, too, a host that asks again gets a place.
    until("another of that network waits", || async {
        knock(&broker, "127.0.0.1", "real").await;
        waiting().await.iter().any(|(name, _)| name == "real")
    })
    .await;
    let names: Vec<String> = waiting().await.into_iter().map(|(name, _)| name).collect();
    assert!(!names.contains(&"made-up-0".to_owned()), "the longest waiting has not made room");

    let ended = within(hosts::end_all_waiting(&broker.hosts, Some("127.0.0.0/24"))).await.unwrap();
    assert!(ended > MAX_WAITING_OF_NETWORK / 2, "{ended}");
    let left: Vec<String> = waiting().await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["first"]);
    within(hosts::end_all_waiting(&broker.hosts, None)).await.unwrap();
    assert_eq!(waiting().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_people_would_mistake_are_refused_to_new_hosts_and_those_of_old_go_on() {
    let broker = Admitting::start(AdmissionSettings::default()).await;
    let token = broker.token(9).await;
    let refused = |reason: &str| broker.service.refused().get(reason).copied().unwrap_or_default();
    for (number, name) in ["--help", "-", "___"].into_iter().enumerate() {
        assert!(broker.machine(name).connect(Some(&token)).await.is_err(), "{name}");
        assert_eq!(refused("bad-name"), number as u64 + 1);
    }
    broker.machine("web-01").connect(Some(&token)).await.unwrap();
    until("its name is known", || async {
        broker.machine("WEB-O1").connect(Some(&token)).await.is_err() && refused("look-alike") > 0
    })
    .await;
    broker.machine("web-02").connect(Some(&token)).await.unwrap();

    let old = broker.machine("-old");
    let client = broker.fixture.client(Part::Api).await;
    let bucket = within(hosts::open(&client)).await.unwrap();
    let key = fleetps_nats::key::read(old.broker.nkey_file.as_ref().unwrap()).unwrap().public_key();
    assert!(within(hosts::admit(&bucket, &host("-old"), &key)).await.unwrap());
    old.connect(None).await.unwrap();
}
