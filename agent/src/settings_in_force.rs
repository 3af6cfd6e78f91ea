//! What takes the settings that come with an answer, and says what is in force: how those who speak with the fleet see
//! [`Remote`](crate::remote::Remote).

use std::fmt::Debug;

use fleetps_nats::agent_settings::{Applied, SignedFrame};
use tokio::sync::watch;

/// The settings in force on this host.
pub(crate) trait SettingsInForce: Debug + Send + Sync {
    /// Whether this host takes settings from elsewhere.
    fn is_controlled(&self) -> bool;

    /// What is in force, followed.
    fn applied(&self) -> watch::Receiver<Applied>;

    /// Takes a frame that came with an answer, which may be the one in force.
    fn take_answer(&self, frame: Option<SignedFrame>);

    /// The revision of the last frame that was believed, 0 for none.
    fn last_revision(&self) -> i64;
}
