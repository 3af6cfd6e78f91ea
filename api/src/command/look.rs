//! How a unit of a host is. The host's control helper says it while commands are on; it is asked without a ticket, because nothing
//! is changed by it.

use std::time::Duration;

use async_nats::Client;
use fleetps_nats::{
    HostName,
    command::{Answer, Ask, Reason, Sight, Target, UnitName},
};

use super::line::{Line, NoAnswer};

/// systemd answers within milliseconds. A person waits.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);

/// It is not known how the unit is.
#[derive(Debug, thiserror::Error)]
pub enum NotLooked {
    /// The broker has not answered yet, or there is none.
    #[error("hosts cannot be asked yet")]
    NotKnown,
    /// The broker was there, and is not.
    #[error("{}", NoAnswer::BrokerAway)]
    BrokerAway,
    /// The host is not there, or says nothing.
    #[error("{0}")]
    NoAnswer(String),
    /// The host does not say it.
    #[error("{words}")]
    Refused {
        /// Why.
        reason: Reason,
        /// The reason as a sentence, and what else the host says; hostile.
        words: String,
    },
}

impl From<NoAnswer> for NotLooked {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::BrokerAway => Self::BrokerAway,
            NoAnswer::NotThere | NoAnswer::Silent | NoAnswer::Unreadable(_) => {
                Self::NoAnswer(error.to_string())
            }
        }
    }
}

/// Asks `host`.
pub(super) async fn look(client: &Client, host: &HostName, unit: UnitName) -> Result<Sight, NotLooked> {
    let question = Ask::Look { target: Target::Unit(unit) };
    match Line::to(client, host).ask(&question, LOOK_TIMEOUT).await? {
        Answer::Looked(sight) => Ok(sight.within_limits()),
        Answer::Refused { reason, detail } => Err(NotLooked::Refused {
            reason,
            words: format!("{} {detail}", reason.words()).trim().to_owned(),
        }),
        Answer::Ticket { .. } | Answer::Stage(_) => {
            Err(NotLooked::NoAnswer("the host answered something else".to_owned()))
        }
    }
}
