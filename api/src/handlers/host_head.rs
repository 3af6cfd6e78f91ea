//! The head of every page about one host: live or at a moment, the timeline, the tabs.

use fleetps_ingestor::history::{MissingSegment, NoSnapshot, Resolution};
use fleetps_nats::HostName;

use crate::{
    authz::HostGroups,
    display,
    live::{Moment, now_us},
    scoped_fleet::{ScopedFleet, travel::PastMoment},
    url::{HostTab, Url},
    view::{
        fleet::{FleetQuery, HostFilterText},
        host_filter::group_filter,
        span::Stamp,
        table::Cell,
        time_field::{MomentForm, SpanForm, TypedTimes},
        timeline::Timeline,
        travel::{Links, TimeQuery},
        when::{SpanQuery, TimeParam},
    },
};

const MINUTE_US: i64 = 60_000_000;

/// The tabs, in their order, and what they are called.
const TABS: [(HostTab, &str); 5] = [
    (HostTab::Processes, "Processes"),
    (HostTab::System, "System"),
    (HostTab::History, "History"),
    (HostTab::Events, "Events"),
    (HostTab::Diff, "What changed"),
];

/// The head.
pub(crate) struct HostHead {
    /// The host.
    pub host: HostName,
    /// Its groups.
    pub groups: HostGroups,
    /// Whether its command lines are withheld from the person.
    pub command_lines_withheld: bool,
    /// The bar of a page at a moment; absent on a live one.
    pub bar: Option<Bar>,
    /// The timeline.
    pub timeline: Timeline,
    /// Segments that cannot be read.
    pub set_aside: Vec<MissingSegment>,
    tab: HostTab,
    links: Links,
}

/// The bar of a page that shows the past, with links through time.
pub(crate) struct Bar {
    /// The time: when the snapshot was captured, or the requested time.
    pub at_us: i64,
    /// More about it, in words.
    pub note: &'static str,
    /// Since when the broker is away, where a later snapshot may be missing for that.
    pub away: Option<Stamp>,
    /// What is shown of the time.
    pub title: &'static str,
    /// The snapshot before.
    pub earlier: Option<Url>,
    /// The snapshot after.
    pub later: Option<Url>,
    /// Steps by the clock: what they are called, and where they lead.
    pub steps: [(&'static str, Url); 4],
    /// The page now.
    pub live: Url,
}

impl HostHead {
    /// The head of the page `tab` of `host`.
    pub(crate) fn new(
        scoped: &ScopedFleet,
        host: &HostName,
        tab: HostTab,
        links: Links,
        bar: Option<Bar>,
    ) -> Self {
        Self {
            host: host.clone(),
            groups: scoped.groups(host),
            command_lines_withheld: !scoped.scope().sees_command_lines(host),
            timeline: Timeline::new(host.as_str(), &links, now_us()),
            set_aside: if bar.is_some() { scoped.set_aside() } else { Vec::new() },
            bar,
            tab,
            links,
        }
    }

    /// Whether the page follows the present.
    pub(crate) fn is_live(&self) -> bool {
        self.bar.is_none()
    }

    /// Whether the timeline ends now, and goes on doing so.
    pub(crate) fn follows(&self) -> bool {
        self.is_live() && self.links.when.span.is_none()
    }

    /// This page at another moment.
    pub(crate) fn at(&self, at_us: i64) -> Url {
        self.links.at(at_us)
    }

    /// The tabs: what they are called, where they lead, whether this is it.
    pub(crate) fn tabs(&self) -> Vec<(&'static str, Url, bool)> {
        TABS.map(|(tab, label)| (label, self.tab_url(tab), tab == self.tab)).into()
    }

    fn tab_url(&self, tab: HostTab) -> Url {
        Url::host(self.host.as_str(), tab).with(&TimeQuery::from(&self.links.when))
    }

    /// The form that leads to another moment of this page.
    pub(crate) fn moment_form(&self, times: &TypedTimes) -> MomentForm {
        MomentForm::of(times, &self.links)
    }

    /// The form that leads to another span of its timeline.
    pub(crate) fn span_form(&self, times: &TypedTimes) -> SpanForm {
        let page = Url::of_page(&self.timeline.path).with(&self.timeline.carried);
        SpanForm::of(times, &page, self.timeline.span)
    }

    /// What changed between the moment of this page and now; absent on a live one.
    pub(crate) fn changed_since(&self) -> Option<Url> {
        let from = Some(TimeParam::at(self.bar.as_ref()?.at_us));
        let query = TimeQuery { at: None, span: SpanQuery { from, to: Some(TimeParam::Now), range: None } };
        Some(Url::host(self.host.as_str(), HostTab::Diff).with(&query))
    }

    /// Where the groups of the host are changed.
    pub(crate) fn groups_url(&self) -> Url {
        Url::host_groups(self.host.as_str())
    }

    /// Where it is changed how the host is sampled.
    pub(crate) fn settings_url(&self) -> Url {
        Url::host_settings(self.host.as_str())
    }

    /// The groups of the host, and where the fleet's hosts are that are in them.
    pub(crate) fn group_links(&self) -> Vec<(&str, Url)> {
        let link = |group: &String| {
            let q = HostFilterText(group_filter(group));
            Url::fleet().with(&FleetQuery { q, ..FleetQuery::default() })
        };
        self.groups.iter().map(|group| (group.as_str(), link(group))).collect()
    }
}

/// The field of a live page that leads to the snapshot before the one it shows. Shortly after a start of this server that
/// one is not known here, but it should be an interval ago.
pub(crate) fn earlier(moment: &Moment, links: &Links) -> (&'static str, Cell) {
    let snapshot = moment.snapshot();
    let interval_us = i64::from(snapshot.interval_ms).saturating_mul(1000);
    let expected_us = snapshot.captured_at_us.saturating_sub(interval_us);
    let captured_at_us = moment.pair.previous().map_or(expected_us, |previous| previous.captured_at_us);
    ("earlier", Cell::field("").linked(links.at(captured_at_us)))
}

impl Bar {
    /// The bar for a moment that has a snapshot.
    pub(crate) fn then(at_us: i64, then: &PastMoment, links: &Links) -> Self {
        let note = match then.resolution {
            Resolution::Samples => "",
            Resolution::Minutes => "one snapshot a minute is kept of that time",
            Resolution::Hours => "only sums of every hour are kept of that time",
        };
        let (earlier, later) = (then.earlier_us, then.later_us);
        let captured_at_us = then.moment.snapshot().captured_at_us;
        let away = then.away.map(|since| Stamp::of(since.0));
        let title = "Snapshot of";
        Self { note, away, title, ..Self::new(captured_at_us, at_us, earlier, later, links) }
    }

    /// The bar for a moment that has none.
    pub(crate) fn nothing(at_us: i64, nothing: &NoSnapshot, links: &Links) -> Self {
        let (earlier, later) = match *nothing {
            NoSnapshot::UnknownHost => (None, None),
            NoSnapshot::BeforeFirst { first_us } => (None, Some(first_us)),
            NoSnapshot::AfterLast { last_us } => (Some(last_us), None),
            NoSnapshot::Gap { before_us, after_us } => (Some(before_us), Some(after_us)),
            NoSnapshot::OnlyHours { after_us } => (None, after_us),
        };
        Self::new(at_us, at_us, earlier, later, links)
    }

    /// The bar for a moment that was asked for in vain.
    pub(crate) fn unanswered(at_us: i64, links: &Links) -> Self {
        Self { title: "No answer yet about", ..Self::new(at_us, at_us, None, None, links) }
    }

    fn new(shown_us: i64, at_us: i64, earlier: Option<i64>, later: Option<i64>, links: &Links) -> Self {
        let step = |label, minutes: i64| (label, links.at(at_us.saturating_add(minutes * MINUTE_US)));
        Self {
            at_us: shown_us,
            note: "",
            away: None,
            title: "Nothing is known of",
            earlier: earlier.map(|at_us| links.at(at_us)),
            later: later.map(|at_us| links.at(at_us)),
            steps: [step("−1 h", -60), step("−1 min", -1), step("+1 min", 1), step("+1 h", 60)],
            live: links.live(),
        }
    }

    /// The moment as programs read it.
    pub(crate) fn exact(&self) -> String {
        display::time_exact(self.at_us)
    }

    /// The moment as people read it.
    pub(crate) fn text(&self) -> String {
        display::time(self.at_us)
    }

    /// How long ago it was.
    pub(crate) fn ago(&self) -> String {
        display::duration(now_us().saturating_sub(self.at_us) / 1_000_000)
    }
}
