//! `/api/v1/alerts/routes`: where notifications go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::{Answer, Time, shape},
    extract::{JsonBody, JsonShape},
    notify::Route,
    refusal::Refusal,
    scoped_fleet::{Routes, ScopedFleet},
};

/// The routes by which notifications go to channels.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AlertRoutes {
    /// In the order in which they are asked.
    routes: Vec<Route>,
    /// Grows with every change; 0 until there is one.
    revision: u64,
    changed_by: Option<String>,
    changed_at: Option<Time>,
}

shape!(AlertRoutes);

/// Routes as they are sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutesBody {
    /// All of them, in the order in which they are asked.
    routes: Vec<Route>,
    /// The revision that they replace; another one is refused. 0 where there are none yet.
    #[serde(default)]
    revision: Option<u64>,
}

impl JsonShape for RoutesBody {
    const NAME: &'static str = "list of routes";
    const EXAMPLE: &'static str =
        "{\"routes\": [{\"matcher\": {\"severity\": \"critical\"}, \"channels\": [\"pager\"]}]}";
}

fn answer(routes: Routes) -> Answer<AlertRoutes> {
    let Routes { routes, revision, changed } = routes;
    let (changed_by, changed_at) = changed.map(|(who, at_us)| (who, Time(at_us))).unzip();
    Answer::of(&AlertRoutes { routes, revision, changed_by, changed_at })
}

/// `GET /api/v1/alerts/routes`: all routes.
pub(crate) async fn list(scoped: ScopedFleet) -> Result<Answer<AlertRoutes>, Refusal> {
    Ok(answer(scoped.routes_in_force().await?))
}

/// `PUT /api/v1/alerts/routes`: saves all routes.
pub(crate) async fn save(
    scoped: ScopedFleet,
    JsonBody(RoutesBody { routes, revision }): JsonBody<RoutesBody>,
) -> Result<Answer<AlertRoutes>, Refusal> {
    Ok(answer(scoped.save_routes(routes, revision).await?))
}
