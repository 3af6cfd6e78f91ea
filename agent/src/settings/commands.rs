//! The settings of commands: what the owner of a host lets the fleet do there. The control helper reads them from the file
//! alone, so that neither the agent nor a variable changes them.

use std::path::PathBuf;

use fleetps_nats::{bounds, command::MAX_OUTPUT_LINES};

use crate::policy::{Policy, SignalRule, UnitRule};

/// The most lines of each kind.
const MAX_RULES: usize = 100;
const RULES: &str = "each is compared with every command; a pattern may stand for many units";

fleetps_nats::settings! {
    /// What the fleet may do on this host.
    #[derive(Eq)]
    pub struct CommandSettings in "control" {
        /// Whether commands are taken at all. That takes the control helper, too, and a control key in [remote].
        pub enabled: bool = false;
        /// Units that the fleet may start, stop, restart or reload, a line each: the verbs or *, then a unit in whose name * stands
        /// for anything, as in "restart,reload nginx.service" or "* app-*.service".
        pub units: Vec<UnitRule> = Vec::new(), in bounds::length(0..=MAX_RULES, RULES);
        /// Processes that the fleet may signal, a line each: the signals or *, then user:NAME, unit:PATTERN or both, as in
        /// "TERM,HUP user:www-data" or "* unit:app-*.service".
        pub signals: Vec<SignalRule> = Vec::new(), in bounds::length(0..=MAX_RULES, RULES);
        /// How many of the last lines that a unit wrote to the journal are told to whoever started, stopped, restarted or reloaded it;
        /// 0 for none. People see them who may see command lines of this host.
        pub output_lines: usize = 10, in bounds::number(0..=MAX_OUTPUT_LINES, "a page has room for these");
        /// The socket of the control helper.
        pub socket: PathBuf = PathBuf::from("/run/fleetps-control/socket");
    }
}

impl CommandSettings {
    /// The rules, by which is decided.
    pub fn policy(&self) -> Policy {
        Policy { is_enabled: self.enabled, units: self.units.clone(), signals: self.signals.clone() }
    }
}
