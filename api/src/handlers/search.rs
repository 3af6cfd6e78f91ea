//! Every process on every host that a filter lets through, now or then.

use askama::Template;
use axum::{extract::RawQuery, http::StatusCode, response::Response};
use fleetps_ingestor::{
    filter::{Filter, FilterError},
    history::{Found, Listing, Resolution, SetAside},
};

use super::page::{self, Layout};
use crate::{
    display,
    live::now_us,
    refusal::Refusal,
    sight::Sight,
    view::{
        links,
        query::{self, BadParameter},
        search,
        table::Table,
        when,
    },
};

/// Processes listed unless more are asked for: ten screens.
const USUAL_FOUND: usize = 200;
/// The most processes listed.
const MAX_FOUND: usize = 10_000;

/// By then everything is in the history: four times the interval at which it is sealed.
const SEALED_AFTER_US: i64 = 120_000_000;

/// What is searched for.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    /// The filter, as typed.
    pub q: String,
    /// When; absent for the present.
    pub at_us: Option<i64>,
    limit: usize,
}

/// What was found, and how far it can be relied on.
#[derive(Debug)]
pub struct Answer {
    /// The processes, by host and pid.
    pub listing: Listing<Found>,
    /// Hosts that were not looked at, because it took too long.
    pub hosts_left: usize,
}

impl SearchQuery {
    /// Reads it from the part of the URL behind the question mark.
    pub fn parse(text: &str) -> Result<Self, BadParameter> {
        let mut parsed = Self { q: String::new(), at_us: None, limit: USUAL_FOUND };
        for (name, value) in form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match name.as_ref() {
                "q" => parsed.q = query::filter_text(&value)?,
                "at" if value == "now" => parsed.at_us = None,
                "at" => parsed.at_us = Some(when::moment("at", &value, now_us())?),
                "limit" => parsed.limit = query::number("limit", &value, MAX_FOUND)?,
                _ => {}
            }
        }
        Ok(parsed)
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("q", self.q.clone())];
        if let Some(at_us) = self.at_us {
            parameters.push(("at", when::written(at_us)));
        }
        if self.limit != USUAL_FOUND {
            parameters.push(("limit", self.limit.to_string()));
        }
        parameters
    }

    /// Searches.
    pub async fn ask(&self, sight: &Sight, filter: Filter) -> Result<Answer, Refusal> {
        let limit = self.limit;
        match self.at_us {
            Some(at_us) => {
                check_sealed(sight, at_us)?;
                let listing = sight.search_past(filter, at_us, limit).await?;
                Ok(Answer { listing, hosts_left: 0 })
            }
            None => search_live(sight, filter, limit).await,
        }
    }
}

/// The newest snapshots of all hosts are not in the history yet; nobody must be told that nothing ran then.
fn check_sealed(sight: &Sight, at_us: i64) -> Result<(), Refusal> {
    let Some(last_us) = sight.history().and_then(|history| history.kept().last_us) else {
        return Ok(());
    };
    if at_us <= last_us || now_us().saturating_sub(at_us) > SEALED_AFTER_US {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::NOT_FOUND,
        format!("the history of the fleet reaches until {} only", when::written(last_us)),
        "what is newer is in there within a minute; without `at` the present is searched",
    ))
}

async fn search_live(sight: &Sight, filter: Filter, limit: usize) -> Result<Answer, Refusal> {
    let search = sight.search(filter, limit).await?;
    let listing = Listing { items: search.found, total: search.total, resolution: Resolution::Samples };
    Ok(Answer { listing, hosts_left: search.hosts_left })
}

/// The page of a search.
#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    layout: Layout,
    set_aside: Vec<SetAside>,
    query: SearchQuery,
    error: Option<FilterError>,
    table: Table,
    total: String,
    is_cut: bool,
    hosts_left: usize,
}

impl SearchPage {
    fn csv(&self) -> String {
        links::csv("/api/v1/search", self.query.parameters())
    }

    /// The link to more, when not all are shown.
    fn more(&self) -> Option<String> {
        let query = SearchQuery { limit: MAX_FOUND, ..self.query.clone() };
        (self.is_cut && self.query.limit < MAX_FOUND).then(|| query::url("/search", &query.parameters()))
    }

    /// The same search now.
    fn now(&self) -> String {
        query::url("/search", &SearchQuery { at_us: None, ..self.query.clone() }.parameters())
    }

    /// When, as the URL has it.
    fn at(&self) -> Option<String> {
        self.query.at_us.map(when::written)
    }
}

/// The page.
pub async fn page(layout: Layout, sight: Sight, RawQuery(text): RawQuery) -> Result<Response, Refusal> {
    let query = SearchQuery::parse(&text.unwrap_or_default())?;
    let mut page = SearchPage {
        layout,
        set_aside: Vec::new(),
        error: None,
        table: Table::default(),
        total: String::new(),
        is_cut: false,
        hosts_left: 0,
        query,
    };
    match Filter::parse(&page.query.q) {
        Err(error) => {
            page.error = Some(error);
            return page::render(&page);
        }
        // Every process of every host is no search, but a way to see what can be asked.
        Ok(filter) if filter.is_empty() => {}
        Ok(filter) => {
            let answer = page.query.ask(&sight, filter).await?;
            page.table = search::table(&answer.listing.items, page.query.at_us.is_some());
            page.total = display::count(answer.listing.total);
            page.is_cut = answer.listing.total > answer.listing.items.len() as u64;
            page.hosts_left = answer.hosts_left;
        }
    }
    page.set_aside = if page.query.at_us.is_some() { sight.set_aside() } else { Vec::new() };
    page::render(&page)
}
