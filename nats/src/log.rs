//! Log set-up, the same in every program: to standard error, filtered by `FLEETPS_LOG`.

use std::{env, io};

use tracing_subscriber::EnvFilter;

use crate::output;

/// The variable with the log filter: a level such as `debug`, or directives such as `warn,fleetps_nats=debug`.
pub const VARIABLE: &str = "FLEETPS_LOG";
/// The agent's log variable before 0.2; read for one release where [`VARIABLE`] is not set.
pub const OLD_AGENT_VARIABLE: &str = "RUST_LOG";

/// Starts the log. `default` is the filter where [`VARIABLE`] is not set or cannot be parsed; `old_variable` is a name
/// that is still read, with a warning.
pub fn start(default: &str, old_variable: Option<&str>) {
    let filter = Filter::from_variables(default, old_variable, |name| env::var(name).ok());
    tracing_subscriber::fmt()
        .with_env_filter(filter.directives)
        .with_writer(io::stderr)
        .with_ansi(output::may_be_coloured())
        // Without a reader of standard error, reporting a failed write there would panic.
        .log_internal_errors(false)
        .init();
    if let Some(warning) = filter.warning {
        tracing::warn!("{warning}");
    }
}

/// The filter in force, and what to tell the operator about it.
struct Filter {
    directives: EnvFilter,
    warning: Option<String>,
}

impl Filter {
    fn from_variables(
        default: &str,
        old_variable: Option<&str>,
        read: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let renamed = |old: &str| format!("the variable {old} is now {VARIABLE}; set that instead");
        let current = read(VARIABLE).map(|value| (VARIABLE, value, None));
        let old = || old_variable.and_then(|old| Some((old, read(old)?, Some(renamed(old)))));
        let Some((name, value, warning)) = current.or_else(old) else {
            return Self { directives: EnvFilter::new(default), warning: None };
        };
        match EnvFilter::try_new(&value) {
            Ok(directives) => Self { directives, warning },
            Err(error) => {
                let problem =
                    format!("{name} = {value:?} is not a log filter ({error}); {default:?} is used");
                Self { directives: EnvFilter::new(default), warning: Some(problem) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(given: &[(&str, &str)]) -> (String, Option<String>) {
        let read =
            |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let filter = Filter::from_variables("info", Some(OLD_AGENT_VARIABLE), read);
        (filter.directives.to_string(), filter.warning)
    }

    #[test]
    fn the_log_variable_is_read_under_its_old_name_with_a_warning() {
        assert_eq!(filter(&[]), ("info".to_owned(), None));
        assert_eq!(filter(&[("FLEETPS_LOG", "warn"), ("RUST_LOG", "debug")]), ("warn".to_owned(), None));
        let (directives, warning) = filter(&[("RUST_LOG", "debug")]);
        assert_eq!(directives, "debug");
        assert!(warning.unwrap().contains("FLEETPS_LOG"));
    }

    #[test]
    fn a_log_filter_that_cannot_be_parsed_is_named_and_the_default_is_used() {
        let (directives, warning) = filter(&[("FLEETPS_LOG", "a=b=c")]);
        assert_eq!(directives, "info");
        assert!(warning.unwrap().contains("FLEETPS_LOG = \"a=b=c\""));
    }
}
