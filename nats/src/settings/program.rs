//! Which settings a program has.

use std::path::PathBuf;

use super::declare::RoomInfo;

/// A program, as far as its settings go.
pub trait Program: 'static {
    /// The rooms whose settings it has, in the order of its help.
    const ROOMS: &'static [RoomInfo];
    /// Defaults of this program alone: section, key and value.
    const DEFAULTS: &'static [(&'static str, &'static str, &'static str)] = &[];
    /// Defaults that the program computes from other settings: section, key and what it computes, for its help.
    const COMPUTED_DEFAULTS: &'static [(&'static str, &'static str, &'static str)] = &[];
    /// Flags that only hold without a subcommand, because subcommands have others of that name.
    const LOCAL_FLAGS: &'static [&'static str] = &[];
    /// Variables `FLEETPS_…` that are no settings and that it reads by itself.
    const OTHER_VARIABLES: &'static [&'static str] = &[];

    /// The settings file where none is named.
    fn default_file() -> Option<PathBuf> {
        None
    }
}
