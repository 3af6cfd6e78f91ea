use fleetps::testing::{
    auth::{Addresses, People},
    config::QuestionSettings,
    server::{self, Doors, Health},
    tls::TlsListener,
};
use fleetps_ingestor::{IngestorSettings, alerts::open_rules};
use fleetps_nats::{HostName, snapshot::Encoder};

use super::*;
use crate::support::{process, snapshot};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_sends_becomes_a_message_through_ingestor_and_web_server() {
    let mut scene = Scene::with_channel().await;
    scene.grouping.quiet = Duration::from_millis(100);
    let rules = open_rules(&scene.client).await.unwrap();
    let rule = json!({ "sentence": "count < 1 where name:java", "changed_by": "anna", "changed_at_us": 1, "note": "start it" });
    rules.put("no-java", &serde_json::from_value(rule).unwrap()).await.unwrap();
    let (end, folder) = (CancellationToken::new(), tempfile::tempdir().unwrap());
    let settings = IngestorSettings {
        history: folder.path().join("history"),
        max_stream_bytes: 64 << 20,
        ..IngestorSettings::default()
    };
    let of_ingestor = scene.server.broker(Part::Ingestor).connect("ingestor").await.unwrap();
    let ingesting = tokio::spawn(fleetps_ingestor::run(of_ingestor, settings.clone(), end.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let doors = Doors { dispatch: Some(scene.settings()), ..TlsListener::plaintext(listener).into() };
    let (client, people) = (scene.client.clone(), People::anybody(Addresses::default()));
    let questions = QuestionSettings::default();
    let serving = server::run(doors, client, Health::default(), settings, questions, people, end.clone());
    let serving = tokio::spawn(serving);
    scene.has_ledger().await;
    let agent = scene.server.broker(Part::Simulator);
    let agent = agent.connect_later("agent", "_INBOX_simulator").await.unwrap();
    let host: HostName = "web-1".parse().unwrap();
    let tell = async |sequence, processes| {
        let message = Encoder::new().unwrap().encode(&snapshot(sequence, processes)).unwrap();
        agent.request(subject::snapshot(&host), message.into()).await.unwrap();
    };
    tell(1, vec![process(1, 0, "init")]).await;
    scene.until("it is told", |got| !got.is_empty()).await;
    tell(2, vec![process(1, 0, "init"), process(10, 1, "java")]).await;
    scene.until("its end is told", |got| got.len() > 1).await;
    let message = scene.receiver.got()[0].json();
    assert_eq!((&message["kind"], &message["rule"]), (&json!("raised"), &json!("no-java")));
    assert_eq!(message["title"], "processes are 0, fewer than 1");
    assert_eq!(
        (&message["subject"]["host"], &message["facts"]["runbook"]),
        (&json!("web-1"), &json!("start it"))
    );
    assert_eq!(scene.receiver.got()[1].json()["title"], "processes are 1 again");
    end.cancel();
    serving.await.unwrap().unwrap();
    ingesting.await.unwrap().unwrap();
    scene.server.stop().await;
}
