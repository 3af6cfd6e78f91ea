//! Events, on one host or all: processes that started and exited, hosts that fell silent. Newest first; older ones by
//! `to`.

use std::{collections::HashMap, time::Duration};

use askama::Template;
use axum::response::{self, Response};
use fleetps_ingestor::history::{Event, EventKind, EventList, EventQuery, MissingSegment, Span};
use fleetps_nats::HostName;
use serde::{Deserialize, Serialize};

use super::{
    alert_link,
    alerts::AlertsQuery,
    host_head::HostHead,
    page::{self, Layout},
    top::NARROW,
    unanswered::Unanswered,
    visit::visit_span,
};
use crate::{
    csv, display,
    extract::{Host, Query},
    history_service::AskedFor,
    live::now_us,
    query::{
        parameter::{self, BadParameter, Count, is_default},
        parameters,
    },
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::{HostTab, Url},
    view::{
        View, alert_on, commands, events,
        restart_loops::{self, LoopName, UntilNow},
        span::{PageSpan, RangeLink},
        system,
        table::Table,
        time_field::SpanForm,
        travel::{Links, TimeQuery},
        when::{SpanQuery, TimeParam},
    },
};

/// Events on a page or in an answer by default: about ten screens.
const DEFAULT_EVENTS: usize = 200;
/// The most events at once: a host with thousands of processes loses them all in one moment when it is booted.
const MAX_EVENTS: usize = 20_000;
/// Loops that go on of which the page says what they did until now: each takes a question about its host.
const LOOPS_LOOKED_AT: usize = 12;
/// The starts and exits of one of them that are looked at: a day of a loop of half a minute.
const STARTS_LOOKED_AT: usize = 5_000;
/// Commands on a host's page: the latest; all have a page of their own.
const SHOWN_COMMANDS: usize = 10;
/// The span of events anywhere unless one is given.
const DEFAULT_SPAN: Duration = Duration::from_secs(86_400);

/// The query of events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EventsQuery {
    /// The kinds; all where none is named.
    #[serde(rename = "kind", with = "parameter::list", skip_serializing_if = "is_default")]
    pub kinds: Vec<EventKind>,
    /// Only of this host.
    #[serde(with = "parameter::optional", skip_serializing_if = "is_default")]
    pub host: Option<HostName>,
    /// Only of the program of this name.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub program: String,
    /// Only with this text.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub text: String,
    /// The most events.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub limit: Count<DEFAULT_EVENTS, MAX_EVENTS, 1>,
    /// The span.
    #[serde(flatten)]
    pub span: SpanQuery,
}

parameters! {
    EventsQuery {
        kinds as "kind": "The kinds, with commas between; all without it.",
        host: "Only this host.",
        program: "Only the program of this name.",
        text: "Only with this text in the name, command line, unit, parent's name or change.",
        limit: "The most events.",
        ..span,
    }
}

/// The query of a host's page of events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HostEventsQuery {
    #[serde(rename = "kind", with = "parameter::list", skip_serializing_if = "is_default")]
    kinds: Vec<EventKind>,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    program: String,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    text: String,
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    limit: Count<DEFAULT_EVENTS, MAX_EVENTS, 1>,
    #[serde(flatten)]
    when: TimeQuery,
}

/// The requested events.
#[derive(Debug, Clone)]
pub(crate) struct EventsRequest {
    /// The query.
    pub query: EventsQuery,
    /// The span.
    pub span: PageSpan,
}

impl EventsRequest {
    /// The request that `query` means now.
    ///
    /// # Errors
    /// When its span ends before it begins.
    pub(crate) fn of(query: EventsQuery) -> Result<Self, BadParameter> {
        let now_us = now_us();
        let span = PageSpan::of(query.span.clone(), now_us, now_us, DEFAULT_SPAN)?;
        Ok(Self { query, span })
    }
}

/// The page of all events.
#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    layout: Layout,
    set_aside: Vec<MissingSegment>,
    span: PageSpan,
    list: ListedEvents,
}

/// The page of a host's events.
#[derive(Template)]
#[template(path = "host_events.html")]
struct HostEventsPage {
    layout: Layout,
    head: HostHead,
    view: View,
    list: ListedEvents,
    /// The latest commands to the host; without rows where there are none.
    commands: Table,
}

impl HostEventsPage {
    fn commands_url(&self) -> Url {
        Url::commands_of(self.head.host.as_str())
    }
}

/// Events, and the question for older ones.
type Listed = (EventList, Option<EventsQuery>);

/// A list of events with the links around it.
struct ListedEvents {
    /// The page without parameters, and its JSON.
    page: Url,
    json: Url,
    query: EventsQuery,
    table: Table,
    total: String,
    older: Option<Url>,
    alert: Option<Url>,
    /// The host that the page is about.
    about: Option<HostName>,
    /// Why there is no list.
    unanswered: Option<Unanswered>,
}

/// A place in the switch between kinds.
struct KindLink {
    label: &'static str,
    href: Url,
    current: bool,
}

impl ListedEvents {
    fn new(
        page: Url,
        query: EventsQuery,
        listed: Result<Listed, Unanswered>,
        about: Option<HostName>,
        alert: Option<Url>,
        (until_now, ends_now): (&LoopsUntilNow, bool),
    ) -> Self {
        let with_host = about.is_none();
        let ((listing, older), unanswered) = match listed {
            Ok(listed) => (listed, None),
            Err(why) => (Listed::default(), Some(why)),
        };
        let (table, total) = match query.kinds.as_slice() {
            // What was counted are loops and their ends, which are one row.
            [EventKind::RestartLoop] => {
                (restart_loops::table(&listing.items, until_now, with_host, ends_now), None)
            }
            _ => (events::table(&listing.items, with_host), listing.total),
        };
        Self {
            alert,
            unanswered,
            table,
            about,
            total: total.map(display::count).unwrap_or_default(),
            older: older.map(|older| page.clone().with(&older)),
            json: page.clone().api(),
            page,
            query,
        }
    }

    fn kinds(&self) -> Vec<KindLink> {
        let link = |label, kinds: Vec<EventKind>| {
            let current = kinds == self.query.kinds;
            let query = EventsQuery { kinds, limit: Count::default(), ..self.query.clone() };
            KindLink { label, href: self.page.clone().with(&query), current }
        };
        let all = std::iter::once(link("all", Vec::new()));
        all.chain(EventKind::ALL.map(|kind| link(events::word(kind), vec![kind]))).collect()
    }

    /// What became of alerts, of the same host.
    fn alerts(&self) -> Url {
        let host = self.about.clone().or(self.query.host.clone());
        Url::alert_history().with(&AlertsQuery { host, ..AlertsQuery::default() })
    }

    /// The rest of the query, for the form that asks for a text.
    fn carried(&self) -> Vec<(String, String)> {
        let query = EventsQuery { text: String::new(), limit: Count::default(), ..self.query.clone() };
        self.page.clone().with(&query).parameters()
    }

    fn as_json(&self) -> Url {
        self.json.clone().with(&self.query)
    }

    fn csv(&self) -> Url {
        csv::url(self.json.clone(), self.query.clone())
    }
}

impl EventsPage {
    fn timeless(&self) -> Url {
        timeless(&self.list.query)
    }

    fn ranges(&self) -> Vec<RangeLink> {
        self.span.ranges(&self.timeless())
    }

    fn span_form(&self) -> SpanForm {
        SpanForm::of(&self.layout.times, &self.timeless(), self.span.span)
    }
}

/// The page without its span.
fn timeless(query: &EventsQuery) -> Url {
    Url::events().with(&EventsQuery { span: SpanQuery::default(), ..query.clone() })
}

/// The events of one host, or of all; and the question for older ones.
///
/// # Errors
/// When the history cannot be read.
pub(crate) async fn ask(
    scoped: &ScopedFleet,
    host: Option<HostName>,
    request: &EventsRequest,
    asked_for: AskedFor,
) -> Result<Listed, Refusal> {
    let EventsRequest { query, span } = request.clone();
    let given = |text: String| (!text.is_empty()).then_some(text);
    let query = EventQuery {
        host: host.or(query.host),
        span: span.span,
        kinds: query.kinds,
        program: given(query.program),
        text: given(query.text),
        limit: query.limit.get(),
    };
    scoped.expect_known(query.host.as_ref())?;
    let mut listing = scoped.events(query, asked_for).await?;
    let older = older(&mut listing, request);
    Ok((listing, older))
}

/// The request for the events before these, when there are more. Events of one moment are never split: the last moment
/// is left to the next request, or, when there is no other moment, more events are requested.
fn older(listing: &mut EventList, request: &EventsRequest) -> Option<EventsQuery> {
    let query = request.query.clone();
    let last_us = listing.items.last().map(|event| event.at_us)?;
    let shown = listing.items.len();
    if shown < query.limit.get() || listing.total.is_some_and(|total| total <= shown as u64) {
        return None;
    }
    let before_last = listing.items.iter().filter(|event| event.at_us > last_us).count();
    if before_last == 0 {
        let limit = Count::near(query.limit.get() * 10);
        return (query.limit != limit).then_some(EventsQuery { limit, ..query });
    }
    listing.items.truncate(before_last);
    Some(EventsQuery { span: request.span.until(last_us.saturating_add(1)), ..query })
}

/// The same for a page: restart loops come with their ends, so that it can say which go on.
///
/// # Errors
/// When the history cannot be read.
async fn ask_for_page(
    scoped: &ScopedFleet,
    host: Option<HostName>,
    request: &EventsRequest,
) -> Result<Listed, Refusal> {
    let mut asked = request.clone();
    if asked.query.kinds == [EventKind::RestartLoop] {
        asked.query.kinds.push(EventKind::RestartLoopEnded);
    }
    let (listed, older) = ask(scoped, host, &asked, AskedFor::Page).await?;
    let kinds = request.query.kinds.clone();
    Ok((listed, older.map(|older| EventsQuery { kinds, ..older })))
}

/// What loops did until now, by their names.
type LoopsUntilNow = HashMap<LoopName, UntilNow>;

/// What the first loops in the list that go on did until now; of others, and where the history cannot tell, the page says how they
/// began.
async fn loops_until_now(
    scoped: &ScopedFleet,
    query: &EventsQuery,
    listed: &Result<Listed, Unanswered>,
    ends_now: bool,
) -> LoopsUntilNow {
    let mut found = LoopsUntilNow::new();
    let Ok((listed, _)) = listed else { return found };
    if !ends_now || query.kinds != [EventKind::RestartLoop] {
        return found;
    }
    for event in restart_loops::going_on(&listed.items).into_iter().take(LOOPS_LOOKED_AT) {
        let Some(program) = event.name() else { continue };
        let span = Span { from_us: event.since_us.unwrap_or(event.at_us), to_us: now_us() };
        let meanwhile = EventQuery {
            host: Some(event.host.clone()),
            kinds: vec![EventKind::Started, EventKind::Exited],
            program: Some(program.to_owned()),
            ..EventQuery::of(span, STARTS_LOOKED_AT)
        };
        let Ok(meanwhile) = scoped.events(meanwhile, AskedFor::Page).await else { continue };
        let is_whole = meanwhile.items.len() < STARTS_LOOKED_AT;
        found.insert(restart_loops::name_of(event), UntilNow::of(event, &meanwhile.items, is_whole));
    }
    found
}

/// Says of the loops among `listed` that go on how often they were started until now: their events only say how they began.
pub(super) async fn note_lives_until_now(
    scoped: &ScopedFleet,
    host: Option<HostName>,
    request: &EventsRequest,
    listed: &mut EventList,
) {
    let is_loop = |event: &Event| event.kind == EventKind::RestartLoop;
    if !ends_now(&request.query.span, None) || !listed.items.iter().any(is_loop) {
        return;
    }
    let query = EventsQuery { kinds: vec![EventKind::RestartLoop], ..request.query.clone() };
    let loops = EventsRequest { query, span: request.span.clone() };
    let Ok(known) = ask_for_page(scoped, host, &loops).await else { return };
    let known = Ok(known);
    let until_now = loops_until_now(scoped, &loops.query, &known, true).await;
    let Ok((known, _)) = &known else { return };
    let going_on = restart_loops::going_on(&known.items);
    for event in listed.items.iter_mut().filter(|event| is_loop(event)) {
        let goes_on = going_on.iter().any(|other| other.at_us == event.at_us && other.host == event.host);
        if let Some(found) = until_now.get(&restart_loops::name_of(event)).filter(|_| goes_on) {
            event.lives = Some(found.starts());
        }
    }
}

/// Whether events within `span` go on until now, on a page of the moment `at_us`. Of older ones nobody knows what came later.
fn ends_now(span: &SpanQuery, at_us: Option<i64>) -> bool {
    span.to.map_or(at_us.is_none(), |to| to == TimeParam::Now)
}

/// Where a rule about such events is made.
fn alert(scoped: &ScopedFleet, query: &EventsQuery, host: Option<&HostName>) -> Option<Url> {
    alert_link::link(scoped, alert_on::events(&query.kinds, &query.program, host), host)
}

/// The events on all hosts, as a page.
pub(crate) async fn fleet_page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Refusal> {
    let request = EventsRequest::of(query)?;
    let listed = ask_for_page(&scoped, None, &request).await;
    let listed = Unanswered::or(listed, NARROW, || request.span.shorter(&timeless(&request.query)))?;
    let why = listed.as_ref().err().cloned();
    let alert = alert(&scoped, &request.query, request.query.host.as_ref());
    let ends_now = ends_now(&request.query.span, None);
    let until_now = loops_until_now(&scoped, &request.query, &listed, ends_now).await;
    let response = page::render(&EventsPage {
        layout,
        set_aside: scoped.set_aside(),
        span: request.span,
        list: ListedEvents::new(Url::events(), request.query, listed, None, alert, (&until_now, ends_now)),
    })?;
    Ok(Unanswered::dress(why.as_ref(), response))
}

/// The events on a host in the time of its timeline, as a page.
pub(crate) async fn host_page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(HostEventsQuery { kinds, program, text, limit, when }): Query<HostEventsQuery>,
    Host(host): Host,
) -> response::Result<Response> {
    let query = EventsQuery { kinds, host: None, program, text, limit, span: when.span.clone() };
    let when = when.resolve(now_us())?;
    let ends_now = ends_now(&query.span, when.at_us);
    let span = PageSpan::fixed(when.span(now_us()), query.span.clone());
    let page = Url::host(host.as_str(), HostTab::Events);
    let others = EventsQuery { span: SpanQuery::default(), ..query.clone() };
    let links = Links { page: page.clone().with(&others), when };
    let shorter = links.shorter(now_us());
    let visited = visit_span(&scoped, &host, HostTab::Events, links).await?;
    let (head, moment) = visited.moment(&layout)?;
    let request = EventsRequest { query, span };
    let (commands, _) = scoped.commands(Some(&host), SHOWN_COMMANDS);
    let alert = alert(&scoped, &request.query, Some(&host));
    let about = host.clone();
    let listed = ask_for_page(&scoped, Some(host), &request).await;
    let listed = Unanswered::or(listed, "choose a shorter range", || shorter)?;
    let why = listed.as_ref().err().cloned();
    let until_now = loops_until_now(&scoped, &request.query, &listed, ends_now).await;
    let page = HostEventsPage {
        layout,
        head,
        view: View { fields: system::head_fields(&moment, now_us()), ..View::default() },
        list: ListedEvents::new(page, request.query, listed, Some(about), alert, (&until_now, ends_now)),
        commands: commands::table(&commands, false),
    };
    Ok(Unanswered::dress(why.as_ref(), page::render(&page)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_until_now_say_what_goes_on() {
        for (query, at_us, expected) in [
            ("", None, true),
            ("range=3h", None, true),
            ("from=-2h", None, true),
            ("from=-2h&to=now", Some(1), true),
            ("", Some(1), false),
            ("from=-2h&to=-1h", None, false),
            ("to=2025-11-21T08:00:00Z", None, false),
        ] {
            assert_eq!(ends_now(&crate::query::read(query).unwrap(), at_us), expected, "{query} {at_us:?}");
        }
    }
}
