//! Whether the DuckDB that the program found when it started is one that it was built for.

/// The pins of `build.rs`.
const BUILT_FOR: &str = env!("FLEETPS_DUCKDB_VERSION");

/// The library is of another version.
#[derive(Debug, thiserror::Error)]
#[error(
    "libduckdb is version {found}, and fleetps needs {BUILT_FOR}: remove the libduckdb beside the program, or build it \
     again"
)]
pub struct WrongLibrary {
    found: String,
}

/// Asks the library for its version. A newer one of the same interface (2.0.x) does.
///
/// # Errors
/// When it is of another version, or does not say.
pub fn check_library() -> Result<(), WrongLibrary> {
    let asked = duckdb::Connection::open_in_memory().and_then(|connection| connection.version());
    let found = asked.unwrap_or_else(|error| error.to_string());
    if fits(&found) { Ok(()) } else { Err(WrongLibrary { found }) }
}

fn fits(found: &str) -> bool {
    let interface = |version: &str| {
        version.trim_start_matches('v').rsplit_once('.').map(|(interface, _)| interface.to_owned())
    };
    interface(found) == interface(BUILT_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_of_these_tests_fits_and_others_do_not() {
        check_library().unwrap();
        assert!(fits("v2.0.7") && fits(BUILT_FOR));
        for other in ["v1.5.6", "v2.1.0", "v20.0.0", "", "no such function"] {
            assert!(!fits(other), "{other}");
        }
    }
}
