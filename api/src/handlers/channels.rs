//! The channels that notifications go to, and what could not be delivered: for administrators of every host.

use askama::Template;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::{Deserialize, Serialize};

use super::{
    alert_tabs::Tabs,
    labelled::labelled,
    page::{self, Layout},
};
use crate::{
    display,
    extract::{ChannelId, Form, Query},
    notify::Channel,
    query::parameter::{self, is_default},
    refusal::Refusal,
    scoped_fleet::{ChannelEntry, ScopedFleet},
    url::Url,
    view::channels::{self, DeliveryLine, Filled, Input, KINDS},
};

/// Deliveries on a page: two screens.
const SHOWN: usize = 50;

/// What became of notifications, as pages list it.
struct Deliveries {
    lines: Vec<DeliveryLine>,
    total: usize,
}

impl Deliveries {
    async fn of(scoped: &ScopedFleet, channel: &str) -> Result<Self, Refusal> {
        let (deliveries, total) = scoped.deliveries(channel, SHOWN).await?;
        Ok(Self { lines: deliveries.iter().map(DeliveryLine::of).collect(), total })
    }

    /// How many are shown, where that is not all.
    fn cut(&self) -> Option<String> {
        let shown = self.lines.len();
        (self.total > shown).then(|| format!("the first {shown} of {}", display::count(self.total as u64)))
    }
}

/// The page of all channels.
#[derive(Template)]
#[template(path = "channels.html")]
struct ChannelsPage {
    layout: Layout,
    tabs: Tabs,
    channels: Vec<ChannelEntry>,
    deliveries: Deliveries,
}

impl ChannelsPage {
    /// The kinds with the form of each.
    fn kinds(&self) -> Vec<(&'static str, Url)> {
        let link = |(kind, label): (&'static str, &'static str)| {
            let query = NewChannelQuery { kind: kind.to_owned() };
            (label, Url::new_channel().with(&query))
        };
        KINDS.map(link).into()
    }
}

/// The page of all channels.
pub(crate) async fn page(layout: Layout, scoped: ScopedFleet) -> Result<Response, Refusal> {
    let (channels, deliveries) = (scoped.channels().await?, Deliveries::of(&scoped, "").await?);
    page::render(&ChannelsPage { layout, tabs: Tabs { current: "Channels" }, channels, deliveries })
}

/// A channel as its form has it.
#[derive(Debug, Clone, Default)]
struct ChannelForm {
    id: String,
    name: String,
    kind: String,
    fallback: String,
    revision: u64,
    has_secret: bool,
    fields: Vec<Filled>,
}

impl ChannelForm {
    /// The kind as pages call it.
    fn label(&self) -> &'static str {
        channels::label(&self.kind)
    }

    fn of(entry: ChannelEntry) -> Self {
        Self {
            fields: channels::of_channel(&entry.channel),
            kind: entry.channel.means.kind().to_owned(),
            name: entry.channel.name,
            fallback: entry.channel.fallback.unwrap_or_default(),
            id: entry.id,
            revision: entry.revision,
            has_secret: entry.has_secret,
        }
    }

    fn filled_in(form: &Form) -> Self {
        let kind = form.field("kind");
        let value = |field: &channels::Field| match field.input {
            Input::Secret => String::new(),
            _ => form.field(field.name),
        };
        let filled = |field: &channels::Field| Filled { field: *field, value: value(field) };
        Self {
            fields: channels::fields(&kind).iter().map(filled).collect(),
            id: form.field("id"),
            name: form.field("name"),
            fallback: form.field("fallback"),
            revision: form.field("revision").parse().unwrap_or_default(),
            has_secret: form.is_ticked("has_secret"),
            kind,
        }
    }
}

/// The page of one channel, or of a new one.
#[derive(Template)]
#[template(path = "channel.html")]
struct ChannelPage {
    layout: Layout,
    tabs: Tabs,
    is_new: bool,
    form: ChannelForm,
    /// Channels that it can fall back to.
    others: Vec<String>,
    /// Why it was not saved.
    problem: Option<Refusal>,
    /// Why nothing can be delivered to it as it is saved; empty where nothing is known against it.
    obstacle: String,
    /// What became of a test, and the colour of that.
    tested: Option<(String, &'static str)>,
    deliveries: Deliveries,
}

impl ChannelPage {
    async fn of(
        layout: Layout,
        scoped: &ScopedFleet,
        form: ChannelForm,
        is_new: bool,
    ) -> Result<Self, Refusal> {
        let others = scoped.channels().await?.into_iter().filter(|other| other.channel.hears_of_alerts());
        let others = others.map(|other| other.id).filter(|id| *id != form.id).collect();
        let deliveries = match is_new {
            true => Deliveries { lines: Vec::new(), total: 0 },
            false => Deliveries::of(scoped, &form.id).await?,
        };
        let tabs = Tabs { current: "Channels" };
        let obstacle = String::new();
        Ok(Self { layout, tabs, is_new, form, others, problem: None, obstacle, tested: None, deliveries })
    }
}

/// The query of the form for a new channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NewChannelQuery {
    /// Its kind.
    #[serde(with = "parameter", skip_serializing_if = "is_default")]
    pub kind: String,
}

/// The form for a new channel.
pub(crate) async fn new_channel(
    layout: Layout,
    scoped: ScopedFleet,
    Query(NewChannelQuery { kind }): Query<NewChannelQuery>,
) -> Result<Response, Refusal> {
    let kind = if channels::fields(&kind).is_empty() { KINDS[0].0.to_owned() } else { kind };
    let empty = |field: &channels::Field| Filled { field: *field, value: String::new() };
    let fields = channels::fields(&kind).iter().map(empty).collect();
    let form = ChannelForm { kind, fields, ..ChannelForm::default() };
    page::render(&ChannelPage::of(layout, &scoped, form, true).await?)
}

/// The page of one channel.
pub(crate) async fn channel(
    layout: Layout,
    scoped: ScopedFleet,
    ChannelId(id): ChannelId,
) -> Result<Response, Refusal> {
    let entry = scoped.channel(&id).await?;
    // Settings are named in backticks in terminals and logs.
    let obstacle = scoped.obstacle_of(&entry.channel).unwrap_or_default().replace('`', "");
    let page = ChannelPage::of(layout, &scoped, ChannelForm::of(entry), false).await?;
    page::render(&ChannelPage { obstacle, ..page })
}

/// Saves the channel of the form, removes or tries it, as the button says; one that is none stays in the form.
pub(crate) async fn change(layout: Layout, scoped: ScopedFleet, form: Form) -> Result<Response, Refusal> {
    let filled = ChannelForm::filled_in(&form);
    let done = match form.field("do").as_str() {
        "test" => return test(layout, &scoped, &filled.id).await,
        "remove" => scoped.remove_channel(&filled.id, Some(filled.revision)).await.map(|()| Url::channels()),
        _ => save(&scoped, &filled, &form).await.map(|()| Url::channel(&filled.id)),
    };
    match done {
        Ok(url) => Ok(Redirect::to(&url.to_string()).into_response()),
        Err(problem) if matches!(problem.status, StatusCode::BAD_REQUEST | StatusCode::CONFLICT) => {
            let problem = labelled(problem, |field| channels::label_of(&filled.kind, field));
            let (status, is_new) = (problem.status, filled.revision == 0);
            let page = ChannelPage::of(layout, &scoped, filled, is_new).await?;
            let page = ChannelPage { problem: Some(problem), ..page };
            Ok((status, page::render(&page)?).into_response())
        }
        Err(problem) => Err(problem),
    }
}

async fn save(scoped: &ScopedFleet, filled: &ChannelForm, form: &Form) -> Result<(), Refusal> {
    let means = channels::read(&filled.kind, |name| form.field(name)).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, error, "docs/notifications.md has every field")
    })?;
    let fallback = Some(filled.fallback.clone()).filter(|fallback| !fallback.is_empty());
    let channel = Channel { name: filled.name.clone(), means, fallback };
    scoped.save_channel(&filled.id, channel, Some(filled.revision)).await.map(|_| ())
}

async fn test(layout: Layout, scoped: &ScopedFleet, id: &str) -> Result<Response, Refusal> {
    let tested = channels::tested(scoped.test_channel(id).await?.as_ref());
    let form = ChannelForm::of(scoped.channel(id).await?);
    let page = ChannelPage::of(layout, scoped, form, false).await?;
    page::render(&ChannelPage { tested: Some(tested), ..page })
}

/// Sends again what could not be delivered.
pub(crate) async fn deliver_again(scoped: ScopedFleet, form: Form) -> Result<Response, Refusal> {
    scoped.deliver_again(&form.field("id")).await?;
    Ok(Redirect::to(&Url::channels().at("deliveries").to_string()).into_response())
}
