//! Damaged files of the broker's own store: the broker starts with any content, no message is changed, losses are
//! reported as losses, and later messages are stored.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use fastrand::Rng;
use fleetps_nats::{
    bucket::{Bucket, BucketError},
    patience::patiently,
    reader::{Delivery, SnapshotReader, Start},
    server::{ManagedServer, Part},
    stream, subject,
};

use crate::{
    chance::seeds,
    support::{host, settings, within},
};

const MESSAGES: u64 = 120;

/// A message that says of itself what it is, all the way.
fn message(number: u64) -> Vec<u8> {
    let mut rng = Rng::with_seed(number);
    number.to_le_bytes().into_iter().chain(std::iter::repeat_with(|| rng.u8(..)).take(20_000)).collect()
}

/// A server that hangs over what it reads is given 45 s, twice.
const START_PATIENCE: Duration = Duration::from_secs(240);

async fn start(folder: &Path) -> ManagedServer {
    let starting = ManagedServer::start(settings(folder));
    tokio::time::timeout(START_PATIENCE, starting).await.expect("it never starts").unwrap()
}

async fn publish(jetstream: &async_nats::jetstream::Context, number: u64) {
    let subject = subject::snapshot(&host(&format!("h{}", number % 5)));
    let publishing = async {
        loop {
            let published = jetstream.publish(subject.clone(), message(number).into()).await.unwrap();
            if published.await.is_ok() {
                return;
            }
        }
    };
    within(publishing).await;
}

/// A store with a stream in several files, and a bucket.
async fn store() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let client = server.broker(Part::Ingestor).connect("test").await.unwrap();
    let jetstream = async_nats::jetstream::new(client.clone());
    // A quarter of it is a file.
    within(stream::ensure(&jetstream, 4 << 20)).await.unwrap();
    for number in 1..=MESSAGES {
        publish(&jetstream, number).await;
    }
    let bucket = Bucket::<u64>::open(&client, "values").await.unwrap();
    for value in 0..20 {
        bucket.put(&format!("v{value}"), &value).await.unwrap();
    }
    server.stop().await;
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() { copy(&path, &to.join(name)) } else { _ = fs::copy(&path, to.join(name)).unwrap() }
    }
}

/// Damages one file in one way, and says which and how.
fn damage(file: &Path, rng: &mut Rng) -> String {
    let mut bytes = fs::read(file).unwrap();
    let how = match rng.u8(0..5) {
        0 | 1 if !bytes.is_empty() => {
            for _ in 0..rng.usize(1..4) {
                let place = rng.usize(..bytes.len());
                bytes[place] ^= 1 << rng.u8(..8);
            }
            "bits flipped"
        }
        2 => {
            bytes.truncate(rng.usize(..=bytes.len()));
            "truncated"
        }
        3 => {
            let from = rng.usize(..=bytes.len());
            let length = rng.usize(..=(bytes.len() - from).min(4096));
            bytes[from..from + length].fill(0);
            "zeroed"
        }
        _ => {
            fs::remove_file(file).unwrap();
            return format!("{} removed", file.display());
        }
    };
    fs::write(file, bytes).unwrap();
    format!("{} {how}", file.display())
}

/// Everything the stream still has, up to the message `last`, is what it was.
async fn read_up_to(jetstream: &async_nats::jetstream::Context, last: u64) {
    let mut reader = SnapshotReader::new(jetstream.clone(), Start::Sequence(1), None);
    loop {
        match within(reader.next()).await {
            Delivery::Message(delivered) => {
                let number = u64::from_le_bytes(delivered.payload[..8].try_into().unwrap());
                assert!(delivered.payload == message(number), "message {number} is another than it was");
                if number == last {
                    return;
                }
            }
            Delivery::Lost { first, last } => eprintln!("lost {first} to {last}"),
            // It lost its end, and gives its numbers out again.
            Delivery::Replaced { .. } => {
                reader = SnapshotReader::new(jetstream.clone(), Start::Sequence(1), None);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_any_damaged_file_of_its_store_the_broker_serves_and_no_message_is_changed() {
    let store = store().await;
    for seed in seeds(12) {
        let mut rng = Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        copy(store.path(), folder.path());
        let files = files(&folder.path().join("nats/jetstream"));
        for _ in 0..rng.usize(1..3) {
            let file = &files[rng.usize(..files.len())];
            if file.exists() {
                eprintln!("{}", damage(file, &mut rng));
            }
        }
        let server = start(folder.path()).await;
        let client = server.broker(Part::Ingestor).connect("test").await.unwrap();
        let jetstream = async_nats::jetstream::new(client.clone());
        within(patiently("the test", || stream::ensure(&jetstream, 4 << 20))).await.unwrap();
        publish(&jetstream, MESSAGES + 1).await;
        read_up_to(&jetstream, MESSAGES + 1).await;
        // The server may find itself unwell over what it reads, and be started again meanwhile.
        within(patiently("the test", || server.mend_buckets())).await.unwrap();
        let opening = patiently("the test", || async {
            let bucket = Bucket::<u64>::open(&client, "values").await?;
            let all = bucket.all().await?;
            Ok::<_, BucketError>((bucket, all))
        });
        let (bucket, all) = within(opening).await.unwrap();
        for (key, entry) in all {
            assert_eq!(key, format!("v{}", entry.value));
        }
        // Also what was damaged is written again.
        for value in 0..=20 {
            let key = format!("v{value}");
            within(bucket.put(&key, &value)).await.unwrap();
            assert_eq!(within(bucket.get(&key)).await.unwrap().unwrap().value, value);
        }
        assert_eq!(within(bucket.all()).await.unwrap().len(), 21);
        eprintln!("{:?}", server.health().warnings());
        server.stop().await;
    }
}
