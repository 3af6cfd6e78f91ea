//! The fleet page, rendered once for everybody who looks at the same.
//!
//! Rendering it takes as long as there are hosts, and in a large fleet some snapshot comes every few milliseconds. So
//! people who see the same hosts and ask the same query share a [`FleetPage`]: one [`Rendering`] of each change, and one
//! patch between any two of them, whoever asks first. Both are made on threads that serve no requests, and only as many
//! at once as there are processors.
//!
//! * **What is shared by whom.** Everybody who sees every host sees the same fleet. Others share with people who have the
//!   same grants. Which hosts these let them see is looked up for each rendering, so a change of groups counts at once.
//! * **How new it is.** A request gets a rendering that began after it came, and requests that come meanwhile share the
//!   next one. While a page is open, it may be as old as the pace of patches allows ([`MIN_BETWEEN`], [`PAUSE`]).
//! * **How long it stays.** As long as a page is open or a request is answered; the usual first request is followed by
//!   the stream of the open page, so the renderings that requests got stay a few seconds longer ([`STAYS_FOR`]).
//! * **How much is sent.** What changed since what the page shows. A page that shows something unknown, because it was in the
//!   background or its connection broke, gets all of it if that is short ([`MAX_WHOLE_BYTES`]), and else asks again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use fleetps_ingestor::{alerts::Severity, history::Scope};
use parking_lot::Mutex;
use tokio::{
    sync::{OnceCell, Semaphore, watch},
    task::JoinError,
    time::Instant,
};

use crate::{
    auth::Grant,
    authz::Groups,
    dispatch::Acknowledged,
    live::{Alerts, Fleet, now_us},
    metrics::Bounded,
    view::{
        View,
        busiest::BUSIEST_PROGRAMS,
        fleet::{self, FleetQuery},
        host_filter::{self, GroupChip, OfHosts},
        patch::{MIN_BETWEEN, MIN_BETWEEN_ORDERS, PAUSE, Patch},
    },
};

/// How long a page stays when nobody looks: until the stream of patches is opened, on a slow connection.
const STAYS_FOR: Duration = Duration::from_secs(5);
/// Pages that stay when nobody looks: more are rendered anew. A rendering of 200 hosts takes about 300 KB, and most of these
/// pages have one, at most [`MAX_GIVEN`].
const MAX_STAYING: usize = 64;
/// Renderings of one page that requests got and whose stream of patches may still be opened: more are forgotten, and get all
/// of the page.
const MAX_GIVEN: usize = 3;
/// The longest patch that has all of a page. What is longer the page asks for like any other, because it comes compressed then,
/// to about a tenth.
const MAX_WHOLE_BYTES: usize = 48 << 10;

/// The fleet pages that are looked at. A clone is the same.
#[derive(Debug, Clone)]
pub struct FleetViews {
    pages: Arc<Mutex<HashMap<Key, Weak<Page>>>>,
    /// For what takes as long as there are hosts.
    processors: Arc<Semaphore>,
    alerts: Arc<Alerts>,
    acknowledged: Acknowledged,
}

/// What a page shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// What limits it; absent for somebody who sees every host.
    grants: Option<Vec<Grant>>,
    query: FleetQuery,
}

#[derive(Debug)]
struct Page {
    key: Key,
    /// The newest one. Held while the next one is made, so that all who wait share it.
    latest: tokio::sync::Mutex<Option<Arc<Rendering>>>,
    /// Those that requests got last. In a large fleet the next one is newer before the page opens its stream, which then gets
    /// what has changed since, and not all of it.
    given: Mutex<VecDeque<Arc<Rendering>>>,
    /// Open pages.
    watchers: AtomicUsize,
}

/// The page for one (scope, query). A clone is the same.
#[derive(Debug, Clone)]
pub struct FleetPage {
    fleet: Arc<Fleet>,
    groups: Groups,
    views: FleetViews,
    page: Arc<Page>,
}

/// An open page, until it is dropped.
#[derive(Debug)]
pub struct OpenFleetPage(FleetPage);

/// The versions of what a rendering is made from.
#[derive(Debug, Clone, Copy)]
struct Versions {
    fleet: u64,
    groups: u64,
    /// Of the alerts and of their acknowledgements.
    alerts: u64,
}

/// The page at one moment.
#[derive(Debug)]
pub struct Rendering {
    /// What it shows.
    pub view: Arc<View>,
    /// Groups of the hosts, for links.
    pub groups: Vec<GroupChip>,
    /// Whether no host was ever heard of.
    pub is_empty: bool,
    of: Versions,
    next_at: Instant,
    reorder_at: Instant,
    /// Whether rows are where they were, although they should be elsewhere.
    order_kept: bool,
    /// By what a page shows before: the whole page for one that shows something unknown.
    patches: Mutex<Vec<(Option<Arc<View>>, SharedPatch)>>,
}

/// A patch as JSON, made by the first who asks; `None` where nothing is to be done.
type SharedPatch = Arc<OnceCell<Option<Arc<str>>>>;

impl Default for FleetViews {
    fn default() -> Self {
        Self::of(Arc::default(), Acknowledged::default())
    }
}

impl FleetViews {
    /// No pages yet; they show how many of these alerts each host has, and which are acknowledged.
    pub fn of(alerts: Arc<Alerts>, acknowledged: Acknowledged) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let processors = Arc::new(Semaphore::new(processors));
        Self { pages: Arc::default(), processors, alerts, acknowledged }
    }

    /// The page of `fleet` with `query` for somebody who has these grants, and `scope` by them.
    pub fn page(
        &self,
        fleet: &Arc<Fleet>,
        groups: &Groups,
        (scope, grants): (&Scope, &[Grant]),
        query: &FleetQuery,
    ) -> FleetPage {
        let grants = (!scope.has_every_host()).then(|| grants.to_vec());
        let key = Key { grants, query: query.clone() };
        let mut pages = self.pages.lock();
        let known = pages.get(&key).and_then(Weak::upgrade);
        let page = known.unwrap_or_else(|| {
            pages.retain(|_, page| page.strong_count() > 0);
            let page = Arc::new(Page {
                key: key.clone(),
                latest: tokio::sync::Mutex::default(),
                given: Mutex::default(),
                watchers: AtomicUsize::new(0),
            });
            pages.insert(key, Arc::downgrade(&page));
            page
        });
        FleetPage { fleet: Arc::clone(fleet), groups: groups.clone(), views: self.clone(), page }
    }

    /// Does `work`, which takes as long as there are hosts, on a thread that serves no requests.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        // Never closed.
        let permit = Arc::clone(&self.processors).acquire_owned().await.ok();
        let working = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        working.await
    }

    /// How many processors work on what takes as long as there are hosts. What comes meanwhile waits; each request is one
    /// of a connection, which are bounded.
    pub fn bounded(&self) -> Bounded {
        let limit = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let in_use = limit.saturating_sub(self.processors.available_permits());
        Bounded { of: "work-over-the-fleet", in_use: in_use as u64, limit: limit as u64, refused: 0 }
    }

    /// Pages that are known, looked at or not.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.pages.lock().values().filter(|page| page.strong_count() > 0).count()
    }
}

impl FleetPage {
    /// The page for a request: of what is known now, or as open pages show it.
    ///
    /// # Errors
    /// When rendering panicked.
    pub async fn now(&self) -> Result<Arc<Rendering>, JoinError> {
        let wanted = self.versions();
        let mut latest = self.page.latest.lock().await;
        let is_watched = self.page.watchers.load(Relaxed) > 0;
        if let Some(known) = latest.as_ref()
            && (known.is_of(wanted)
                || (is_watched && known.of.groups == wanted.groups && Instant::now() < known.next_at))
        {
            self.stay(known);
            return Ok(Arc::clone(known));
        }
        let rendering = self.render(latest.clone(), is_watched).await?;
        *latest = Some(Arc::clone(&rendering));
        drop(latest);
        self.stay(&rendering);
        Ok(rendering)
    }

    /// Keeps the page and what a request got of it, until the one who asked opens a stream of patches.
    fn stay(&self, rendering: &Arc<Rendering>) {
        let mut given = self.page.given.lock();
        if given.iter().any(|known| Arc::ptr_eq(known, rendering))
            || self.views.pages.lock().len() > MAX_STAYING
        {
            return;
        }
        given.push_back(Arc::clone(rendering));
        if given.len() > MAX_GIVEN {
            given.pop_front();
        }
        drop(given);
        let (page, stays) = (Arc::clone(&self.page), Arc::downgrade(rendering));
        tokio::spawn(async move {
            tokio::time::sleep(STAYS_FOR).await;
            page.given.lock().retain(|known| !std::ptr::eq(Arc::as_ptr(known), stays.as_ptr()));
        });
    }

    /// Opens it.
    pub fn open(self) -> OpenFleetPage {
        self.page.watchers.fetch_add(1, Relaxed);
        OpenFleetPage(self)
    }

    fn versions(&self) -> Versions {
        Versions {
            fleet: self.fleet.version(),
            groups: self.groups.version(),
            alerts: self.views.alerts.version(),
        }
    }

    /// Renders it anew. Where pages are open, rows stay where they are until the time for a new order has come.
    async fn render(
        &self,
        before: Option<Arc<Rendering>>,
        is_watched: bool,
    ) -> Result<Arc<Rendering>, JoinError> {
        let (fleet, groups) = (Arc::clone(&self.fleet), self.groups.clone());
        let (alerts, acknowledged) = (Arc::clone(&self.views.alerts), self.views.acknowledged.clone());
        let Key { grants, query } = self.page.key.clone();
        let begun = Instant::now();
        let kept = before.filter(|_| is_watched);
        let rendering = self.views.aside(move || {
            let tagged = groups.now();
            let (groups_version, alerts_version) = (tagged.version(), alerts.version());
            let of = Versions { fleet: fleet.version(), groups: groups_version, alerts: alerts_version };
            let scope =
                grants.map_or_else(|| Arc::new(Scope::everything()), |grants| groups.scope_of(&grants));
            let known = fleet.view(&scope, BUSIEST_PROGRAMS);
            let mut open = alerts.open(|open| {
                open.change.alert.severity >= Severity::Warning && scope.sees(&open.change.alert.host)
            });
            for alert in &mut open {
                alert.acknowledged = acknowledged.of(&alert.last.change.alert.id);
            }
            let alerts = alerts.of_hosts(|host| scope.sees(host));
            let of_host = OfHosts { groups: &|host| tagged.of(host), alerts: &alerts, open: &open };
            let mut view = fleet::view(&known, &query, of_host, now_us());
            view.version = format!("{}-{groups_version}-{alerts_version}", view.version);
            let (order_kept, reorder_at) = keep_order(&mut view, kept.as_deref(), begun);
            Rendering {
                groups: host_filter::groups(&known.hosts, of_host),
                is_empty: known.hosts.is_empty() && known.left_out == 0,
                view: Arc::new(view),
                of,
                next_at: begun + MIN_BETWEEN.max(begun.elapsed() * PAUSE),
                reorder_at,
                order_kept,
                patches: Mutex::default(),
            }
        });
        rendering.await.map(Arc::new)
    }
}

/// Puts rows back to where they were, until the time for a new order has come. Whether that was another order, and when the
/// next new order may be.
fn keep_order(view: &mut View, before: Option<&Rendering>, now: Instant) -> (bool, Instant) {
    match before {
        Some(before) if now < before.reorder_at => (view.keep_order(&before.view), before.reorder_at),
        _ => (false, now + MIN_BETWEEN_ORDERS),
    }
}

impl OpenFleetPage {
    /// Tells of every change in the fleet.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.fleet.watch()
    }

    /// What a request got that shows this version, if that was a moment ago.
    pub fn given(&self, version: &str) -> Option<Arc<Rendering>> {
        let given = self.0.page.given.lock();
        given.iter().find(|rendering| rendering.view.version == version).cloned()
    }

    /// The page as it is to be shown after `shown`: soon, at the pace of patches.
    ///
    /// # Errors
    /// When rendering panicked.
    pub async fn next(&self, shown: Option<&Arc<Rendering>>) -> Result<Arc<Rendering>, JoinError> {
        let Self(page) = self;
        let wanted = page.versions();
        let is_order_due =
            |now: Instant| shown.and_then(|shown| shown.reorders_at()).is_some_and(|at| now >= at);
        loop {
            let mut latest = page.page.latest.lock().await;
            let now = Instant::now();
            if let Some(known) = latest.as_ref() {
                let is_news = shown.is_none_or(|shown| !Arc::ptr_eq(shown, known));
                if known.is_of(wanted) && (is_news || !is_order_due(now)) {
                    return Ok(Arc::clone(known));
                }
                if now < known.next_at {
                    let next_at = known.next_at;
                    drop(latest);
                    tokio::time::sleep_until(next_at).await;
                    continue;
                }
            }
            let rendering = page.render(latest.clone(), true).await?;
            *latest = Some(Arc::clone(&rendering));
            return Ok(rendering);
        }
    }

    /// The patch from what a page shows to `rendering`, as JSON; for one that shows something unknown the whole page, or that it
    /// is to be asked for again. `None` where there is nothing to be done.
    ///
    /// # Errors
    /// When making it panicked.
    pub async fn patch(
        &self,
        shown: Option<&Arc<Rendering>>,
        rendering: &Arc<Rendering>,
    ) -> Result<Option<Arc<str>>, JoinError> {
        let before = shown.map(|shown| Arc::clone(&shown.view));
        let patch = rendering.shared_patch(before.as_ref());
        let make = || {
            let after = Arc::clone(&rendering.view);
            self.0.views.aside(move || {
                let Some(before) = before else { return Some(whole(&after)) };
                Patch::between(&before, &after).map(|patch| json(&patch))
            })
        };
        patch.get_or_try_init(make).await.cloned()
    }
}

fn json(patch: &Patch) -> Arc<str> {
    serde_json::to_string(patch).unwrap_or_default().into()
}

/// All of a page, or that it is to be asked for again where that is long.
fn whole(view: &View) -> Arc<str> {
    let whole = json(&Patch::whole(view));
    if whole.len() <= MAX_WHOLE_BYTES { whole } else { json(&Patch::again(view)) }
}

impl Drop for OpenFleetPage {
    fn drop(&mut self) {
        self.0.page.watchers.fetch_sub(1, Relaxed);
    }
}

impl Rendering {
    /// When rows are to be put in order, where they are not.
    pub fn reorders_at(&self) -> Option<Instant> {
        self.order_kept.then_some(self.reorder_at)
    }

    /// Whether it shows all of `wanted`.
    fn is_of(&self, wanted: Versions) -> bool {
        self.of.fleet >= wanted.fleet && self.of.groups >= wanted.groups && self.of.alerts >= wanted.alerts
    }

    fn shared_patch(&self, before: Option<&Arc<View>>) -> SharedPatch {
        let mut patches = self.patches.lock();
        let is_it = |known: &Option<Arc<View>>| match (known, before) {
            (Some(known), Some(before)) => Arc::ptr_eq(known, before),
            (known, before) => known.is_none() && before.is_none(),
        };
        if let Some((_, patch)) = patches.iter().find(|(known, _)| is_it(known)) {
            return Arc::clone(patch);
        }
        let patch = SharedPatch::default();
        patches.push((before.cloned(), Arc::clone(&patch)));
        patch
    }
}

#[cfg(test)]
#[path = "fleet_views_tests.rs"]
mod tests;
