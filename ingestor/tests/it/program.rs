//! The program by itself.

use std::process::Stdio;

use crate::{
    publisher::{Publisher, assert_stored},
    support::{Fixture, terminate, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_seals_what_is_buffered() {
    let fixture = Fixture::start().await;
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    let mut settings = fixture.settings();
    // Longer than the test.
    settings.seal_interval = std::time::Duration::from_secs(600);
    let ingestor = fixture.ingestor(settings).await;
    for _ in 0..10 {
        publisher.publish().await;
    }
    crate::refusals::status_where(&fixture, |status| status.read_sequence >= 10).await;
    assert_eq!(fixture.value::<u64>("SELECT count(*) FROM host_sample"), 0);
    ingestor.stop().await;
    assert_stored(&fixture.history(), &[publisher]);

    let mut process = fixture.process();
    until("the folder is in use", || {
        std::fs::read_to_string(fixture.history().join("lock")).unwrap().trim() == process.id().to_string()
    })
    .await;
    assert!(terminate(&mut process).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ingestor_is_told_who_has_the_folder() {
    let fixture = Fixture::start().await;
    let ingestor = fixture.ingestor(fixture.settings()).await;
    until("the folder is in use", || fixture.history().join("attach.sql").exists()).await;
    let output = fixture.command().stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains(&format!("in use by process {}", std::process::id())), "{said}");
    ingestor.stop().await;
}
