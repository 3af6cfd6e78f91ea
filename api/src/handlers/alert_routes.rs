//! The routes by which notifications go to channels: for administrators of every host.

use askama::Template;
use axum::{
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use fleetps_nats::units;

use super::{
    alert_tabs::Tabs,
    labelled::{Label, MATCHER, label_in, labelled},
    page::{self, Layout},
};
use crate::{
    display,
    extract::Form,
    notify::{Day, Route, Severity},
    refusal::Refusal,
    scoped_fleet::{Routes, ScopedFleet},
    url::Url,
    view::silences::{matcher_words, read_route, read_severity, schedule_words, severity_word},
};

/// A route as the list has it.
struct RouteLine {
    place: usize,
    name: String,
    about: String,
    channels: String,
    quiet: String,
    escalation: String,
    is_last: bool,
}

impl RouteLine {
    fn of((number, route): (usize, &Route)) -> Self {
        let quiet = route
            .quiet
            .as_ref()
            .map(|quiet| format!("{}, unless {}", schedule_words(&quiet.hours), severity_word(quiet.unless)));
        let escalation = route.escalate.as_ref().map(|escalation| {
            format!("{} after {}", escalation.channels.join(", "), units::format_duration(escalation.after))
        });
        let name = if route.name.is_empty() { "route" } else { &route.name };
        Self {
            place: number + 1,
            name: display::visible(name).into_owned(),
            about: matcher_words(&route.matcher),
            channels: route.channels.join(", "),
            quiet: quiet.unwrap_or_default(),
            escalation: escalation.unwrap_or_default(),
            is_last: route.is_last,
        }
    }
}

/// The page of all routes.
#[derive(Template)]
#[template(path = "alert_routes.html")]
struct RoutesPage {
    layout: Layout,
    tabs: Tabs,
    lines: Vec<RouteLine>,
    changed: Option<(String, i64)>,
}

/// The page of all routes.
pub(crate) async fn page(layout: Layout, scoped: ScopedFleet) -> Result<Response, Refusal> {
    let Routes { routes, changed, .. } = scoped.routes().await?;
    let lines = routes.iter().enumerate().map(RouteLine::of).collect();
    page::render(&RoutesPage { layout, tabs: Tabs { current: "Routes" }, lines, changed })
}

/// A channel in the form of a route.
struct Choice {
    id: String,
    is_told: bool,
    is_escalated: bool,
}

/// What the page calls further fields of a route.
const LABELS: [Label; 4] =
    [("name", "Name"), ("channels", "Channels"), ("escalate", "Escalation"), ("routes", "Routes")];

/// The page of one route, or of a new one.
#[derive(Template)]
#[template(path = "alert_route.html")]
struct RoutePage {
    layout: Layout,
    tabs: Tabs,
    /// Its place, counted from 1; 0 for a new one.
    place: usize,
    /// How many there are.
    count: usize,
    revision: u64,
    route: Route,
    /// After which time others are told, as it was typed.
    after: String,
    choices: Vec<Choice>,
    problem: Option<Refusal>,
}

impl RoutePage {
    fn of(layout: Layout, routes: &Routes, ids: &[String], place: usize, route: Route) -> Self {
        let escalated = route.escalate.as_ref().map(|escalation| escalation.channels.as_slice());
        let after = route.escalate.as_ref().map(|escalation| units::format_duration(escalation.after));
        let choice = |id: &String| Choice {
            id: id.clone(),
            is_told: route.channels.contains(id),
            is_escalated: escalated.is_some_and(|escalated| escalated.contains(id)),
        };
        Self {
            layout,
            tabs: Tabs { current: "Routes" },
            place,
            count: routes.routes.len(),
            revision: routes.revision,
            choices: ids.iter().map(choice).collect(),
            after: after.unwrap_or_default(),
            route,
            problem: None,
        }
    }

    fn title(&self) -> String {
        match (self.place, self.route.name.as_str()) {
            (0, _) => "New route".to_owned(),
            (place, "") => format!("Route {place}"),
            (_, name) => display::visible(name).into_owned(),
        }
    }

    fn names(&self, names: &[String]) -> String {
        names.join(" ")
    }

    /// Zone, beginning and end of its quiet hours.
    fn hours(&self) -> [&str; 3] {
        self.route.quiet.as_ref().map_or([self.layout.times.zone.name.as_str(), "", ""], |quiet| {
            [&quiet.hours.zone, &quiet.hours.from, &quiet.hours.until]
        })
    }

    fn has_day(&self, day: Day) -> bool {
        self.route.quiet.as_ref().is_some_and(|quiet| quiet.hours.days.contains(&day))
    }

    fn unless(&self) -> Severity {
        self.route.quiet.as_ref().map_or(Severity::Critical, |quiet| quiet.unless)
    }
}

/// The channels that a route may lead to.
async fn ids(scoped: &ScopedFleet) -> Result<Vec<String>, Refusal> {
    let channels = scoped.channels().await?.into_iter();
    Ok(channels.filter(|entry| entry.channel.hears_of_alerts()).map(|entry| entry.id).collect())
}

/// The form for a new route.
pub(crate) async fn new_route(layout: Layout, scoped: ScopedFleet) -> Result<Response, Refusal> {
    let (routes, ids) = (scoped.routes().await?, ids(&scoped).await?);
    page::render(&RoutePage::of(layout, &routes, &ids, 0, empty()))
}

/// A route that leads nowhere.
fn empty() -> Route {
    read_route(&|_: &str| String::new(), &[]).unwrap_or_else(|_| Route {
        name: String::new(),
        matcher: crate::notify::Matcher::default(),
        channels: Vec::new(),
        quiet: None,
        is_last: false,
        escalate: None,
    })
}

/// The page of one route.
pub(crate) async fn route(
    layout: Layout,
    scoped: ScopedFleet,
    Path(place): Path<String>,
) -> Result<Response, Refusal> {
    let (routes, ids) = (scoped.routes().await?, ids(&scoped).await?);
    let found = place.parse().ok().and_then(|place: usize| {
        let route = routes.routes.get(place.checked_sub(1)?)?;
        Some((place, route.clone()))
    });
    let Some((place, route)) = found else {
        let error = format!("there is no route {:?}", display::cut(&place, 20));
        return Err(Refusal::new(StatusCode::NOT_FOUND, error, "the routes are listed at /alerts/routes"));
    };
    page::render(&RoutePage::of(layout, &routes, &ids, place, route))
}

/// Saves the route of the form, removes or moves it, as the button says; one that is none stays in the form.
pub(crate) async fn change(layout: Layout, scoped: ScopedFleet, form: Form) -> Result<Response, Refusal> {
    let (routes, ids) = (scoped.routes().await?, ids(&scoped).await?);
    let place: usize = form.field("place").parse().unwrap_or_default();
    let revision: u64 = form.field("revision").parse().unwrap_or_default();
    let changed = match form.field("do").as_str() {
        // What is in the form does not matter.
        what @ ("remove" | "up" | "down") => moved(&routes.routes, place, what),
        _ => read_route(&|name: &str| form.field(name), &ids)
            .and_then(|route| replaced(&routes.routes, place, route)),
    };
    let saved = match changed {
        Ok(list) => scoped.save_routes(list, Some(revision)).await,
        Err(problem) => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, problem, "docs/notifications.md has every field"))
        }
    };
    match saved {
        Ok(_) => Ok(Redirect::to(&Url::alert_routes().to_string()).into_response()),
        Err(problem) if matches!(problem.status, StatusCode::BAD_REQUEST | StatusCode::CONFLICT) => {
            let problem = labelled(problem, |field| label_in(&[&LABELS, &MATCHER], field));
            let page = RoutePage::of(layout, &routes, &ids, place, as_typed(&form, &ids));
            let (status, after) = (problem.status, form.field("after"));
            let page = RoutePage { problem: Some(problem), revision, after, ..page };
            Ok((status, page::render(&page)?).into_response())
        }
        Err(problem) => Err(problem),
    }
}

/// The route of a form, to show that again: without what cannot be read.
fn as_typed(form: &Form, ids: &[String]) -> Route {
    let readable = |name: &str| match (name, form.field(name)) {
        ("severity" | "unless", text) if read_severity(&text).is_err() => String::new(),
        // Any time, so that the channels of the escalation stay ticked; the page shows what was typed.
        ("after", _) => "15m".to_owned(),
        (_, text) => text,
    };
    read_route(&readable, ids).unwrap_or_else(|_| empty())
}

/// The routes with another one at `place`, counted from 1, or with a new one at the end, where that is 0.
fn replaced(routes: &[Route], place: usize, route: Route) -> Result<Vec<Route>, String> {
    let mut routes = routes.to_vec();
    match place.checked_sub(1) {
        None => routes.push(route),
        Some(at) => *routes.get_mut(at).ok_or_else(|| no_such_place(place))? = route,
    }
    Ok(routes)
}

/// The routes without the one at `place`, counted from 1, or with it a place further up or down.
fn moved(routes: &[Route], place: usize, what: &str) -> Result<Vec<Route>, String> {
    let mut routes = routes.to_vec();
    let at = place.checked_sub(1).filter(|at| *at < routes.len()).ok_or_else(|| no_such_place(place))?;
    match what {
        "up" => routes.swap(at, at.saturating_sub(1)),
        "down" => {
            let last = routes.len() - 1;
            routes.swap(at, last.min(at + 1));
        }
        _ => drop(routes.remove(at)),
    }
    Ok(routes)
}

fn no_such_place(place: usize) -> String {
    format!("there is no route {place} any longer")
}
