//! What an agent can be told: a TOML file, flags, FLEETPS_… variables.
