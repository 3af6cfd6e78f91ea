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
    page::{self, Layout},
};
use crate::{
    display,
    extract::Form,
    notify::{Day, Route, Severity},
    refusal::Refusal,
    scoped_fleet::{Routes, ScopedFleet},
    url::Url,
    view::silences::{matcher_words, read_route, schedule_words, severity_word},
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
pub async fn page(layout: Layout, scoped: ScopedFleet) -> Result<Response, Refusal> {
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
    choices: Vec<Choice>,
    problem: Option<Refusal>,
}

impl RoutePage {
    fn of(layout: Layout, routes: &Routes, ids: &[String], place: usize, route: Route) -> Self {
        let escalated = route.escalate.as_ref().map(|escalation| escalation.channels.as_slice());
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

    fn after(&self) -> String {
        let escalation = self.route.escalate.as_ref();
        escalation.map(|escalation| units::format_duration(escalation.after)).unwrap_or_default()
    }

    /// Zone, beginning and end of its quiet hours.
    fn hours(&self) -> [&str; 3] {
        self.route
            .quiet
            .as_ref()
            .map_or(["UTC", "", ""], |quiet| [&quiet.hours.zone, &quiet.hours.from, &quiet.hours.until])
    }

    fn has_day(&self, day: Day) -> bool {
        self.route.quiet.as_ref().is_some_and(|quiet| quiet.hours.days.contains(&day))
    }

    fn unless(&self) -> Severity {
        self.route.quiet.as_ref().map_or(Severity::Critical, |quiet| quiet.unless)
    }
}

async fn ids(scoped: &ScopedFleet) -> Result<Vec<String>, Refusal> {
    Ok(scoped.channels().await?.into_iter().map(|channel| channel.id).collect())
}

/// The form for a new route.
pub async fn new_route(layout: Layout, scoped: ScopedFleet) -> Result<Response, Refusal> {
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
pub async fn route(
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
pub async fn change(layout: Layout, scoped: ScopedFleet, form: Form) -> Result<Response, Refusal> {
    let (routes, ids) = (scoped.routes().await?, ids(&scoped).await?);
    let place: usize = form.field("place").parse().unwrap_or_default();
    let revision: u64 = form.field("revision").parse().unwrap_or_default();
    let read = read_route(&|name: &str| form.field(name), &ids);
    let (typed, changed) = match read {
        Ok(route) => (route.clone(), changed(&routes.routes, place, route, &form.field("do"))),
        Err(problem) => (empty(), Err(problem)),
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
            let (status, page) = (problem.status, RoutePage::of(layout, &routes, &ids, place, typed));
            let page = RoutePage { problem: Some(problem), revision, ..page };
            Ok((status, page::render(&page)?).into_response())
        }
        Err(problem) => Err(problem),
    }
}

/// The routes after a change: of the one at `place`, counted from 1, or of a new one at the end.
fn changed(routes: &[Route], place: usize, route: Route, what: &str) -> Result<Vec<Route>, String> {
    let mut routes = routes.to_vec();
    let Some(at) = place.checked_sub(1) else {
        routes.push(route);
        return Ok(routes);
    };
    if at >= routes.len() {
        return Err(format!("there is no route {place} any longer"));
    }
    match what {
        "remove" => drop(routes.remove(at)),
        "up" => routes.swap(at, at.saturating_sub(1)),
        "down" => {
            let last = routes.len() - 1;
            routes.swap(at, last.min(at + 1));
        }
        _ => routes[at] = route,
    }
    Ok(routes)
}
