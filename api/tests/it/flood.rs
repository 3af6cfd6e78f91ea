//! A host that sends a hundred times what others send, a hundred times as often, does not keep them from the pages.

use std::{sync::Arc, time::Duration};

use fleetps::testing::live::{self, Fleet, Intake, Shown, steady_us};
use fleetps_ingestor::history::Scope;
use fleetps_nats::{
    HostName,
    hosts::{self, Admission, HostRecord},
    server::Part,
    snapshot::Encoder,
    subject,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    pipeline::broker,
    support::{PATIENCE, family, process, snapshot},
};

/// The rate limit of a host here, so low that the flood exceeds it at once.
const SHOWN: Shown = Shown { host_bytes_per_s: 64 << 10, down_for: Duration::from_secs(3600) };
/// A hundred times those of the quiet host.
const LOUD_PROCESSES: u32 = 500;
const ROUNDS: i64 = 20;
/// Of the flood, for each snapshot of the quiet host.
const LOUD_SNAPSHOTS: u64 = 100;

fn loud_message() -> Vec<u8> {
    let processes = (1..=LOUD_PROCESSES)
        .map(|pid| fleetps_nats::snapshot::Process {
            command_line: Some(format!("{:x}", fastrand::u128(..))),
            ..process(pid, 0, "loud")
        })
        .collect();
    Encoder::new().unwrap().encode(&snapshot(1, processes)).unwrap()
}

/// Publishes the snapshot and waits until the fleet has it.
async fn tell(agent: &async_nats::Client, fleet: &Fleet, host: &HostName, number: i64) {
    let taken = snapshot(number, family());
    let message = Encoder::new().unwrap().encode(&taken).unwrap();
    let mut changed = fleet.watch();
    agent.publish(subject::snapshot(host), message.into()).await.unwrap();
    let shown = async {
        while fleet.summary(host).is_none_or(|shown| shown.captured_at_us != taken.captured_at_us) {
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.expect("a snapshot is not shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_one_host_is_left_unread_and_the_others_go_on_appearing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, agent) = broker(folder.path()).await;
    let owner = server.broker(Part::Api).connect("test").await.unwrap();
    let (fleet, over) = (Arc::new(Fleet::default()), CancellationToken::new());
    let (progress, intake) = watch::channel(Intake::default());
    let following = {
        let (fleet, over) = (Arc::clone(&fleet), over.child_token());
        tokio::spawn(async move { live::follow(owner, &fleet, SHOWN, &progress, over).await })
    };
    let loud_subject = subject::snapshot(&"loud".parse().unwrap());
    let (loud, quiet) = (bytes::Bytes::from(loud_message()), "quiet".parse().unwrap());
    for round in 1..=ROUNDS {
        for _ in 0..LOUD_SNAPSHOTS {
            agent.publish(loud_subject.clone(), loud.clone()).await.unwrap();
        }
        tell(&agent, &fleet, &quiet, round).await;
    }
    // The stream has an order, so all of the flood was before the last of the quiet host.
    let sent = ROUNDS.unsigned_abs() * LOUD_SNAPSHOTS;
    let Intake { skipped, ignored, .. } = *intake.borrow();
    println!("of {sent} messages of the flood {skipped} were left unread");
    assert!(skipped > sent / 2, "{skipped} of {sent} were left unread");
    assert_eq!(ignored, 0);
    over.cancel();
    tokio::time::timeout(PATIENCE, following).await.unwrap().unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_revoked_or_forgotten_leave_the_fleet_and_what_they_send_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (server, agent) = broker(folder.path()).await;
    let owner = server.broker(Part::Api).connect("test").await.unwrap();
    let records = hosts::open(&owner).await.unwrap();
    let (fleet, over) = (Arc::new(Fleet::default()), CancellationToken::new());
    let (progress, mut intake) = watch::channel(Intake::default());
    let following = {
        let (fleet, over) = (Arc::clone(&fleet), over.child_token());
        tokio::spawn(async move { live::follow(owner, &fleet, SHOWN, &progress, over).await })
    };
    let names: [HostName; 3] = ["bad", "gone", "stays"].map(|name| name.parse().unwrap());
    let [bad, gone, stays] = &names;
    for host in &names {
        assert!(hosts::admit(&records, host, "UKEY").await.unwrap());
        tell(&agent, &fleet, host, 1).await;
    }
    let processes = || fleet.view(&Scope::everything(), 9).counts;
    let of_one = u64::from(fleet.summary(stays).unwrap().process_count);
    assert_eq!((processes().up, processes().processes), (3, 3 * of_one));

    let was = records.get("bad").await.unwrap().unwrap();
    let revoked = HostRecord { admission: Admission::Revoked, ..was.value.clone() };
    assert!(records.update("bad", &revoked, was.revision).await.unwrap());
    hosts::forget(&records, gone).await.unwrap();
    let mut changed = fleet.watch();
    let left = async {
        while fleet.host_count() > 1 {
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("they are still shown");
    assert_eq!((processes().up, processes().processes), (1, of_one));
    for host in [bad, gone] {
        let message = Encoder::new().unwrap().encode(&snapshot(2, family())).unwrap();
        agent.publish(subject::snapshot(host), message.into()).await.unwrap();
    }
    tokio::time::timeout(PATIENCE, intake.wait_for(|intake| intake.revoked == 2)).await.unwrap().unwrap();
    tell(&agent, &fleet, stays, 2).await;
    assert_eq!(fleet.host_count(), 1);

    // One that is trusted again is shown again.
    records.put("bad", &was.value).await.unwrap();
    let shown = async {
        for number in 3.. {
            let message = Encoder::new().unwrap().encode(&snapshot(number, family())).unwrap();
            agent.publish(subject::snapshot(bad), message.into()).await.unwrap();
            tell(&agent, &fleet, stays, number).await;
            if fleet.summary(bad).is_some() {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.expect("it is not shown again");
    fleet.leave_out(steady_us(), SHOWN.down_for, |host| *host == *bad);
    assert_eq!((processes().up, processes().processes), (1, of_one));
    over.cancel();
    tokio::time::timeout(PATIENCE, following).await.unwrap().unwrap();
    server.stop().await;
}
