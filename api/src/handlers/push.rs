//! Live updates: one stream of patches per open page.
//!
//! The stream renders the page's view as often as its subject changes and sends what differs from what it sent last.
//! Nothing queues: a client that reads slowly gets fewer, later patches (the newest state wins), because the next view
//! is rendered only when the last patch has been taken. Pages of one host render their own view; fleet pages share
//! theirs ([`fleet_views`](crate::fleet_views)).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt, future::BoxFuture, stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{sync::watch, time::Instant};

use crate::{
    fleet_views::{OpenFleetPage, Rendering},
    query::parameter::{self, is_default},
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    view::{
        View,
        patch::{MIN_BETWEEN, MIN_BETWEEN_ORDERS, PAUSE, Patch},
    },
};

/// Proxies and browsers take a stream for dead after a minute or so of silence.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon a browser comes back after the stream broke.
const RETRY: Duration = Duration::from_secs(1);

/// The query of the live updates of a page with the query `T`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, bound = "T: Default + Serialize + DeserializeOwned")]
pub(crate) struct Live<T> {
    /// The page's.
    #[serde(flatten)]
    pub query: T,
    /// The version that the page shows.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub since: String,
}

/// Renders the view of a live page, again and again; `None` ends the stream.
pub(crate) type Renderer = Box<dyn FnMut() -> BoxFuture<'static, Option<View>> + Send>;

struct Updates<T> {
    render: Renderer,
    changed: watch::Receiver<T>,
    shown: Option<View>,
    known_version: String,
    next_at: Instant,
    reorder_at: Instant,
    order_kept: bool,
    first: bool,
    scoped: ScopedFleet,
}

/// Streams what `render` shows whenever `changed` says so. The page tells in `since`, or after an interruption in the
/// header `Last-Event-ID`, which version it shows; when that is not the present one the first patch is the whole page.
pub(crate) fn stream<T: Send + Sync + 'static>(
    scoped: &ScopedFleet,
    headers: &HeaderMap,
    since: String,
    changed: watch::Receiver<T>,
    render: Renderer,
) -> Result<Response, Refusal> {
    let live = Updates {
        render,
        changed,
        shown: None,
        known_version: known_version(headers, since),
        next_at: Instant::now(),
        reorder_at: Instant::now(),
        order_kept: false,
        first: true,
        scoped: scoped.clone(),
    };
    answer(scoped, stream::unfold(live, next))
}

/// Events as an answer, which ends when its share is withdrawn for a person who has fewer.
///
/// # Errors
/// When there is no place for it among the pages kept up to date.
pub(crate) fn answer(
    scoped: &ScopedFleet,
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Result<Response, Refusal> {
    let place = scoped.live_page()?;
    let events = events.take_until(place.withdrawn()).inspect(move |_| {
        let _held_with_the_stream = &place;
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn known_version(headers: &HeaderMap, since: String) -> String {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    last.map_or(since, str::to_owned)
}

impl<T> Updates<T> {
    /// Rows stay where they are until the time for a new order has come.
    fn keep_order(&mut self, view: &mut View) {
        let now = Instant::now();
        let Some(shown) = &self.shown else { return };
        self.order_kept = false;
        if now >= self.reorder_at {
            self.reorder_at = now + MIN_BETWEEN_ORDERS;
            return;
        }
        self.order_kept = view.keep_order(shown);
    }
}

async fn next<T>(mut live: Updates<T>) -> Option<(Result<Event, Infallible>, Updates<T>)> {
    loop {
        if !live.first {
            tokio::select! {
                () = live.scoped.shutdown().cancelled() => return None,
                changed = live.changed.changed() => changed.ok()?,
                () = tokio::time::sleep_until(live.reorder_at), if live.order_kept => {}
            }
            tokio::time::sleep_until(live.next_at).await;
        }
        let begun = Instant::now();
        live.changed.mark_unchanged();
        let mut view = (live.render)().await?;
        live.next_at = begun + MIN_BETWEEN.max(begun.elapsed() * PAUSE);
        live.keep_order(&mut view);
        let patch = match &live.shown {
            Some(shown) => Patch::between(shown, &view),
            None if live.known_version == view.version => None,
            None => Some(Patch::whole(&view)),
        };
        let version = view.version.clone();
        live.shown = Some(view);
        let event = match patch {
            Some(patch) => event(&serde_json::to_string(&patch).unwrap_or_default(), &version),
            None if live.first => greeting(),
            None => continue,
        };
        live.first = false;
        return Some((Ok(event), live));
    }
}

/// Tells the page at once that it is live.
fn greeting() -> Event {
    Event::default().comment("live").retry(RETRY)
}

fn event(patch: &str, version: &str) -> Event {
    Event::default().id(version).retry(RETRY).data(patch)
}

struct FleetUpdates {
    page: OpenFleetPage,
    changed: watch::Receiver<u64>,
    /// Alerts change while no host reports, too.
    alerts: watch::Receiver<u64>,
    shown: Option<Arc<Rendering>>,
    known_version: String,
    is_first: bool,
    scoped: ScopedFleet,
}

/// The same for a fleet page, which is rendered for everybody who looks at the same.
pub(crate) fn fleet_stream(
    scoped: &ScopedFleet,
    headers: &HeaderMap,
    since: String,
    page: OpenFleetPage,
) -> Result<Response, Refusal> {
    let known_version = known_version(headers, since);
    let live = FleetUpdates {
        changed: page.watch(),
        alerts: scoped.watch_alerts(),
        shown: page.given(&known_version),
        page,
        known_version,
        is_first: true,
        scoped: scoped.clone(),
    };
    answer(scoped, stream::unfold(live, next_of_fleet))
}

async fn next_of_fleet(mut live: FleetUpdates) -> Option<(Result<Event, Infallible>, FleetUpdates)> {
    loop {
        if let Some(shown) = live.shown.as_ref().filter(|_| !live.is_first) {
            let reorders_at = shown.reorders_at();
            tokio::select! {
                () = live.scoped.shutdown().cancelled() => return None,
                changed = live.changed.changed() => changed.ok()?,
                changed = live.alerts.changed() => changed.ok()?,
                () = tokio::time::sleep_until(reorders_at.unwrap_or_else(Instant::now)), if reorders_at.is_some() => {}
            }
        }
        live.changed.mark_unchanged();
        live.alerts.mark_unchanged();
        let rendering = live.page.next(live.shown.as_ref()).await.ok()?;
        let is_first = std::mem::take(&mut live.is_first);
        let is_known = is_first && live.known_version == rendering.view.version;
        let patch = match is_known {
            true => None,
            false => live.page.patch(live.shown.as_ref(), &rendering).await.ok()?,
        };
        let event = match patch {
            Some(patch) => Some(event(&patch, &rendering.view.version)),
            None => is_first.then(greeting),
        };
        live.shown = Some(rendering);
        if let Some(event) = event {
            return Some((Ok(event), live));
        }
    }
}
