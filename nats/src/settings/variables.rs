//! The layer of the environment.

use std::{collections::BTreeMap, ffi::OsString};

use super::{
    declare::{RoomInfo, Setting, Takes},
    error::SettingsError,
    layers::{Given, Layers},
    names::{self, Declared, nearest},
    origin::Origin,
    program::Program,
};

/// The prefix of variables.
const PREFIX: &str = "FLEETPS_";
/// Variables of every program that are not settings: the settings file, the log filter.
const EVERYWHERE: [&str; 2] = ["FLEETPS_CONFIG", crate::log::VARIABLE];
/// Variables of building and testing, which programs do not read.
const DEVELOPMENT: [&str; 8] = [
    "FLEETPS_BENCH_",
    "FLEETPS_CI_",
    "FLEETPS_DUCKDB_",
    "FLEETPS_FETCH_",
    "FLEETPS_LIBDUCKDB_",
    "FLEETPS_REQUIRE_BROWSER",
    "FLEETPS_TARGET_DIR",
    "FLEETPS_TEST_",
];

impl Layers {
    /// Sets the settings in `variables` (name and value) over those of the file. An empty variable counts as unset. A
    /// variable that begins with `FLEETPS_` and is not a setting of this program causes a warning.
    ///
    /// # Errors
    /// When a setting cannot have the value.
    pub fn read_variables<P: Program>(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), SettingsError> {
        let named = variables.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let given: BTreeMap<String, OsString> =
            named.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty()).collect();
        for declared in names::all(self.rooms) {
            for name in variables_of(declared) {
                if let Some(value) = given.get(&name) {
                    self.set_variable(declared, &name, value)?;
                }
            }
        }
        for name in given.keys().filter(|name| !is_known::<P>(name)) {
            let known = known_names(P::ROOMS);
            let meant = nearest(name, known.iter().map(String::as_str));
            let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
            self.warn(format!("the variable {name} is not a setting of this program and is ignored{meant}"));
        }
        Ok(())
    }

    fn set_variable(
        &mut self,
        declared: Declared,
        name: &str,
        value: &OsString,
    ) -> Result<(), SettingsError> {
        let refused = |problem: &str| SettingsError::Value {
            origin: Origin::Variable(name.to_owned()),
            name: declared.name().to_string(),
            value: format!("{value:?}"),
            problem: problem.to_owned(),
        };
        let Some(text) = value.to_str() else { return Err(refused("expected Unicode")) };
        let cleared = match (clears(declared.setting, name), text.parse::<bool>()) {
            (true, Ok(is_cleared)) => Some((!is_cleared).to_string()),
            (true, Err(_)) => return Err(refused("expected true or false")),
            (false, _) => None,
        };
        let (room, key) = (declared.room, declared.setting.key);
        let text = Given::Text(cleared.as_deref().unwrap_or(text));
        self.set(room.section, key, text, Origin::Variable(name.to_owned()))
    }
}

/// Whether the variable `name` says the opposite of the setting, as `FLEETPS_NO_AGENT` does.
fn clears(setting: &Setting, name: &str) -> bool {
    setting.flag.is_some_and(|flag| matches!(flag.takes, Takes::Nothing(false)) && of_flag(flag.name) == name)
}

/// The variables of a setting: first its flag's, then the long one, which wins.
fn variables_of(Declared { room, setting }: Declared) -> impl Iterator<Item = String> {
    let short = setting.flag.map(|flag| of_flag(flag.name));
    let section = if room.section.is_empty() { String::new() } else { room.section.to_uppercase() + "__" };
    short.into_iter().chain([format!("{PREFIX}{section}{}", setting.key.to_uppercase())])
}

/// The variable of a flag.
pub(super) fn of_flag(flag: &str) -> String {
    PREFIX.to_owned() + &flag.to_uppercase().replace('-', "_")
}

fn known_names(rooms: &'static [RoomInfo]) -> Vec<String> {
    let everywhere = EVERYWHERE.map(str::to_owned);
    names::all(rooms).flat_map(variables_of).chain(everywhere).collect()
}

fn is_known<P: Program>(name: &str) -> bool {
    P::OTHER_VARIABLES.contains(&name)
        || DEVELOPMENT.iter().any(|known| name.starts_with(known))
        || known_names(P::ROOMS).iter().any(|known| known == name)
}
