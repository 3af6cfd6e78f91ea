//! Hosts over HTTP while web server and broker are killed: what was taken is in the history, once.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_nats::Client;
use fleetps_agent::publish::{Outbox, Publisher};
use fleetps_ingestor::IngestorSettings;
use fleetps_nats::{
    hosts, key,
    server::{ManagedServer, Part},
    subject,
};
use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    chance::{chance, rounds},
    ingest::{packed, session, until},
    pipeline::broker,
    program::{ask, fleetps_on},
};

/// Snapshots of each host between two kills.
const SNAPSHOTS: u64 = 3;

/// How much is done: a sample, or all of it where long tests are asked for.
struct Scale {
    hosts: usize,
    kills_of_the_server: usize,
    kills_of_the_broker: usize,
}

impl Scale {
    fn wanted() -> Self {
        match rounds(1) >= 20 {
            true => Self { hosts: 200, kills_of_the_server: 20, kills_of_the_broker: 5 },
            false => Self { hosts: 40, kills_of_the_server: 3, kills_of_the_broker: 1 },
        }
    }
}

/// The web server in a process of its own, killed when dropped.
struct Serving(Child);

impl Serving {
    fn start(data: &Path, broker: &ManagedServer, listen: &str) -> Self {
        let broker = broker.broker(Part::Api);
        let mut command = fleetps_on(data, listen);
        command.args(["--nats", &broker.url, "--nkey"]).arg(broker.nkey_file.unwrap()).arg("serve");
        command.env("FLEETPS_LOG", "error").stdout(Stdio::null()).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Hosts that post to one web server.
struct Hosts {
    outboxes: Vec<Outbox>,
    publishers: JoinSet<()>,
    stop: CancellationToken,
}

impl Hosts {
    async fn start(client: &Client, url: &str, folder: &Path, count: usize) -> Self {
        let bucket = hosts::open(client).await.unwrap();
        let (mut outboxes, mut publishers, stop) = (Vec::new(), JoinSet::new(), CancellationToken::new());
        for number in 0..count {
            let name = format!("host-{number}");
            let file = folder.join(format!("{name}.nk"));
            let public = key::make(&file).unwrap();
            assert!(hosts::admit(&bucket, &name.parse().unwrap(), &public).await.unwrap());
            let (session, outbox) = (session(url, &name, &file), Outbox::new(16 << 20));
            let publisher = Publisher::through_server(session, "run".to_owned(), outbox.clone());
            publishers.spawn(publisher.run(stop.clone()));
            outboxes.push(outbox);
        }
        Self { outboxes, publishers, stop }
    }

    /// One snapshot of each.
    fn push(&self, sequence: u64) {
        let message = packed("run", sequence);
        self.outboxes.iter().for_each(|outbox| outbox.push(sequence, message.to_vec(), 5));
    }

    fn waiting(&self) -> usize {
        self.outboxes.iter().map(Outbox::waiting).sum()
    }

    async fn end(mut self) {
        assert!(self.outboxes.iter().all(|outbox| outbox.dropped() == 0));
        self.stop.cancel();
        while self.publishers.join_next().await.is_some() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hosts_were_told_is_taken_is_in_the_history_once_whoever_is_killed() {
    let scale = Scale::wanted();
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = broker(folder.path()).await;
    let client = server.broker(Part::Api).connect("test").await.unwrap();
    let ingesting = CancellationToken::new();
    let settings = IngestorSettings {
        history: folder.path().join("history"),
        seal_interval: Duration::from_secs(2),
        upkeep_interval: Duration::from_millis(100),
        max_stream_bytes: 64 << 20,
        ..IngestorSettings::default()
    };
    let ingestor = server.broker(Part::Ingestor).connect("ingestor").await.unwrap();
    let ingestor = tokio::spawn(fleetps_ingestor::run(ingestor, settings, ingesting.clone()));
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let url = format!("http://{listen}");

    let hosts = Hosts::start(&client, &url, folder.path(), scale.hosts).await;
    let mut rng = chance();
    let mut serving = Serving::start(folder.path(), &server, &listen);
    let mut sequence = 0;
    let broker_every = scale.kills_of_the_server / scale.kills_of_the_broker;
    for kill in 1..=scale.kills_of_the_server {
        for _ in 0..SNAPSHOTS {
            sequence += 1;
            hosts.push(sequence);
        }
        // In the middle of it.
        let left = rng.usize(1..=scale.hosts * 2);
        until("some are stored", async || hosts.waiting() <= left).await;
        drop(serving);
        serving = Serving::start(folder.path(), &server, &listen);
        if kill % broker_every == 0 {
            let left = hosts.waiting() / 2;
            until("some more are stored", async || hosts.waiting() <= left).await;
            let pid = server.pid().to_string();
            assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        }
    }
    until("everything is stored", async || hosts.waiting() == 0).await;
    hosts.end().await;
    drop(serving);

    let expected = i64::try_from(sequence * scale.hosts as u64).unwrap();
    // The stream itself has each once, so no reader ever sees a repeat.
    let mut in_stream = None;
    until("the broker says what it has", async || {
        in_stream = in_stream_of(&client).await.ok();
        in_stream.is_some()
    })
    .await;
    assert_eq!(in_stream, usize::try_from(expected).ok());
    let data = folder.path().to_owned();
    let counted = async |of: &'static str| {
        let data = data.clone();
        let count = move || ask(&data, &format!("SELECT count(*) FROM ({of})"));
        tokio::task::spawn_blocking(count).await.unwrap()
    };
    let (all, distinct) = ("FROM host_sample", "SELECT DISTINCT host, run_id, sequence FROM host_sample");
    until("there is a history", async || data.join("history/attach.sql").exists()).await;
    until("the history has them", async || counted(all).await >= expected).await;
    ingesting.cancel();
    ingestor.await.unwrap().unwrap();
    assert_eq!((counted(all).await, counted(distinct).await), (expected, expected));
    server.stop().await;
}

/// The snapshots in the stream; a broker that was just killed may not answer.
async fn in_stream_of(client: &Client) -> Result<usize, Box<dyn std::error::Error>> {
    let stream = async_nats::jetstream::new(client.clone()).get_stream("SNAP").await?;
    let mut counts = stream.info_with_subjects(subject::ALL_SNAPSHOTS).await?;
    let mut all = 0;
    while let Some(count) = counts.next().await {
        all += count?.1;
    }
    Ok(all)
}
