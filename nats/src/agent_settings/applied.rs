//! What a host reports of the settings in force there.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};

use super::{AskedOfAgent, Setting};

/// The longest report of why a frame was not believed, in bytes.
const MAX_PROBLEM_BYTES: usize = 256;

/// The settings in force on a host, as its agent says. Every text of it is hostile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Applied {
    /// The revision of the frame in force; absent where none is.
    pub revision: Option<i64>,
    /// The values in force.
    pub in_force: AskedOfAgent,
    /// The settings that are asked in vain: the host's own file says so.
    #[serde(deserialize_with = "known")]
    pub pinned: BTreeSet<Setting>,
    /// The settings that the host's own file or command line sets to something else than the default.
    #[serde(deserialize_with = "known")]
    pub own: BTreeSet<Setting>,
    /// Whether the host pinned a control key; otherwise nothing can be asked of it.
    pub is_controlled: bool,
    /// Why the last frame was not believed; absent after one that was.
    pub problem: Option<String>,
    /// How often the host is sampled for those who watch, in whole seconds, where it is less often than they wish: a sample takes
    /// more of a core than an agent spends. Absent otherwise.
    pub slowed_to_s: Option<u64>,
}

/// The settings of these names. Those that only a later version has are left out.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Setting>, D::Error> {
    let names = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(names.into_iter().filter_map(|name| serde_json::from_value(name).ok()).collect())
}

impl Applied {
    /// The same without values that are out of range and with texts of bounded length: a report comes from a host.
    #[must_use]
    pub fn within_limits(mut self) -> Self {
        let mut in_force = AskedOfAgent::default();
        for setting in Setting::ALL {
            let value = self.in_force.value(setting);
            // A list of a host's own file may be longer than one that can be asked.
            let _ = in_force.set(setting, &value);
        }
        self.in_force = in_force;
        if let Some(problem) = &mut self.problem {
            problem.truncate(problem.floor_char_boundary(MAX_PROBLEM_BYTES));
        }
        self
    }
}
