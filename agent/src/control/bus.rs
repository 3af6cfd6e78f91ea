//! systemd over D-Bus: a connection for one command, and what it is asked.

use std::{collections::HashMap, time::Duration};

use fleetps_nats::command::{Reason, UnitAction, UnitName};
use serde::Serialize;
use zbus::{Connection, Message, OwnedObjectPath, OwnedVariant, connection::Builder, fdo};

use super::{refusal::Refusal, verdict::UnitState};

const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// How long each call may take: systemd answers in a millisecond, and a person waits.
const CALL_WITHIN: Duration = Duration::from_secs(2);
/// As `systemctl` does: a job that waits for the same unit makes room.
const MODE: &str = "replace";

/// A connection to systemd. Opened for each command, so that none outlives a restart of the bus.
#[derive(Debug)]
pub(super) struct Manager {
    connection: Connection,
    /// The connection that owns systemd's name; anybody can send a signal that looks like systemd's.
    owner: String,
}

impl Manager {
    /// Connects to the system's bus, or the one at `address`.
    pub(super) async fn open(address: Option<&str>) -> Result<Self, Refusal> {
        let builder = match address {
            Some(address) => Builder::address(address),
            None => Builder::system(),
        };
        let connecting = builder.method_timeout(CALL_WITHIN).build();
        let connection = match tokio::time::timeout(CALL_WITHIN, connecting).await {
            Ok(connection) => connection.map_err(|error| no_bus(&error.to_string()))?,
            Err(_) => return Err(no_bus("it does not answer")),
        };
        let bus = (BUS, BUS_PATH);
        let owner = call(&connection, bus, BUS, "GetNameOwner", &(SYSTEMD,)).await;
        let owner = owner.and_then(|message| message.body().deserialize::<String>());
        let owner = owner.map_err(|error| no_bus(&error.to_string()))?;
        Ok(Self { connection, owner })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// Asks for the signals of jobs.
    pub(super) async fn subscribe(&self) -> Result<(), Refusal> {
        self.manager("Subscribe", &()).await.map(drop)
    }

    /// Loads a unit, and reads its state.
    ///
    /// # Errors
    /// When there is no such unit.
    pub(super) async fn unit(&self, name: &UnitName) -> Result<UnitState, Refusal> {
        let loaded = self.manager("LoadUnit", &(name.as_str(),)).await?;
        let path: OwnedObjectPath = loaded.body().deserialize().map_err(|error| refusal(&error))?;
        let mut found = self.properties(&path, "org.freedesktop.systemd1.Unit").await?;
        if name.as_str().ends_with(".service") {
            // A mock or an old systemd may have none of them.
            found
                .extend(self.properties(&path, "org.freedesktop.systemd1.Service").await.unwrap_or_default());
        }
        let unit = UnitState::read(name, &found);
        let is_there = unit.load != "not-found";
        let missing = || Refusal::new(Reason::NoSuchUnit, format!("systemd knows no unit {name}"));
        is_there.then_some(unit).ok_or_else(missing)
    }

    /// Begins a job for the unit with this primary name: the job's path, or `None` where the answer was lost, so that nobody knows
    /// whether it has begun.
    pub(super) async fn begin(
        &self,
        action: UnitAction,
        unit: &str,
    ) -> Result<Option<OwnedObjectPath>, Refusal> {
        let method = match action {
            UnitAction::Start => "StartUnit",
            UnitAction::Stop => "StopUnit",
            UnitAction::Restart => "RestartUnit",
            UnitAction::Reload => "ReloadUnit",
        };
        let body = (unit, MODE);
        match call(&self.connection, (SYSTEMD, MANAGER_PATH), MANAGER, method, &body).await {
            Ok(answer) => answer.body().deserialize().map(Some).map_err(|error| refusal(&error)),
            Err(error) if is_lost(&error) => Ok(None),
            Err(error) => Err(refusal(&error)),
        }
    }

    async fn properties(
        &self,
        path: &OwnedObjectPath,
        interface: &str,
    ) -> Result<HashMap<String, OwnedVariant>, Refusal> {
        let place = (SYSTEMD, path.as_str());
        let answer = call(&self.connection, place, PROPERTIES, "GetAll", &(interface,)).await;
        let answer = answer.map_err(|error| refusal(&error))?;
        answer.body().deserialize().map_err(|error| refusal(&error))
    }

    /// Never with the flag that lets polkit ask a person: there is none.
    async fn manager<B: Serialize + zbus::wire::DynamicType>(
        &self,
        method: &str,
        body: &B,
    ) -> Result<Message, Refusal> {
        let answer = call(&self.connection, (SYSTEMD, MANAGER_PATH), MANAGER, method, body).await;
        answer.map_err(|error| refusal(&error))
    }
}

async fn call<B: Serialize + zbus::wire::DynamicType>(
    connection: &Connection,
    (destination, path): (&str, &str),
    interface: &str,
    method: &str,
    body: &B,
) -> zbus::Result<Message> {
    connection.call_method(Some(destination), path, Some(interface), method, body).await
}

fn no_bus(problem: &str) -> Refusal {
    Refusal::internal(format!("cannot reach systemd over D-Bus: {problem}"))
}

/// Whether the call may have been received although there is no answer.
fn is_lost(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::InputOutput(_) => true,
        zbus::Error::FDO(error) => matches!(
            **error,
            fdo::Error::NoReply(_)
                | fdo::Error::Timeout(_)
                | fdo::Error::TimedOut(_)
                | fdo::Error::Disconnected(_)
                | fdo::Error::IOError(_)
        ),
        _ => false,
    }
}

/// What an error of the bus or of systemd means.
fn refusal(error: &zbus::Error) -> Refusal {
    let reason = match error {
        zbus::Error::FDO(error) => match **error {
            fdo::Error::AccessDenied(_)
            | fdo::Error::AuthFailed(_)
            | fdo::Error::InteractiveAuthorizationRequired(_) => Reason::Denied,
            _ => Reason::Internal,
        },
        zbus::Error::MethodError(name, ..) => match name.as_str().rsplit('.').next() {
            Some("NoSuchUnit" | "LoadFailed") => Reason::NoSuchUnit,
            Some("UnitMasked" | "OnlyByDependency" | "JobTypeNotApplicable" | "TransactionIsDestructive") => {
                Reason::JobFailed
            }
            _ => Reason::Internal,
        },
        _ => Reason::Internal,
    };
    Refusal::new(reason, error.to_string())
}
