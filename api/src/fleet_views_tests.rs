use std::{collections::BTreeMap, sync::mpsc};

use fleetps_nats::{
    HostName, Snapshot,
    snapshot::{Encoder, Sent},
};

use super::*;
use crate::{auth::Role, live::steady_us};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

struct Site {
    fleet: Arc<Fleet>,
    groups: Groups,
    views: FleetViews,
    sequence: u64,
}

impl Site {
    fn with(hosts: &[&str]) -> Self {
        let mut site = Self {
            fleet: Arc::default(),
            groups: Groups::default(),
            views: FleetViews::default(),
            sequence: 0,
        };
        hosts.iter().for_each(|host| site.tell(host));
        site
    }

    fn tell(&mut self, host: &str) {
        self.sequence += 1;
        let snapshot = Snapshot {
            format: fleetps_nats::snapshot::FORMAT,
            boot_id: "boot".to_owned(),
            run_id: "run".to_owned(),
            sequence: self.sequence,
            interval_ms: 10_000,
            captured_at_us: now_us(),
            ..Snapshot::default()
        };
        let message = Encoder::new().unwrap().encode(&snapshot).unwrap();
        self.fleet.take(host.parse().unwrap(), &message, snapshot, Sent::new(now_us(), None));
    }

    /// The fleet page for somebody with these grants.
    fn page_of(&self, grants: &[Grant]) -> FleetPage {
        let scope = self.groups.scope_of(grants);
        self.views.page(&self.fleet, &self.groups, (&scope, grants), &FleetQuery::default())
    }

    fn page(&self) -> FleetPage {
        self.page_of(&[Grant::EVERYTHING])
    }
}

fn of_group(group: &str) -> Vec<Grant> {
    vec![Grant { role: Role::Viewer, groups: Some([group.to_owned()].into()), hides_command_lines: false }]
}

fn hosts_of(rendering: &Rendering) -> Vec<String> {
    rendering.view.table("hosts").rows.into_iter().map(|row| row.id).collect()
}

fn tags(host: &str, group: &str) -> (HostName, std::collections::BTreeSet<String>) {
    (host.parse().unwrap(), [group.to_owned()].into())
}

#[tokio::test]
async fn a_change_is_rendered_once_for_all_pages_and_requests_with_the_same_query() {
    let mut site = Site::with(&["web-1"]);
    let first = site.page().now().await.unwrap();
    let pages: Vec<OpenFleetPage> = (0..20).map(|_| site.page().open()).collect();
    for page in &pages {
        assert!(Arc::ptr_eq(&page.next(None).await.unwrap(), &first), "nothing has changed");
    }
    site.tell("web-2");
    let next = futures_util::future::join_all(pages.iter().map(|page| page.next(Some(&first)))).await;
    let next: Vec<Arc<Rendering>> = next.into_iter().map(Result::unwrap).collect();
    assert!(next.iter().all(|rendering| Arc::ptr_eq(rendering, &next[0])));
    assert!(Arc::ptr_eq(&site.page().now().await.unwrap(), &next[0]));
    assert_eq!(hosts_of(&next[0]), ["h-web-1", "h-web-2"]);

    let patches = pages.iter().map(|page| page.patch(Some(&first), &next[0]));
    let patches = futures_util::future::join_all(patches).await;
    let patches: Vec<Arc<str>> = patches.into_iter().map(|patch| patch.unwrap().unwrap()).collect();
    assert!(patches.iter().all(|patch| Arc::ptr_eq(patch, &patches[0])));
    assert!(patches[0].contains("web-2") && !patches[0].contains("whole"), "{}", patches[0]);
    // A page that shows something else gets all of it.
    let whole = pages[0].patch(None, &next[0]).await.unwrap().unwrap();
    assert!(whole.contains("whole") && whole.contains("web-1"));
}

#[tokio::test]
async fn a_request_never_gets_what_was_known_before_it_came() {
    let mut site = Site::with(&["web-1"]);
    for number in 2..20 {
        site.tell(&format!("web-{number}"));
        assert_eq!(hosts_of(&site.page().now().await.unwrap()).len(), number);
    }
}

#[tokio::test]
async fn a_change_of_alerts_is_one_of_the_page_and_of_its_version() {
    let site = Site::with(&["web-1"]);
    let before = site.page().now().await.unwrap();
    assert!(Arc::ptr_eq(&site.page().now().await.unwrap(), &before), "nothing has changed");
    site.views.alerts.touch();
    let after = site.page().now().await.unwrap();
    assert!(!Arc::ptr_eq(&after, &before));
    assert_ne!(after.view.version, before.view.version);
}

#[tokio::test]
async fn people_share_with_those_who_see_the_same_hosts_and_a_change_of_groups_counts_at_once() {
    let site = Site::with(&["db-1", "web-1", "web-2"]);
    site.groups.set(BTreeMap::from([tags("db-1", "db"), tags("web-1", "web"), tags("web-2", "web")]));
    let (web, db) = (site.page_of(&of_group("web")), site.page_of(&of_group("db")));
    let seen = web.now().await.unwrap();
    assert_eq!(hosts_of(&seen), ["h-web-1", "h-web-2"]);
    assert_eq!(hosts_of(&db.now().await.unwrap()), ["h-db-1"]);
    let same = site.page_of(&of_group("web"));
    assert!(Arc::ptr_eq(&same.now().await.unwrap(), &seen));
    // Everybody who sees every host sees the same.
    let viewer = [Grant { role: Role::Viewer, ..Grant::EVERYTHING }];
    assert!(Arc::ptr_eq(&site.page_of(&viewer).now().await.unwrap(), &site.page().now().await.unwrap()));

    let open = web.open();
    open.next(None).await.unwrap();
    site.groups.set(BTreeMap::from([tags("db-1", "db"), tags("web-1", "web"), tags("web-2", "db")]));
    assert_eq!(hosts_of(&open.next(Some(&seen)).await.unwrap()), ["h-web-1"]);
    assert_eq!(hosts_of(&same.now().await.unwrap()), ["h-web-1"]);
    assert_eq!(hosts_of(&db.now().await.unwrap()), ["h-db-1", "h-web-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_page_goes_when_nobody_looks() {
    let site = Site::with(&["web-1"]);
    site.page().now().await.unwrap();
    let open = site.page().open();
    assert_eq!(site.views.count(), 1);
    tokio::time::sleep(2 * STAYS_FOR).await;
    assert_eq!(site.views.count(), 1, "it is open");
    drop(open);
    assert_eq!(site.views.count(), 0);
    site.page().now().await.unwrap();
    assert_eq!(site.views.count(), 1, "its stream is not opened yet");
    tokio::time::sleep(2 * STAYS_FOR).await;
    assert_eq!(site.views.count(), 0);
}

#[tokio::test]
async fn the_thread_that_serves_requests_waits_neither_for_the_fleet_nor_for_a_rendering() {
    let site = Site::with(&["web-1"]);
    let ((held_in, held), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let fleet = Arc::clone(&site.fleet);
    // Holds the lock of the fleet until it is released: the first call only looks whether somebody is to leave.
    let holding = std::thread::spawn(move || {
        let (calls, was_released) = (std::cell::Cell::new(0), std::cell::Cell::new(false));
        fleet.leave_out(steady_us(), Duration::MAX, |_| {
            calls.set(calls.get() + 1);
            if calls.get() == 2 {
                held_in.send(()).unwrap();
                was_released.set(released.recv_timeout(PATIENCE).is_ok());
            }
            calls.get() == 1
        });
        was_released.get()
    });
    held.recv_timeout(PATIENCE).unwrap();
    let page = site.page();
    let (rendering, ()) = tokio::join!(page.now(), async { release.send(()).unwrap() });
    assert_eq!(hosts_of(&rendering.unwrap()), ["h-web-1"]);
    assert!(holding.join().unwrap(), "the request held the only thread until the patience was over");
}
