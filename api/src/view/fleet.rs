//! The fleet page: the totals, what needs a person, the busiest programs and processes, and the table of hosts.
//!
//! The table has a page of hosts at a time ([`HostsPage`]), however many there are: the server puts all of them in order, and
//! renders and keeps up to date only those that are shown. What is left out is said beside the table.

use std::{ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Arrangement, View,
    busiest::{self, MAX_NAME_CHARACTERS},
    facts::SortKey,
    host_filter::{self, OfHosts, words},
    query::{MAX_ROWS, ProcessQuery, filter_text},
    severity, sparkline,
    table::{Cell, Head, Link, Row, Table},
    trouble,
};
use crate::{
    display,
    live::{FleetView, HostState, Summary, agent_versions},
    query::{
        order::{Order, SortColumn},
        parameter::{self, Count, Value, choice, is_default},
    },
    url::{HostTab, Url},
};

/// Hosts on a page by default. A browser shows as many within some 40 ms of a keystroke, and what changes of them between two
/// patches takes a few KB.
const DEFAULT_HOSTS: usize = 200;
/// The most hosts on one page, whatever `rows` says: they take 0.5 MB, which a browser still shows without trouble.
const MAX_HOSTS: usize = 500;
/// The highest number of a page: far more hosts than a fleet has.
const MAX_PAGE: usize = 100_000;
/// Hosts whose warning is said above the table: what fits a line or two. The filter finds the others by their words.
const MAX_WARNINGS: usize = 4;

/// A column of the table of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostColumn {
    /// Whether it is heard of.
    State,
    /// Its name.
    Host,
    /// How many alerts are open on it; sorted by the worst.
    Alerts,
    /// Its operating system.
    System,
    /// CPU use in percent of all cores.
    Cpu,
    /// The same over the past hour; sorted by its peak.
    PastHour,
    /// Memory in use, in percent.
    Memory,
    /// Installed memory.
    Installed,
    /// Load average over a minute.
    Load,
    /// Processes.
    Processes,
    /// The process that uses most CPU.
    Busiest,
    /// Time since it was last heard of.
    Seen,
}

impl HostColumn {
    const ALL: [Self; 12] = [
        Self::State,
        Self::Host,
        Self::Alerts,
        Self::System,
        Self::Cpu,
        Self::PastHour,
        Self::Memory,
        Self::Installed,
        Self::Load,
        Self::Processes,
        Self::Busiest,
        Self::Seen,
    ];

    /// Its name in URLs and its class, its head, and its unit.
    fn known(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::State => ("status", "State", ""),
            Self::Host => ("host", "Host", ""),
            Self::Alerts => ("alerts", "Alerts", ""),
            Self::System => ("system", "System", ""),
            Self::Cpu => ("cpu", "CPU", "%"),
            Self::PastHour => ("hour", "1 h", ""),
            Self::Memory => ("memory", "Mem", "%"),
            Self::Installed => ("ram", "RAM", ""),
            Self::Load => ("load", "Load", ""),
            Self::Processes => ("procs", "Processes", ""),
            Self::Busiest => ("busiest", "Top process", "% of a core"),
            Self::Seen => ("seen", "Last seen", ""),
        }
    }

    fn id(self) -> &'static str {
        self.known().0
    }
}

/// The query of the table of hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetQuery {
    /// The filter, as typed.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub q: HostFilterText,
    /// The order.
    #[serde(flatten)]
    pub order: Order<HostColumn>,
    /// The most hosts on a page; more than [`MAX_HOSTS`] count as that.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub rows: Count<DEFAULT_HOSTS, MAX_ROWS>,
    /// Which page of the hosts, from 1; one behind the last counts as that.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub page: Count<1, MAX_PAGE, 1>,
}

impl FleetQuery {
    /// The same in another order, from its first page on.
    pub fn ordered(&self, order: Order<HostColumn>) -> Self {
        Self { order, page: Count::default(), ..self.clone() }
    }

    /// The same with another filter, from its first page on.
    pub fn filtered(&self, q: String) -> Self {
        Self { q: HostFilterText(q), page: Count::default(), ..self.clone() }
    }
}

/// Which of the hosts are on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HostsPage {
    /// Those that match.
    all: usize,
    /// How many are on a page.
    rows: usize,
    /// Its number, from 1.
    number: usize,
}

impl HostsPage {
    fn of(query: &FleetQuery, all: usize) -> Self {
        let rows = query.rows.get().min(MAX_HOSTS);
        let pages = if rows == 0 { 1 } else { all.div_ceil(rows).max(1) };
        Self { all, rows, number: query.page.get().min(pages) }
    }

    /// The places of its hosts.
    fn places(self) -> Range<usize> {
        let first = (self.number - 1) * self.rows;
        first..self.all.min(first + self.rows)
    }

    /// Which hosts it shows, in words; empty where it shows all.
    fn words(self) -> String {
        let places = self.places();
        if places.len() == self.all {
            return String::new();
        }
        let all = display::count(self.all as u64);
        match places.len() {
            0 => format!("none of {all} hosts shown"),
            _ => {
                let [first, last] = [places.start + 1, places.end].map(|place| display::count(place as u64));
                format!("hosts {first} to {last} of {all}")
            }
        }
    }

    /// The links to the page before it and behind it; without a text where there is none.
    fn links(self, query: &FleetQuery) -> [(&'static str, Cell); 2] {
        let link = |word: &str, hosts: usize, page: usize| match hosts {
            0 => Cell::field(""),
            hosts => {
                let query = FleetQuery { page: Count::near(page), ..query.clone() };
                Cell::field(format!("{word} {}", display::count(hosts as u64)))
                    .linked(Url::fleet().with(&query))
            }
        };
        let Range { start, end } = self.places();
        let (before, after) = (start.min(self.rows), self.all.saturating_sub(end).min(self.rows));
        [
            ("hosts-before", link("Previous", before, self.number.saturating_sub(1))),
            ("hosts-after", link("Next", after, self.number.saturating_add(1))),
        ]
    }
}

/// The text of a filter over hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HostFilterText(pub String);

impl Value for HostFilterText {
    fn read(given: &str) -> Result<Self, String> {
        filter_text(given).map(Self)
    }

    fn written(&self) -> String {
        self.0.clone()
    }
}

impl Value for HostColumn {
    fn read(given: &str) -> Result<Self, String> {
        choice(Self::ALL, Self::id, given)
    }

    fn written(&self) -> String {
        self.id().to_owned()
    }
}

impl SortColumn for HostColumn {
    const USUAL: Self = Self::Cpu;

    fn starts_with_greatest(self) -> bool {
        !matches!(self, Self::State | Self::Host | Self::System | Self::Seen)
    }
}

/// The fleet page as of `now_us`, with the groups and alerts of hosts. Takes as long as there are hosts.
pub(crate) fn view(fleet: &FleetView, query: &FleetQuery, of_hosts: OfHosts<'_>, now_us: i64) -> View {
    let counts = fleet.counts;
    let total = |state: HostState, count: usize| {
        let shade = if count == 0 { "none" } else { state.word() };
        Cell::field(format!("{} {}", display::count(count as u64), state.word())).shaded(shade)
    };
    let hosts = hosts_words(fleet.hosts.len());
    let (matching, problem) = match host_filter::matching(&fleet.hosts, &query.q.0, of_hosts, now_us) {
        Ok(matching) => (matching, String::new()),
        // As on a host's page: what was typed so far is not lost, and neither are the rows.
        Err(problem) => (fleet.hosts.iter().map(Arc::as_ref).collect(), problem),
    };
    let page = HostsPage::of(query, matching.len());
    let [before, after] = page.links(query);
    let matching_words = match (query.q.0.is_empty() || !problem.is_empty(), matching.len()) {
        (true, _) => String::new(),
        (false, 1) => format!("1 of {hosts} matches"),
        (false, count) => format!("{} of {hosts} match", display::count(count as u64)),
    };
    View {
        version: fleet.version.to_string(),
        fields: vec![
            ("hosts", Cell::field(hosts)),
            ("up", total(HostState::Up, counts.up)),
            ("paused", total(HostState::Paused, counts.paused)),
            ("silent", total(HostState::Silent, counts.silent)),
            ("down", total(HostState::Down, counts.down)),
            ("alerts", alerts_total(of_hosts)),
            ("processes", Cell::field(format!("{} processes", display::count(counts.processes)))),
            ("left-out", Cell::field(left_out(fleet))),
            ("other-agents", other_agents(fleet)),
            ("warnings", Cell::field(warnings(&fleet.hosts))),
            ("matching", Cell::field(matching_words)),
            ("shown", Cell::field(page.words())),
            before,
            after,
            ("problem", Cell::field(problem)),
        ],
        tables: vec![
            trouble::table(of_hosts.open, &fleet.hosts),
            hosts_table(matching, page, query, of_hosts, now_us),
            busiest::programs(&fleet.programs),
            busiest::processes(&fleet.hosts),
        ],
    }
}

fn hosts_words(count: usize) -> String {
    match count {
        1 => "1 host".to_owned(),
        count => format!("{} hosts", display::count(count as u64)),
    }
}

/// How many alerts are open, in the colour of the worst.
fn alerts_total(of_hosts: OfHosts<'_>) -> Cell {
    let count = of_hosts.alerts.values().map(|(count, _)| count).sum::<usize>();
    let worst = of_hosts.alerts.values().map(|(_, worst)| *worst).max();
    let text = match count {
        1 => "1 alert".to_owned(),
        count => format!("{} alerts", display::count(count as u64)),
    };
    Cell::field(text).shaded(worst.map_or("none", severity::shade))
}

/// What is wrong with how hosts report, the first of them by name; empty where nothing is.
fn warnings(hosts: &[Arc<Summary>]) -> String {
    let warning = |host: &Arc<Summary>| {
        let warning = host.warning();
        (!warning.is_empty()).then(|| format!("{}: {warning}", host.host))
    };
    let all: Vec<String> = hosts.iter().filter_map(warning).collect();
    let mut named: Vec<String> = all.iter().take(MAX_WARNINGS).cloned().collect();
    if all.len() > named.len() {
        named.push(format!("and {} more", display::count((all.len() - named.len()) as u64)));
    }
    named.join(" · ")
}

/// How many hosts the page leaves out, in words; empty where it leaves out none.
fn left_out(fleet: &FleetView) -> String {
    let hosts = match fleet.left_out {
        0 => return String::new(),
        1 => "1 host is".to_owned(),
        count => format!("{} hosts are", display::count(count as u64)),
    };
    let seconds = i64::try_from(fleet.down_for.as_secs()).unwrap_or(i64::MAX);
    format!("{hosts} left out, not seen for {}", display::duration(seconds))
}

/// How many agents are of another version than this server, with the filter that finds them; empty where none is.
fn other_agents(fleet: &FleetView) -> Cell {
    let text = match agent_versions::count(&fleet.hosts) {
        0 => return Cell::field(""),
        1 => "1 agent of another version".to_owned(),
        count => format!("{} agents of another version", display::count(count as u64)),
    };
    let query = FleetQuery::default().filtered(agent_versions::filter());
    Cell::field(text).linked(Url::fleet().with(&query))
}

/// By what each host sorts is worked out once. Only the rows of the page and those before it are put in order, and only those of
/// the page are written.
fn hosts_table(
    hosts: Vec<&Summary>,
    page: HostsPage,
    query: &FleetQuery,
    of_hosts: OfHosts<'_>,
    now_us: i64,
) -> Table {
    let order = query.order;
    let mut matching: Vec<(SortKey<'_>, &Summary)> =
        hosts.into_iter().map(|host| (sort_key(host, order.column, of_hosts, now_us), host)).collect();
    let compare = |(a_key, a): &(SortKey<'_>, &Summary), (b_key, b): &(SortKey<'_>, &Summary)| {
        a_key.compare(b_key, order.descending).then_with(|| a.host.cmp(&b.host))
    };
    let (all, places) = (matching.len(), page.places());
    if places.end > 0 && places.end < all {
        matching.select_nth_unstable_by(places.end - 1, compare);
        matching.truncate(places.end);
    }
    if places.start > 0 && places.start < matching.len() {
        matching.select_nth_unstable_by(places.start, compare);
    }
    let mut shown = matching.split_off(places.start.min(matching.len()));
    shown.sort_unstable_by(compare);
    let rows: Vec<Row> = shown.iter().map(|(_, host)| host_row(host, of_hosts, now_us)).collect();
    let more = (rows.len() < all && all <= MAX_HOSTS).then(|| Link {
        href: Url::fleet().with(&FleetQuery {
            rows: Count::near(MAX_HOSTS),
            page: Count::default(),
            ..query.clone()
        }),
        text: format!("Show all {} hosts", display::count(all as u64)),
    });
    let heads = HostColumn::ALL.map(|column| head(column, query)).into();
    Table { id: "hosts", titles: &MEANINGS, heads, rows, more, ..Table::default() }
}

/// What the heads mean that are short.
static MEANINGS: [(&str, &str); 9] = [
    ("alerts", "Open alerts"),
    ("system", "Operating system"),
    ("cpu", "CPU use of all cores together"),
    ("hour", "CPU use in the last hour"),
    ("memory", "Memory in use, of what is installed"),
    ("ram", "Memory that is installed"),
    ("load", "Load average over one minute"),
    ("busiest", "The process that uses most CPU"),
    ("seen", "Time since the last snapshot"),
];

fn head(column: HostColumn, query: &FleetQuery) -> Head {
    let (id, text, unit) = column.known();
    let sorted = query.ordered(query.order.sorted_by(column));
    let direction = if query.order.descending { "descending" } else { "ascending" };
    Head {
        column: id,
        text,
        unit,
        href: Some(Url::fleet().with(&sorted)),
        sorted: (query.order.column == column).then_some(direction),
    }
}

/// A host that is not up has no present values, only what it was.
fn sort_key<'a>(host: &'a Summary, column: HostColumn, of_hosts: OfHosts<'_>, now_us: i64) -> SortKey<'a> {
    let up = host.state == HostState::Up;
    let now = |value: Option<f64>| SortKey::from(value.filter(|_| up));
    match column {
        HostColumn::State => SortKey::Number(f64::from(host.state as u8)),
        HostColumn::Host => SortKey::Text(host.host.as_str()),
        HostColumn::Alerts => {
            let (count, worst) = of_hosts.alerts(&host.host).unwrap_or_default();
            // No host has as many alerts.
            SortKey::Number(f64::from(worst as u8) * 1e6 * f64::from(u8::from(count > 0)) + count as f64)
        }
        HostColumn::System => host.os.as_deref().into(),
        HostColumn::Cpu => now(host.cpu_percent.map(f64::from)),
        HostColumn::PastHour => peak(&host.past_hour.until(now_us)).map(f64::from).into(),
        HostColumn::Memory => now(host.memory_percent()),
        HostColumn::Installed => host.memory_total_bytes.map(|bytes| bytes as f64).into(),
        HostColumn::Load => now(host.load_1.map(f64::from)),
        HostColumn::Processes => now(Some(f64::from(host.process_count))),
        HostColumn::Busiest => now(host.busiest.first().map(|busiest| f64::from(busiest.cpu_percent))),
        HostColumn::Seen => SortKey::Number(-(host.last_seen_us as f64)),
    }
}

fn peak(percent: &[Option<u8>]) -> Option<u8> {
    percent.iter().copied().flatten().max()
}

/// The outline of the past hour, and its peak in words.
fn past_hour(host: &Summary, now_us: i64) -> Cell {
    let percent = host.past_hour.until(now_us);
    let text = match peak(&percent) {
        Some(peak) => format!("CPU at most {peak} % in the past hour"),
        None => "Nothing in the past hour".to_owned(),
    };
    Cell::new("hour", text).drawn(sparkline::outline(&percent))
}

fn host_row(host: &Summary, of_hosts: OfHosts<'_>, now_us: i64) -> Row {
    let groups = words((of_hosts.groups)(&host.host));
    let up = host.state == HostState::Up;
    let cpu_percent = host.cpu_percent.filter(|_| up).map(f64::from);
    let memory_percent = host.memory_percent().filter(|_| up);
    let busiest = match host.busiest.first().filter(|_| up) {
        Some(busiest) => Cell::hostile("busiest", &busiest.name, MAX_NAME_CHARACTERS)
            .linked(by_cpu(host.host.as_str()))
            .noted(format!("{} %", display::percent(Some(f64::from(busiest.cpu_percent))))),
        None => Cell::new("busiest", display::MISSING),
    };
    let system = host.os.as_deref().unwrap_or(display::MISSING);
    let cells = vec![
        Cell::new("status", host.state.word()).shaded(host.state.word()),
        Cell::new("host", host.host.as_str())
            .linked(Url::host(host.host.as_str(), HostTab::Processes))
            .noted(groups),
        alerts_of(host, of_hosts),
        Cell::hostile("system", system, MAX_NAME_CHARACTERS),
        Cell::new("cpu", display::percent(cpu_percent))
            .shaded(display::shade(cpu_percent.unwrap_or_default() / 100.0)),
        past_hour(host, now_us),
        Cell::new("memory", display::percent(memory_percent))
            .shaded(display::shade(memory_percent.unwrap_or_default() / 100.0)),
        Cell::new("ram", display::size_long(host.memory_total_bytes)),
        Cell::new("load", display::load(host.load_1.filter(|_| up))),
        Cell::new("procs", display::count_or_missing(up.then(|| u64::from(host.process_count)))),
        busiest,
        Cell::since("seen", host.last_seen_us, now_us),
    ];
    Row { id: format!("h-{}", host.host), cells, ..Row::default() }
}

/// How many alerts are open on a host, in the colour of the worst; empty where none is.
fn alerts_of(host: &Summary, of_hosts: OfHosts<'_>) -> Cell {
    let Some((count, worst)) = of_hosts.alerts(&host.host) else { return Cell::new("alerts", "") };
    let url = Url::alerts_of(host.host.as_str());
    Cell::new("alerts", display::count(count as u64)).shaded(severity::shade(worst)).linked(url)
}

/// A host's processes, the busiest first. The link stays the same when another process becomes the busiest, so an open page
/// changes a text and no row.
fn by_cpu(host: &str) -> Url {
    let query = ProcessQuery { view: Arrangement::Flat, ..ProcessQuery::default() };
    Url::host(host, HostTab::Processes).with(&query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: usize, number: usize, all: usize) -> HostsPage {
        let query =
            FleetQuery { rows: Count::near(rows), page: Count::near(number), ..FleetQuery::default() };
        HostsPage::of(&query, all)
    }

    #[test]
    fn a_page_says_which_hosts_it_has_and_one_behind_the_last_is_the_last() {
        for (rows, number, all, places, words) in [
            (200, 1, 0, 0..0, ""),
            (200, 1, 200, 0..200, ""),
            (200, 1, 10_000, 0..200, "hosts 1 to 200 of 10,000"),
            (200, 50, 10_000, 9_800..10_000, "hosts 9,801 to 10,000 of 10,000"),
            (200, 51, 10_000, 9_800..10_000, "hosts 9,801 to 10,000 of 10,000"),
            (200, 2, 201, 200..201, "hosts 201 to 201 of 201"),
            (200, 9, 0, 0..0, ""),
            (0, 1, 3, 0..0, "none of 3 hosts shown"),
            (MAX_ROWS, 1, 501, 0..500, "hosts 1 to 500 of 501"),
        ] {
            let page = page(rows, number, all);
            assert_eq!((page.places(), page.words().as_str()), (places, words), "{rows} {number} {all}");
        }
    }

    #[test]
    fn links_lead_to_the_pages_that_there_are() {
        let links = |rows, number, all| {
            page(rows, number, all).links(&FleetQuery::default()).map(|(_, link)| link.text)
        };
        assert_eq!(links(200, 1, 200), ["", ""]);
        assert_eq!(links(200, 1, 250), ["", "Next 50"]);
        assert_eq!(links(200, 2, 10_000), ["Previous 200", "Next 200"]);
        assert_eq!(links(200, 50, 10_000), ["Previous 200", ""]);
        assert_eq!(links(0, 1, 3), ["", ""]);
    }
}
