//! The routes of alerts, and of who is told of them.

use axum::http::Method;

use super::route::{Route, change_json, get, json, post, post_json};
use crate::{
    audit_log::AuditClass::{self, FailedChanges},
    authz::Permission::{ManageAlerts, ManageChannels, SeeHosts},
    handlers::{
        alert, alert_routes, alert_routes_json, alert_rules_json, alert_test_json, alerts, alerts_json,
        channels, channels_json, silences, silences_json,
    },
};

/// Alerts and their rules.
pub(super) fn of_alerts() -> Vec<Route> {
    vec![
        get("/alerts", SeeHosts, alerts::page),
        get("/alerts/live", SeeHosts, alerts::live),
        get("/alerts/history", SeeHosts, alerts::history),
        get("/alerts/acknowledge", SeeHosts, alert::acknowledge_page),
        post("/alerts/acknowledge", ManageAlerts, alert::acknowledge_all).audited(FailedChanges),
        get("/alerts/{id}", SeeHosts, alert::page),
        post("/alerts/{id}/acknowledge", ManageAlerts, alert::acknowledge).audited(FailedChanges),
        get("/alerts/rules", SeeHosts, alerts::rules),
        get("/alerts/rules/{id}", SeeHosts, alerts::rule),
        get("/alerts/new", SeeHosts, alerts::new_rule),
        post("/alerts/rules", ManageAlerts, alerts::change).audited(FailedChanges),
        json("/api/v1/alerts", SeeHosts, "The alerts that are open", alerts_json::open),
        json("/api/v1/alerts/history", SeeHosts, "What became of alerts", alerts_json::history),
        post_json(
            "/api/v1/alerts/{id}/acknowledge",
            ManageAlerts,
            "Says that one looks after an open alert",
            alerts_json::acknowledge,
        )
        .audited(FailedChanges),
        change_json(
            Method::DELETE,
            "/api/v1/alerts/{id}/acknowledge",
            ManageAlerts,
            "Takes an acknowledgement back",
            alerts_json::withdraw,
        ),
        json("/api/v1/alerts/rules", SeeHosts, "The rules of alerts", alert_rules_json::rules),
        post_json(
            "/api/v1/alerts/test",
            SeeHosts,
            "What a rule would have said in the past",
            alert_test_json::test,
        )
        .audited(AuditClass::Looks),
        change_json(
            Method::PUT,
            "/api/v1/alerts/rules/{id}",
            ManageAlerts,
            "Saves a rule; a built-in one of this id no longer counts",
            alert_rules_json::save,
        ),
        change_json(
            Method::DELETE,
            "/api/v1/alerts/rules/{id}",
            ManageAlerts,
            "Removes a saved rule; a built-in one of this id counts again",
            alert_rules_json::remove,
        ),
    ]
}

/// Channels of notifications, and what became of these.
pub(super) fn of_channels() -> Vec<Route> {
    const CHANNEL: &str = "/api/v1/alerts/channels/{id}";
    vec![
        get("/alerts/channels", ManageChannels, channels::page),
        get("/alerts/new-channel", ManageChannels, channels::new_channel),
        get("/alerts/channels/{id}", ManageChannels, channels::channel),
        post("/alerts/channels", ManageChannels, channels::change).audited(FailedChanges),
        post("/alerts/deliveries", ManageChannels, channels::deliver_again).audited(FailedChanges),
        json(
            "/api/v1/alerts/channels",
            ManageChannels,
            "The channels that notifications go to, without their secrets",
            channels_json::list,
        ),
        json(CHANNEL, ManageChannels, "A channel, without its secret", channels_json::one),
        change_json(
            Method::PUT,
            CHANNEL,
            ManageChannels,
            "Saves a channel; without a secret it keeps the one that it has",
            channels_json::save,
        ),
        change_json(
            Method::DELETE,
            CHANNEL,
            ManageChannels,
            "Removes a channel; what waits for it is not sent",
            channels_json::remove,
        ),
        post_json(
            "/api/v1/alerts/channels/{id}/test",
            ManageChannels,
            "Sends a test message, and says what became of it within 12 s",
            channels_json::test,
        )
        .audited(FailedChanges),
        json(
            "/api/v1/alerts/deliveries",
            ManageChannels,
            "What became of notifications, undeliverable ones first",
            channels_json::deliveries,
        ),
        post_json(
            "/api/v1/alerts/deliveries/{id}/again",
            ManageChannels,
            "Sends again what could not be delivered",
            channels_json::again,
        )
        .audited(FailedChanges),
    ]
}

/// Silences, and the routes by which notifications go to channels.
pub(super) fn of_silences() -> Vec<Route> {
    const SILENCES: &str = "/api/v1/alerts/silences";
    const ROUTES: &str = "/api/v1/alerts/routes";
    vec![
        get("/alerts/silences", SeeHosts, silences::page),
        get("/alerts/silences/new", SeeHosts, silences::page),
        post("/alerts/silences", ManageAlerts, silences::change).audited(FailedChanges),
        json(SILENCES, SeeHosts, "The silences and maintenance windows", silences_json::list),
        post_json(
            SILENCES,
            ManageAlerts,
            "Silences alerts for a time, or in hours of every week",
            silences_json::add,
        )
        .audited(FailedChanges),
        change_json(
            Method::DELETE,
            "/api/v1/alerts/silences/{id}",
            ManageAlerts,
            "Ends a silence now, or removes a maintenance window",
            silences_json::end,
        ),
        get("/alerts/routes", ManageChannels, alert_routes::page),
        get("/alerts/new-route", ManageChannels, alert_routes::new_route),
        get("/alerts/routes/{place}", ManageChannels, alert_routes::route),
        post("/alerts/routes", ManageChannels, alert_routes::change).audited(FailedChanges),
        json(
            ROUTES,
            ManageChannels,
            "The routes by which notifications go to channels",
            alert_routes_json::list,
        ),
        change_json(
            Method::PUT,
            ROUTES,
            ManageChannels,
            "Saves all routes, in the order in which they are asked",
            alert_routes_json::save,
        ),
    ]
}
