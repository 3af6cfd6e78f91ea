//! What a filter lets through on every host, now or then: hosts by their names, and processes.

use std::time::{Duration, Instant};

use askama::Template;
use axum::{http::StatusCode, response::Response};
use fleetps_ingestor::{
    filter::{Filter, FilterError},
    history::{Found, FoundOrder, History, Listing, MissingSegment, Omitted, Resolution, Searched},
};

use super::{
    alert_link,
    page::{self, Layout},
    unanswered::Unanswered,
};
use crate::{
    broker::AwaySince,
    csv, display,
    extract::Query,
    history_service::AskedFor,
    live::now_us,
    query::parameter::Count,
    refusal::Refusal,
    scoped_fleet::{ScopedFleet, travel::SEALED_WITHIN_US},
    url::Url,
    view::{
        alert_on,
        fleet::{FleetQuery, HostFilterText},
        omitted,
        search::{self, FoundFold, SearchPageQuery, SearchQuery},
        span::Stamp,
        table::Table,
        time_field::TimeField,
        when::{self, TimeParam},
    },
};

/// The matches, and how complete they are.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The processes, in the order that was asked for.
    pub listing: Listing<Found>,
    /// On how many hosts all of them are.
    pub hosts: u64,
    /// Hosts that were not searched, because it took too long.
    pub hosts_left: usize,
    /// What the searched hosts left out of their snapshots or shortened in them.
    pub omitted: Omitted,
    /// The moment that was searched; absent for the present.
    pub at_us: Option<i64>,
    /// Since when the broker is away, where an earlier moment than was asked for was searched for that.
    pub away: Option<AwaySince>,
}

/// Searches the past at `at_us`, else the present, for the first `limit` processes in an order.
///
/// # Errors
/// When too many search, or the history cannot be read or does not reach that far yet.
pub(crate) async fn ask(
    scoped: &ScopedFleet,
    filter: Filter,
    at_us: Option<i64>,
    (order, limit): (FoundOrder, usize),
    asked_for: AskedFor,
) -> Result<Answer, Refusal> {
    let Some(at_us) = at_us else { return search_live(scoped, filter, order, limit).await };
    let (at_us, away) = sealed_moment(scoped, at_us)?;
    let search = move |history: &History| history.search_in_order(&filter, at_us, order, limit);
    let Searched { listing, hosts, omitted } = scoped.ask_for(asked_for, search).await?;
    Ok(Answer { listing, hosts, hosts_left: 0, omitted, at_us: Some(at_us), away })
}

/// The moment that is searched; absent for the present.
pub(crate) fn moment(query: &SearchQuery) -> Option<i64> {
    query.at.filter(|at| *at != TimeParam::Now).map(|at| at.resolve(now_us()))
}

/// The moment to search: the newest snapshots of all hosts are not in the history yet, and an answer must not say that nothing
/// ran then. While the broker is away they do not come, so the last moment that is stored is searched instead.
fn sealed_moment(scoped: &ScopedFleet, at_us: i64) -> Result<(i64, Option<AwaySince>), Refusal> {
    let Some(last_us) = last_before(scoped, at_us) else { return Ok((at_us, None)) };
    if let Some(away) = scoped.broker_away() {
        return Ok((last_us, Some(away)));
    }
    if is_sealed(at_us) {
        return Ok((at_us, None));
    }
    Err(Refusal::new(
        StatusCode::NOT_FOUND,
        format!("the history of the fleet reaches until {} only", when::written(last_us)),
        "what is newer is in there within a minute; without `at` the present is searched",
    ))
}

/// The moment that the page searches for `at_us`: the last one that is stored, where that of the page is not yet. While the
/// broker is away, the answer says so.
fn stored_moment(scoped: &ScopedFleet, at_us: i64) -> i64 {
    match last_before(scoped, at_us) {
        Some(last_us) if !is_sealed(at_us) && scoped.broker_away().is_none() => last_us,
        _ => at_us,
    }
}

/// The last moment that is stored, where `at_us` is after it.
fn last_before(scoped: &ScopedFleet, at_us: i64) -> Option<i64> {
    scoped.history()?.kept().last_us.filter(|last_us| *last_us < at_us)
}

/// Whether all there is of a moment is in the history by now.
fn is_sealed(at_us: i64) -> bool {
    now_us().saturating_sub(at_us) > SEALED_WITHIN_US
}

async fn search_live(
    scoped: &ScopedFleet,
    filter: Filter,
    order: FoundOrder,
    limit: usize,
) -> Result<Answer, Refusal> {
    let search = scoped.search(filter, order, limit).await?;
    let listing = Listing { items: search.found, total: search.total, resolution: Resolution::Samples };
    let (hosts, hosts_left, omitted) = (search.matching_hosts, search.hosts_left, search.omitted);
    Ok(Answer { listing, hosts, hosts_left, omitted, at_us: None, away: None })
}

/// A search of the present is made again after so many times what it took, so that whoever looks on takes two percent of a core at most.
const REST: u32 = 50;
/// Pages are asked again when what they show has moved by so small a part (`assets/again.js`).
const PARTS: u32 = 500;

/// What can be narrowed on the page.
const NARROW: &str = "name a host or a group in the filter, as in host = web-01 and java; plain words are quicker than \
    regular expressions";

/// Hosts on the page: the filter of the fleet page shows all that have the words.
const SHOWN_HOSTS: usize = 12;

/// The page of a search.
#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    layout: Layout,
    set_aside: Vec<MissingSegment>,
    query: SearchPageQuery,
    at_us: Option<i64>,
    error: Option<FilterError>,
    /// Hosts that are called so: name, state and link.
    hosts: Vec<(String, &'static str, Url)>,
    /// How many hosts more are called so, and where they are.
    more_hosts: Option<(String, Url)>,
    table: Table,
    /// "73 processes on 12 hosts"; empty where nothing was searched.
    total: String,
    is_cut: bool,
    hosts_left: usize,
    /// What could not be searched, in words; empty where that is nothing.
    omitted: String,
    /// Since when the broker is away, where an earlier moment than was asked for was searched for that.
    away: Option<Stamp>,
    alert: Option<Url>,
    /// When the present was searched, and what the page is asked again by, in ms; absent for a moment of the past.
    searched: Option<(Stamp, u128)>,
    /// Why nothing was found out.
    unanswered: Option<Unanswered>,
}

/// A place in the switch between foldings.
struct FoldLink {
    label: &'static str,
    href: Url,
    current: bool,
}

impl SearchPage {
    /// The page before anything is searched.
    fn of(layout: Layout, scoped: &ScopedFleet, query: SearchPageQuery) -> Self {
        Self {
            layout,
            set_aside: Vec::new(),
            error: query.search.q.filter.clone().err(),
            hosts: Vec::new(),
            more_hosts: None,
            table: Table::default(),
            total: String::new(),
            is_cut: false,
            hosts_left: 0,
            omitted: String::new(),
            away: None,
            at_us: moment(&query.search),
            searched: None,
            unanswered: None,
            alert: alert_link::link(scoped, alert_on::search(&search::widened(&query.search.q)), None),
            query,
        }
    }

    /// The same with the hosts that are called so.
    fn with_hosts(mut self, scoped: &ScopedFleet, words: &[String]) -> Self {
        let (found, count) = scoped.hosts_with(words, SHOWN_HOSTS);
        self.hosts = search::hosts(&found, self.at_us);
        let q = HostFilterText(self.query.search.q.text.clone());
        self.more_hosts = (count > found.len()).then(|| {
            let text = format!("{} more", display::count((count - found.len()) as u64));
            (text, Url::fleet().with(&FleetQuery { q, ..FleetQuery::default() }))
        });
        self
    }

    /// The same with the matches.
    fn with(self, answer: Answer) -> Self {
        let Answer { listing, hosts, hosts_left, omitted, at_us, away } = answer;
        let page = Self { at_us, ..self };
        let fixed = page.fixed();
        let table = match fixed.fold {
            FoundFold::Process => search::table(&listing.items, &fixed, at_us.is_some()),
            _ => search::folded(&listing.items, &fixed),
        };
        Self {
            table,
            total: in_words(listing.total, hosts),
            is_cut: listing.total > listing.items.len() as u64,
            hosts_left,
            omitted: omitted::of_search(&omitted),
            away: away.map(|since| Stamp::of(since.0)),
            ..page
        }
    }

    /// Whether the moment that was typed is none; then nothing is searched.
    fn has_wrong_time(&self) -> bool {
        !self.layout.times.wrong.is_empty()
    }

    /// The same search, for links: at the same moment, whenever they are followed.
    fn fixed(&self) -> SearchPageQuery {
        let search = SearchQuery { at: self.at_us.map(TimeParam::at), ..self.query.search.clone() };
        SearchPageQuery { search, ..self.query.clone() }
    }

    /// What the page shows, which JSON and CSV otherwise search as it is typed, in another order.
    fn for_programs(&self) -> SearchQuery {
        let fixed = self.fixed().search;
        let (q, sort) = (search::widened(&fixed.q), fixed.sort.or(Some(search::USUAL)));
        SearchQuery { q, sort, ..fixed }
    }

    fn json(&self) -> Url {
        Url::search().api().with(&self.for_programs())
    }

    fn csv(&self) -> Url {
        csv::url(Url::search().api(), self.for_programs())
    }

    /// How many processes are added up at most.
    fn most_added_up() -> String {
        display::count(search::MAX_FOUND as u64)
    }

    fn folds(&self) -> Vec<FoldLink> {
        let link = |(fold, _, label): (FoundFold, &str, &'static str)| {
            let query = SearchPageQuery { fold, ..self.fixed() };
            FoldLink { label, href: Url::search().with(&query), current: fold == self.query.fold }
        };
        FoundFold::ALL.map(link).into()
    }

    /// The hidden fields of the form: how what is found is shown.
    fn carried(&self) -> Vec<(String, String)> {
        let SearchQuery { sort, dir, .. } = self.query.search.clone();
        let search = SearchQuery { sort, dir, ..SearchQuery::default() };
        Url::search().with(&SearchPageQuery { search, ..self.query.clone() }).parameters()
    }

    /// The link to more, when not all are shown.
    fn more(&self) -> Option<Url> {
        let fixed = self.fixed();
        let search = SearchQuery { limit: Count::MOST, ..fixed.search.clone() };
        let is_less = self.query.fold == FoundFold::Process && self.query.search.limit != search.limit;
        (self.is_cut && is_less).then(|| Url::search().with(&SearchPageQuery { search, ..fixed }))
    }

    /// The same search now.
    fn now(&self) -> Url {
        let search = SearchQuery { at: None, ..self.query.search.clone() };
        Url::search().with(&SearchPageQuery { search, ..self.query.clone() })
    }

    /// When.
    fn at(&self) -> Option<Stamp> {
        self.at_us.map(Stamp::of)
    }

    fn at_field(&self) -> TimeField {
        self.layout.times.field("at", "At", self.at_us)
    }
}

fn in_words(processes: u64, hosts: u64) -> String {
    let one_or_more = |count: u64, one: &str, several: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{} {several}", display::count(count)),
    };
    let (processes, hosts) =
        (one_or_more(processes, "process", "processes"), one_or_more(hosts, "host", "hosts"));
    format!("{processes} on {hosts}")
}

/// The page.
pub(crate) async fn page(
    layout: Layout,
    scoped: ScopedFleet,
    Query(query): Query<SearchPageQuery>,
) -> Result<Response, Refusal> {
    let order = query.search.order(search::USUAL);
    // What is put together is put together of as many as can be.
    let limit = match query.fold {
        FoundFold::Process => query.search.limit,
        _ => Count::MOST,
    };
    let mut page = SearchPage::of(layout, &scoped, query);
    page.at_us = page.at_us.map(|at_us| stored_moment(&scoped, at_us));
    let q = &page.query.search.q;
    let (words, widened) = (q.filter.as_ref().ok().and_then(Filter::words), search::widened(q));
    let began = Instant::now();
    let answer = match widened.filter {
        // Every process of every host is no search, but a way to see what can be asked.
        Ok(filter) if !filter.is_empty() && !page.has_wrong_time() => {
            let asked = ask(&scoped, filter, page.at_us, (order, limit.get()), AskedFor::Page).await;
            match Unanswered::or(asked, NARROW, || None)? {
                Ok(answer) => Some(answer),
                Err(why) => {
                    page.unanswered = Some(why);
                    None
                }
            }
        }
        _ => None,
    };
    if page.at_us.is_none() && answer.is_some() {
        let pause: Duration = began.elapsed() * REST;
        page.searched = Some((Stamp::of(now_us()), (pause * PARTS).as_millis()));
    }
    if let Some(words) = words.filter(|_| answer.is_some()) {
        page = page.with_hosts(&scoped, &words);
    }
    page.set_aside = if page.at_us.is_some() { scoped.set_aside() } else { Vec::new() };
    let why = page.unanswered.clone();
    // Ten thousand rows may be asked for.
    let response = page::render_aside(move || match answer {
        Some(answer) => page.with(answer),
        None => page,
    })
    .await?;
    Ok(Unanswered::dress(why.as_ref(), response))
}
