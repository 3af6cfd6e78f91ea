//! Every process on every host that a filter lets through, now or then.

use askama::Template;
use axum::{http::StatusCode, response::Response};
use fleetps_ingestor::{
    filter::{Filter, FilterError},
    history::{Found, Listing, MissingSegment, Omitted, Resolution, Searched},
};

use super::{
    alert_link,
    page::{self, Layout},
};
use crate::{
    broker::AwaySince,
    csv, display,
    extract::Query,
    history_service::AskedFor,
    live::now_us,
    query::parameter::Count,
    refusal::Refusal,
    scoped_fleet::ScopedFleet,
    url::Url,
    view::{
        alert_on, omitted,
        search::{self, SearchQuery},
        span::Stamp,
        table::Table,
        when::{self, TimeParam},
    },
};

/// By then everything is in the history: four times the interval at which it is sealed.
const SEALED_AFTER_US: i64 = 120_000_000;

/// The matches, and how complete they are.
#[derive(Debug)]
pub struct Answer {
    /// The processes, by host and pid.
    pub listing: Listing<Found>,
    /// Hosts that were not searched, because it took too long.
    pub hosts_left: usize,
    /// What the searched hosts left out of their snapshots or shortened in them.
    pub omitted: Omitted,
    /// The moment that was searched; absent for the present.
    pub at_us: Option<i64>,
    /// Since when the broker is away, where an earlier moment than was asked for was searched for that.
    pub away: Option<AwaySince>,
}

/// Searches the past at `at_us`, else the present, for at most `limit` processes.
///
/// # Errors
/// When too many search, or the history cannot be read or does not reach that far yet.
pub async fn ask(
    scoped: &ScopedFleet,
    filter: Filter,
    at_us: Option<i64>,
    limit: usize,
    asked_for: AskedFor,
) -> Result<Answer, Refusal> {
    let Some(at_us) = at_us else { return search_live(scoped, filter, limit).await };
    let (at_us, away) = sealed_moment(scoped, at_us)?;
    let Searched { listing, omitted } =
        scoped.ask_for(asked_for, move |history| history.search(&filter, at_us, limit)).await?;
    Ok(Answer { listing, hosts_left: 0, omitted, at_us: Some(at_us), away })
}

/// The moment that is searched; absent for the present.
pub fn moment(query: &SearchQuery) -> Option<i64> {
    query.at.filter(|at| *at != TimeParam::Now).map(|at| at.resolve(now_us()))
}

/// The moment to search: the newest snapshots of all hosts are not in the history yet, and the page must not say that nothing
/// ran then. While the broker is away they do not come, so the last moment that is stored is searched instead.
fn sealed_moment(scoped: &ScopedFleet, at_us: i64) -> Result<(i64, Option<AwaySince>), Refusal> {
    let Some(last_us) = scoped.history().and_then(|history| history.kept().last_us) else {
        return Ok((at_us, None));
    };
    if at_us <= last_us {
        return Ok((at_us, None));
    }
    if let Some(away) = scoped.broker_away() {
        return Ok((last_us, Some(away)));
    }
    if now_us().saturating_sub(at_us) > SEALED_AFTER_US {
        return Ok((at_us, None));
    }
    Err(Refusal::new(
        StatusCode::NOT_FOUND,
        format!("the history of the fleet reaches until {} only", when::written(last_us)),
        "what is newer is in there within a minute; without `at` the present is searched",
    ))
}

async fn search_live(scoped: &ScopedFleet, filter: Filter, limit: usize) -> Result<Answer, Refusal> {
    let search = scoped.search(filter, limit).await?;
    let listing = Listing { items: search.found, total: search.total, resolution: Resolution::Samples };
    let (hosts_left, omitted) = (search.hosts_left, search.omitted);
    Ok(Answer { listing, hosts_left, omitted, at_us: None, away: None })
}

/// The page of a search.
#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    layout: Layout,
    set_aside: Vec<MissingSegment>,
    query: SearchQuery,
    at_us: Option<i64>,
    error: Option<FilterError>,
    table: Table,
    total: String,
    is_cut: bool,
    hosts_left: usize,
    /// What could not be searched, in words; empty where that is nothing.
    omitted: String,
    /// Since when the broker is away, where an earlier moment than was asked for was searched for that.
    away: Option<Stamp>,
    alert: Option<Url>,
}

impl SearchPage {
    /// The same with the matches.
    fn with(self, answer: Option<Answer>) -> Self {
        let Some(Answer { listing, hosts_left, omitted, at_us, away }) = answer else { return self };
        Self {
            table: search::table(&listing.items, at_us.is_some()),
            total: display::count(listing.total),
            is_cut: listing.total > listing.items.len() as u64,
            hosts_left,
            omitted: omitted::of_search(&omitted),
            away: away.map(|since| Stamp::of(since.0)),
            at_us,
            ..self
        }
    }

    /// The same search, for links: at the same moment, whenever they are followed.
    fn fixed(&self) -> SearchQuery {
        SearchQuery { at: self.at_us.map(TimeParam::at), ..self.query.clone() }
    }

    fn csv(&self) -> Url {
        csv::url(Url::search().api(), self.fixed())
    }

    /// The link to more, when not all are shown.
    fn more(&self) -> Option<Url> {
        let more = SearchQuery { limit: Count::MOST, ..self.fixed() };
        (self.is_cut && self.query.limit != more.limit).then(|| Url::search().with(&more))
    }

    /// The same search now.
    fn now(&self) -> Url {
        Url::search().with(&SearchQuery { at: None, ..self.query.clone() })
    }

    /// When, as the URL has it.
    fn at(&self) -> Option<String> {
        self.at_us.map(when::written)
    }
}

/// The page.
pub async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<SearchQuery>,
) -> Result<Response, Refusal> {
    let filter = query.q.filter.clone();
    let at_us = moment(&query);
    let mut page = SearchPage {
        layout,
        set_aside: Vec::new(),
        error: None,
        table: Table::default(),
        total: String::new(),
        is_cut: false,
        hosts_left: 0,
        omitted: String::new(),
        away: None,
        at_us,
        alert: alert_link::link(&scoped, alert_on::search(&query.q), None),
        query,
    };
    let answer = match filter {
        Err(error) => {
            page.error = Some(error);
            None
        }
        // Every process of every host is no search, but a way to see what can be asked.
        Ok(filter) if filter.is_empty() => None,
        Ok(filter) => Some(ask(&scoped, filter, at_us, page.query.limit.get(), AskedFor::Page).await?),
    };
    page.set_aside = if at_us.is_some() { scoped.set_aside() } else { Vec::new() };
    // Ten thousand rows may be asked for.
    page::render_aside(move || page.with(answer)).await
}
