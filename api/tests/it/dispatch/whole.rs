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
    let settings = IngestorSettings { history: folder.path().join("history"), ..IngestorSettings::default() };
    let of_ingestor = scene.server.broker(Part::Ingestor).connect("ingestor").await.unwrap();
    let ingesting = tokio::spawn(fleetps_ingestor::run(of_ingestor, settings.clone(), end.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let doors = Doors { dispatch: Some(scene.settings()), ..TlsListener::plaintext(listener).into() };
    let (client, people) = (scene.client.clone(), People::anybody(Addresses::default()));
    let questions = QuestionSettings::default();
    let serving = server::run(doors, client, Health::default(), settings, questions, people, end.clone());
    let serving = tokio::spawn(serving);
    let began = async {
        let jetstream = jetstream::new(scene.client.clone());
        while jetstream.get_stream("DISPATCH").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, began).await.expect("nothing is dispatched");
    let agent = scene.server.broker(Part::Simulator);
    let agent = agent.connect_later("agent", "_INBOX_simulator").await.unwrap();
    let host: HostName = "web-1".parse().unwrap();
    let tell = async |sequence, processes| {
        let message = Encoder::new().unwrap().encode(&snapshot(sequence, processes)).unwrap();
        agent.request(subject::snapshot(&host), message.into()).await.unwrap();
    };
    // The ledger may begin a moment after its stream: whatever was before is not told, so it comes and goes until it is.
    let mut sequence = 0;
    let told = async {
        while scene.receiver.got().is_empty() {
            for processes in [vec![process(10, 1, "java")], vec![process(1, 0, "init")]] {
                sequence += 1;
                tell(sequence, processes).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("nothing is told");
    let message = scene.receiver.got()[0].json();
    assert_eq!((&message["kind"], &message["rule"]), (&json!("raised"), &json!("no-java")));
    assert_eq!(message["title"], "processes are 0, fewer than 1");
    assert_eq!(
        (&message["subject"]["host"], &message["facts"]["runbook"]),
        (&json!("web-1"), &json!("start it"))
    );
    end.cancel();
    serving.await.unwrap().unwrap();
    ingesting.await.unwrap().unwrap();
    scene.server.stop().await;
}
