//! A full disk, on a small file system in memory.

use std::{fs, path::PathBuf};

use fleetps_nats::disk::Disk;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::{
    publisher::{Publisher, assert_stored},
    support::Fixture,
};

/// A file system of 8 MiB; `None` where this user may not make one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(c"size=8m")).ok()?;
        Some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_stops_while_the_broker_still_has_room_on_the_same_disk() {
    let fixture = Fixture::start().await;
    let Some(_disk) = SmallDisk::mount(fixture.history()) else {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    };
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    let ingestor = fixture.ingestor(fixture.settings()).await;
    // 300 KiB are left of 8 MiB: room for a segment, but less than the reserve.
    let filler = fixture.history().join("filler");
    let size = Disk::of(&fixture.history()).unwrap().free_bytes - (300 << 10);
    fs::write(&filler, vec![0; usize::try_from(size).unwrap()]).unwrap();
    publisher.publish().await;
    let status = crate::refusals::status_where(&fixture, |status| status.write_error.is_some()).await;
    assert!(status.write_error.unwrap().contains("kept for the broker"));
    fs::remove_file(&filler).unwrap();
    fixture.until_count("SELECT count(*) FROM host_sample", 1).await;
    ingestor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_damages_nothing_and_intake_resumes_by_itself() {
    let fixture = Fixture::start().await;
    let Some(_disk) = SmallDisk::mount(fixture.history()) else {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    };
    let mut publisher = Publisher::new(fixture.jetstream().await, "host", "run");
    let ingestor = fixture.ingestor(fixture.settings()).await;
    for _ in 0..20 {
        publisher.publish().await;
    }
    fixture.until_count("SELECT count(*) FROM host_sample", 20).await;

    // Everything that is left, to the last byte.
    let filler = fixture.history().join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while std::io::Write::write(&mut file, &[0; 512]).is_ok_and(|written| written > 0) {}
    drop(file);
    for _ in 0..20 {
        publisher.publish().await;
    }
    let status = crate::refusals::status_where(&fixture, |status| status.write_error.is_some()).await;
    assert!(status.write_error.unwrap().contains("is there space"));
    assert_eq!(fixture.value::<u64>("SELECT count(*) FROM host_sample"), 20, "what is sealed is whole");
    let status = crate::refusals::status_where(&fixture, |status| status.disk_warning.is_some()).await;
    assert!(status.disk_warning.unwrap().contains("% full"));

    fs::remove_file(&filler).unwrap();
    fixture.until_count("SELECT count(*) FROM host_sample", 40).await;
    crate::refusals::status_where(&fixture, |status| status.write_error.is_none()).await;
    ingestor.stop().await;
    assert_stored(&fixture.history(), &[publisher]);
}
