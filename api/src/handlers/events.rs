//! What happened, on one host or anywhere: processes that started and exited, hosts that fell silent. Newest first; older
//! ones by `to`.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use fleetps_ingestor::history::{Event, EventKind, Listing, SetAside};
use fleetps_nats::HostName;

use super::{
    host_head::{HostHead, Tab, Visit, visit_span},
    nothing,
    page::{self, Layout},
};
use crate::{
    display,
    live::now_us,
    refusal::Refusal,
    sight::Sight,
    view::{
        View,
        events::{self, KINDS},
        links,
        query::{self, BadParameter},
        span::{RangeLink, SpanQuery},
        system,
        table::Table,
        travel::{Links, When},
    },
};

/// Events on a page or in an answer unless more are asked for: about ten screens.
const USUAL_EVENTS: usize = 200;
/// The most events at once: a host with thousands of processes loses them all in one moment when it is booted.
const MAX_EVENTS: usize = 20_000;
/// Which events.
#[derive(Debug, Clone)]
pub struct EventsQuery {
    /// When.
    pub span: SpanQuery,
    kinds: Vec<EventKind>,
    limit: usize,
}

impl EventsQuery {
    /// Reads it from the part of the URL behind the question mark.
    pub fn parse(text: &str) -> Result<Self, BadParameter> {
        let now_us = now_us();
        let mut parsed = Self {
            span: SpanQuery::parse(text, now_us, now_us, "1d")?,
            kinds: Vec::new(),
            limit: USUAL_EVENTS,
        };
        for (name, value) in form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match name.as_ref() {
                "kind" => {
                    for name in value.split(',') {
                        parsed.kinds.push(kind(name)?);
                    }
                }
                "limit" => parsed.limit = query::number("limit", &value, MAX_EVENTS)?.max(1),
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// What the URL says beside the span.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        if !self.kinds.is_empty() {
            let names: Vec<&str> = self.kinds.iter().copied().map(events::id).collect();
            parameters.push(("kind", names.join(",")));
        }
        if self.limit != USUAL_EVENTS {
            parameters.push(("limit", self.limit.to_string()));
        }
        parameters
    }

    /// All that the URL says.
    fn all_parameters(&self) -> Vec<(&'static str, String)> {
        self.span.behind(self.parameters())
    }

    /// The address of these events.
    pub fn url(&self, path: &str) -> String {
        query::url(path, &self.all_parameters())
    }
}

fn kind(name: &str) -> Result<EventKind, BadParameter> {
    let known = || KINDS.map(events::id).join(", ");
    let found = KINDS.into_iter().find(|kind| events::id(*kind) == name);
    found.ok_or_else(|| {
        BadParameter::new("kind", name, format!("one of {}, or several with commas between", known()))
    })
}

/// The page of all events.
#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    layout: Layout,
    set_aside: Vec<SetAside>,
    list: EventList,
}

/// The page of a host's events.
#[derive(Template)]
#[template(path = "host_events.html")]
struct HostEventsPage {
    layout: Layout,
    head: HostHead,
    view: View,
    list: EventList,
}

/// A list of events with the links around it.
struct EventList {
    path: String,
    query: EventsQuery,
    table: Table,
    total: String,
    older: Option<String>,
}

/// A place in the switch between kinds.
struct KindLink {
    label: &'static str,
    href: String,
    current: bool,
}

impl EventList {
    fn new(
        path: String,
        query: EventsQuery,
        listing: Listing<Event>,
        older: Option<EventsQuery>,
        with_host: bool,
    ) -> Self {
        Self {
            table: events::table(&listing.items, with_host),
            total: display::count(listing.total),
            older: older.map(|older| older.url(&path)),
            path,
            query,
        }
    }

    fn kinds(&self) -> Vec<KindLink> {
        let link = |label, kinds: Vec<EventKind>| {
            let current = kinds == self.query.kinds;
            let query = EventsQuery { kinds, limit: USUAL_EVENTS, ..self.query.clone() };
            KindLink { label, href: query.url(&self.path), current }
        };
        let all = std::iter::once(link("all", Vec::new()));
        all.chain(KINDS.map(|kind| link(events::word(kind), vec![kind]))).collect()
    }

    fn csv(&self) -> String {
        links::csv(&format!("/api/v1{}", self.path), self.query.all_parameters())
    }
}

impl EventsPage {
    fn ranges(&self) -> Vec<RangeLink> {
        self.list.query.span.ranges(&self.list.path, &self.list.query.parameters())
    }
}

/// The events of one host, or of all; and the question for older ones.
///
/// # Errors
/// When the history cannot be read.
pub async fn ask(
    sight: &Sight,
    host: Option<HostName>,
    query: &EventsQuery,
) -> Result<(Listing<Event>, Option<EventsQuery>), Refusal> {
    let asked = query.clone();
    let mut listing = sight
        .ask(move |history| history.events(host.as_ref(), asked.span.span, &asked.kinds, asked.limit))
        .await?;
    let older = older(&mut listing, query);
    Ok((listing, older))
}

/// The question for the events before these, when there are more. What happened at one moment is never torn apart: the last
/// moment is left to the next question, or when there is no other, more are asked for.
fn older(listing: &mut Listing<Event>, query: &EventsQuery) -> Option<EventsQuery> {
    let last_us = listing.items.last().map(|event| event.at_us)?;
    if listing.total <= listing.items.len() as u64 {
        return None;
    }
    let before_last = listing.items.iter().filter(|event| event.at_us > last_us).count();
    if before_last == 0 {
        return (query.limit < MAX_EVENTS)
            .then(|| EventsQuery { limit: (query.limit * 10).min(MAX_EVENTS), ..query.clone() });
    }
    listing.items.truncate(before_last);
    Some(EventsQuery { span: query.span.until(last_us.saturating_add(1)), ..query.clone() })
}

/// What happened anywhere, as a page.
pub async fn fleet_page(layout: Layout, sight: Sight, RawQuery(text): RawQuery) -> Result<Response, Refusal> {
    let query = EventsQuery::parse(&text.unwrap_or_default())?;
    let (listing, older) = ask(&sight, None, &query).await?;
    page::render(&EventsPage {
        layout,
        set_aside: sight.set_aside(),
        list: EventList::new("/events".to_owned(), query, listing, older, true),
    })
}

/// What happened on a host in the time of its timeline, as a page.
pub async fn host_page(
    layout: Layout,
    sight: Sight,
    Path(host): Path<String>,
    RawQuery(text): RawQuery,
) -> Result<Response, Refusal> {
    let text = text.unwrap_or_default();
    let (when, mut query) = (When::parse(&text, now_us())?, EventsQuery::parse(&text)?);
    query.span.span = when.span(now_us());
    let links = Links { parameters: query.parameters(), ..Tab::Events.links(&host, when) };
    let path = links.path.clone();
    let (head, moment) = match visit_span(&sight, &host, Tab::Events, links).await? {
        Visit::Moment(head, moment) => (head, moment),
        Visit::Nothing(head, why) => return nothing::page(layout, head, &why),
        Visit::Elsewhere(response) => return Ok(response),
    };
    let (listing, older) = ask(&sight, Some(moment.summary.host.clone()), &query).await?;
    page::render(&HostEventsPage {
        layout,
        head,
        view: View { fields: system::head_fields(&moment, now_us()), ..View::default() },
        list: EventList::new(path, query, listing, older, false),
    })
}
