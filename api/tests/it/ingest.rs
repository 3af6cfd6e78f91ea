//! Snapshots over HTTP, from the agent's side of it to the page, with a real broker and its admission.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_nats::Client;
use bytes::Bytes;
use fleetps_agent::{
    publish::{Outbox, Publisher},
    server::{Answer, Server, Session},
};
use fleetps_nats::{
    HostName, Snapshot, TlsOptions,
    admission::{AdmissionService, AdmissionSettings, Enrolled, EnrolmentTokens},
    bucket::Entry,
    hosts::{self, Admission, HostRecord},
    key,
    server::{ManagedServer, Part},
    snapshot::Encoder,
};
use tokio_util::sync::CancellationToken;

use crate::{
    pipeline::{broker, serve},
    support::{PATIENCE, family, snapshot},
};

/// A broker, its admission, a web server, and hosts that speak HTTP with it.
pub struct World {
    pub server: ManagedServer,
    pub client: Client,
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
    admission: tokio::task::JoinHandle<()>,
    serving: (CancellationToken, tokio::task::JoinHandle<()>),
}

impl World {
    pub async fn start(settings: AdmissionSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, _) = broker(folder.path()).await;
        let admission = server.admission(&"here".parse().unwrap(), settings).await.unwrap();
        let admission = tokio::spawn(AdmissionService::run(admission));
        let (address, serving) = serve(&server).await;
        let client = server.broker(Part::Api).connect("test").await.unwrap();
        Self { server, client, address, folder, admission, serving }
    }

    pub async fn stop(self) {
        self.serving.0.cancel();
        tokio::time::timeout(PATIENCE, self.serving.1).await.expect("the server goes on").unwrap();
        self.admission.abort();
        self.server.stop().await;
    }

    pub async fn token(&self, uses: u32) -> String {
        let tokens = EnrolmentTokens::open(&self.client).await.unwrap();
        tokens.make(Duration::from_secs(600), uses, []).await.unwrap()
    }

    /// The file with the key of `host`, which is made where there is none.
    pub fn key_file(&self, host: &str) -> PathBuf {
        let file = self.folder.path().join(format!("{host}.nk"));
        if !file.exists() {
            key::make(&file).unwrap();
        }
        file
    }

    /// A conversation of `host`, with its own key.
    pub fn session(&self, host: &str) -> Session {
        session(&format!("http://{}", self.address), host, &self.key_file(host))
    }

    /// The same of a host that is admitted.
    pub async fn admitted(&self, host: &str) -> Session {
        let (session, token) = (self.session(host), self.token(1).await);
        assert_eq!(enrol(&session, Some(&token)).await, Enrolled::Admitted);
        let known = async || !matches!(post(&session, "probe", 1).await, Answer::NotAdmitted);
        until("the server knows the key", known).await;
        session
    }

    pub async fn record(&self, host: &str) -> Option<Entry<HostRecord>> {
        hosts::open(&self.client).await.unwrap().get(host).await.unwrap()
    }

    pub async fn change(&self, host: &str, change: impl FnOnce(&mut HostRecord)) {
        let Entry { mut value, revision } = self.record(host).await.unwrap();
        change(&mut value);
        assert!(hosts::open(&self.client).await.unwrap().update(host, &value, revision).await.unwrap());
    }

    pub async fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            agent.get(url).call().unwrap().body_mut().read_to_string().unwrap()
        })
        .await
    }
}

pub fn session(url: &str, host: &str, nkey_file: &Path) -> Session {
    let nkey_file = Some(nkey_file.to_owned());
    let server = Server { url: url.to_owned(), nkey_file, wire: TlsOptions::default() };
    server.session(&host.parse().unwrap()).unwrap()
}

pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let working = tokio::task::spawn_blocking(work);
    tokio::time::timeout(PATIENCE, working).await.expect("it hangs").unwrap()
}

/// Asks until the server answers, as agents do: while a machine is busy, a broker may take longer than a server waits.
pub async fn enrol(session: &Session, token: Option<&str>) -> Enrolled {
    let (session, token) = (session.clone(), token.map(str::to_owned));
    let patience = Instant::now() + PATIENCE;
    let asking = move || loop {
        match session.enrol(token.as_deref()) {
            Ok(state) => return state,
            Err(error) => assert!(Instant::now() < patience, "{error:?}"),
        }
    };
    blocking(asking).await
}

/// A packed snapshot of this run and sequence.
pub fn packed(run: &str, sequence: u64) -> Bytes {
    let snapshot = snapshot(sequence.cast_signed(), family());
    Encoder::new().unwrap().encode(&Snapshot { run_id: run.to_owned(), ..snapshot }).unwrap().into()
}

/// Posts a snapshot; where the server asks for another sign of life, once more.
pub async fn post(session: &Session, run: &str, sequence: u64) -> Answer {
    let (session, run) = (session.clone(), run.to_owned());
    blocking(move || {
        let message = packed(&run, sequence);
        match session.post(&run, sequence, None, &message).unwrap() {
            Answer::Again(Some(Duration::ZERO)) => session.post(&run, sequence, None, &message).unwrap(),
            answer => answer,
        }
    })
    .await
}

pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not within reach: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_a_token_is_admitted_over_http_and_on_the_page_until_it_is_revoked() {
    let world = World::start(AdmissionSettings::default()).await;
    let (session, token) = (world.session("web-1.example.com"), world.token(1).await);
    assert_eq!(post(&session, "run", 1).await, Answer::NotAdmitted);
    assert_eq!(enrol(&session, None).await, Enrolled::Refused);
    assert_eq!(enrol(&session, Some("no token")).await, Enrolled::Refused);
    assert_eq!(enrol(&session, Some(&token)).await, Enrolled::Admitted);
    assert_eq!(enrol(&session, None).await, Enrolled::Admitted, "as at every start");
    assert_eq!(enrol(&world.session("web-2"), Some(&token)).await, Enrolled::Refused, "it is used up");

    let outbox = Outbox::new(1 << 20);
    let shutdown = CancellationToken::new();
    let publisher = Publisher::through_server(session.clone(), "run".to_owned(), outbox.clone());
    let publisher = tokio::spawn(publisher.run(shutdown.clone()));
    for sequence in 1..=5 {
        outbox.push(sequence, packed("run", sequence).to_vec(), 5);
    }
    until("all is stored", async || outbox.waiting() == 0).await;
    assert_eq!(outbox.dropped(), 0);
    until("it is shown", async || world.get("/hosts/web-1.example.com").await.contains("sshd")).await;

    world.change("web-1.example.com", |record| record.admission = Admission::Revoked).await;
    until("it is refused", async || post(&session, "run", 6).await == Answer::NotAdmitted).await;
    assert_eq!(enrol(&session, None).await, Enrolled::Refused);
    outbox.push(7, packed("run", 7).to_vec(), 5);
    world.change("web-1.example.com", |record| record.admission = Admission::Admitted).await;
    until("it is taken again", async || outbox.waiting() == 0).await;
    assert_eq!(outbox.dropped(), 0);
    until("what was refused is counted", async || {
        let ready = world.get("/readyz").await;
        ready.contains(r#""revoked":"#) && ready.contains(r#""other-key":"#)
    })
    .await;
    shutdown.cancel();
    publisher.await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_token_waits_for_approval_and_then_goes_on_by_itself() {
    let world = World::start(AdmissionSettings { approve: true, ..AdmissionSettings::default() }).await;
    let session = world.session("web-1");
    let outbox = Outbox::new(1 << 20);
    let shutdown = CancellationToken::new();
    let publisher = Publisher::through_server(session.clone(), "run".to_owned(), outbox.clone());
    let publisher = tokio::spawn(publisher.run(shutdown.clone()));
    outbox.push(1, packed("run", 1).to_vec(), 5);
    until("it waits", async || world.record("web-1").await.is_some()).await;
    let record = world.record("web-1").await.unwrap().value;
    assert_eq!((record.admission, record.network.as_deref()), (Admission::Waiting, Some("127.0.0.0/24")));
    assert_eq!(enrol(&session, None).await, Enrolled::Waiting);
    let look_alike = world.session("WEB-l");
    world.change("web-1", |record| record.admission = Admission::Admitted).await;
    assert_eq!(enrol(&look_alike, None).await, Enrolled::Refused, "its name looks like the other's");
    until("it is taken", async || outbox.waiting() == 0).await;
    shutdown.cancel();
    publisher.await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_to_change_its_key_does_so_with_its_next_snapshot() {
    let world = World::start(AdmissionSettings::default()).await;
    let session = world.admitted("web-1").await;
    let before = key::read(&world.key_file("web-1")).unwrap().public_key();
    world.change("web-1", |record| record.rotate = true).await;
    let mut sequence = 0;
    until("it has another key", async || {
        sequence += 1;
        post(&session, "run", sequence).await;
        key::read(&world.key_file("web-1")).unwrap().public_key() != before
    })
    .await;
    let now = key::read(&world.key_file("web-1")).unwrap().public_key();
    let record = world.record("web-1").await.unwrap().value;
    assert_eq!((record.keys, record.rotate), (vec![now], false));
    until("the new one is taken", async || post(&session, "run", 1000).await == Answer::Taken).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_may_move_from_http_to_the_broker_and_back() {
    let world = World::start(AdmissionSettings::default()).await;
    let session = world.admitted("web-1").await;
    assert_eq!(post(&session, "one", 1).await, Answer::Taken);
    let host: HostName = "web-1".parse().unwrap();
    let with_key = world.server.broker(Part::Agent).with_key(world.key_file("web-1"));
    let broker = with_key.enrol(&host, None).await.unwrap();
    let (outbox, shutdown) = (Outbox::new(1 << 20), CancellationToken::new());
    let publisher = tokio::spawn(Publisher::new(broker, &host, outbox.clone()).run(shutdown.clone()));
    outbox.push(1, packed("two", 1).to_vec(), 5);
    until("the broker has it", async || outbox.waiting() == 0).await;
    shutdown.cancel();
    publisher.await.unwrap();
    assert_eq!(post(&session, "three", 1).await, Answer::Taken);
    assert_eq!(post(&session, "three", 1).await, Answer::Taken, "a repeat");
    let stream = async_nats::jetstream::new(world.client.clone()).get_stream("SNAP").await.unwrap();
    let of_host = stream.cached_info().state.messages;
    // With the probe by which its key was found to be known.
    assert_eq!(of_host, 4);
    world.stop().await;
}
