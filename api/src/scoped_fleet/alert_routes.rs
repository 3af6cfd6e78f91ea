//! The routes by which notifications go to channels: one list, because their order matters, for administrators of every host.

use axum::http::StatusCode;
use fleetps_nats::{audit::Outcome, now_us};

use super::{
    ScopedFleet,
    channels::{ChannelEntry, bad_record, hears_nothing},
};
use crate::{
    display,
    notify::{BadChannel, Route, RouteList, built_in_route},
    refusal::Refusal,
};

/// The longest list that the audit writes down, in characters.
const MAX_AUDITED: usize = 4_000;

/// All routes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Routes {
    /// In the order in which they are asked.
    pub routes: Vec<Route>,
    /// Grows with every change; 0 until there is one.
    pub revision: u64,
    /// Who changed them last, and when in µs since 1970 UTC.
    pub changed: Option<(String, i64)>,
}

impl ScopedFleet {
    /// The routes.
    ///
    /// # Errors
    /// When the person may not, or the broker does not answer.
    pub(crate) async fn routes(&self) -> Result<Routes, Refusal> {
        self.may_manage()?;
        let records = self.records()?;
        let list = self.ask_broker("read the routes", records.routes()).await?;
        Ok(list.map_or_else(Routes::default, |list| Routes {
            revision: list.revision,
            changed: Some((list.value.changed_by, list.value.changed_at_us)),
            routes: list.value.routes,
        }))
    }

    /// The routes that hold: without a saved list, the built-in one. Whoever saves what this says changes nothing.
    ///
    /// # Errors
    /// When the person may not, or the broker does not answer.
    pub(crate) async fn routes_in_force(&self) -> Result<Routes, Refusal> {
        let saved = self.routes().await?;
        if saved.revision > 0 {
            return Ok(saved);
        }
        let channels = self.channels().await?;
        let built_in = built_in_route(channels.iter().map(|entry| (entry.id.as_str(), &entry.channel)));
        Ok(Routes { routes: built_in.into_iter().collect(), ..saved })
    }

    /// Saves all routes, and writes down what they were and became. `replaces` is the revision that they replace, where another
    /// one is to be refused.
    ///
    /// # Errors
    /// When a route is wrong or names a channel that there is not or that hears of no alert, they were changed meanwhile, the
    /// person may not, or the broker refuses.
    pub(crate) async fn save_routes(
        &self,
        routes: Vec<Route>,
        replaces: Option<u64>,
    ) -> Result<Routes, Refusal> {
        let before = self.routes().await?;
        let channels = self.channels().await?;
        if let Some(problem) = routes.iter().find_map(|route| problem_of(route, &channels)) {
            return Err(bad_record(BadChannel { field: "channels", problem }));
        }
        if replaces.is_some_and(|replaces| replaces != before.revision) {
            return Err(conflict());
        }
        let list = RouteList { routes, changed_by: self.person.name.clone(), changed_at_us: now_us() };
        let records = self.records()?;
        let revision = (before.revision > 0).then_some(before.revision);
        if !self.ask_records("save the routes", records.save_routes(&list, revision)).await? {
            return Err(conflict());
        }
        let what = format!("{} → {}", in_words(&before.routes), in_words(&list.routes));
        self.shared.audit_log.note(&self.person, "route.save", None, what, Outcome::Done);
        self.routes().await
    }
}

/// Why the route may not lead where it does; absent where it may.
fn problem_of(route: &Route, channels: &[ChannelEntry]) -> Option<String> {
    let escalated = route.escalate.iter().flat_map(|escalation| &escalation.channels);
    route.channels.iter().chain(escalated).find_map(|id| {
        match channels.iter().find(|entry| entry.id == *id) {
            None => Some(format!("there is no channel {:?}", display::cut(id, 64))),
            Some(entry) => (!entry.channel.hears_of_alerts()).then(|| hears_nothing(id)),
        }
    })
}

fn conflict() -> Refusal {
    let hint = "look at them again, and repeat the change";
    Refusal::new(StatusCode::CONFLICT, "the routes were changed meanwhile", hint)
}

fn in_words(routes: &[Route]) -> String {
    // Structs of texts can always be written.
    let text = serde_json::to_string(routes).unwrap_or_default();
    display::cut(&text, MAX_AUDITED).into_owned()
}
