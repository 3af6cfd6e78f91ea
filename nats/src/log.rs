//! Log set-up, the same in every program: to standard error, filtered by `FLEETPS_LOG`, as text or as one line of JSON for
//! each event.

use std::{
    env,
    fmt::{self, Write},
    io,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{DefaultFields, Format, Full, Json, JsonFields, Writer},
    },
    registry::LookupSpan,
};

use crate::output;

/// Whether the log is JSON: settings are read after it has begun.
static IS_JSON: AtomicBool = AtomicBool::new(false);
/// The variable with the format, which is read before the settings are.
const FORMAT_VARIABLE: &str = "FLEETPS_LOG_FORMAT";

/// The variable with the log filter: a level such as `debug`, or directives such as `warn,fleetps_nats=debug`.
pub const VARIABLE: &str = "FLEETPS_LOG";
/// The agent's log variable before 0.2; read for one release where [`VARIABLE`] is not set.
pub const OLD_AGENT_VARIABLE: &str = "RUST_LOG";

/// Writes the log as JSON from now on, or as text.
pub fn set_json(is_json: bool) {
    IS_JSON.store(is_json, Relaxed);
}

/// Starts the log. `default` is the filter where [`VARIABLE`] is not set or cannot be parsed; `old_variable` is a name
/// that is still read, with a warning.
pub fn start(default: &str, old_variable: Option<&str>) {
    let filter = Filter::from_variables(default, old_variable, |name| env::var(name).ok());
    IS_JSON.store(env::var(FORMAT_VARIABLE).is_ok_and(|format| format == "json"), Relaxed);
    tracing_subscriber::fmt()
        .with_env_filter(filter.directives)
        .with_writer(io::stderr)
        .with_ansi(output::may_be_coloured())
        // Without a reader of standard error, reporting a failed write there would panic.
        .log_internal_errors(false)
        .fmt_fields(Fields)
        .event_format(Events::default())
        .init();
    if let Some(warning) = filter.warning {
        tracing::warn!("{warning}");
    }
}

/// Writes an event in the format that is set.
struct Events {
    text: Format<Full>,
    json: Format<Json>,
}

impl Default for Events {
    fn default() -> Self {
        let json = Format::default().json().with_current_span(true).with_span_list(false);
        Self { text: Format::default(), json }
    }
}

impl<S, N> FormatEvent<S, N> for Events
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if !IS_JSON.load(Relaxed) {
            return self.text.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.json.format_event(context, Writer::new(&mut line), event)?;
        write_plain(&mut writer, &line)
    }
}

/// Writes a line of JSON with escapes for what a reader may take for an end of line or a terminal for a command. All of it can
/// only stand in strings.
fn write_plain(writer: &mut impl Write, line: &str) -> fmt::Result {
    let is_treacherous = |character: char| matches!(character, '\u{7f}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    for character in line.chars() {
        match is_treacherous(character) {
            true => write!(writer, "\\u{:04x}", u32::from(character))?,
            false => writer.write_char(character)?,
        }
    }
    Ok(())
}

/// Writes the fields of a span in the format that is set.
struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        match IS_JSON.load(Relaxed) {
            true => JsonFields::new().format_fields(writer, fields),
            false => DefaultFields::new().format_fields(writer, fields),
        }
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        // Nothing is added to a span later on: each has its fields from the beginning.
        self.format_fields(current.as_writer(), fields)
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

    #[test]
    fn a_line_of_json_stays_one_line_for_every_reader() {
        let mut written = String::new();
        write_plain(&mut written, "{\"message\":\"é\\n\u{85}\u{9b}2J\u{2028}\u{202e}x\u{7f}\"}\n").unwrap();
        assert_eq!(written, "{\"message\":\"é\\n\\u0085\\u009b2J\\u2028\\u202ex\\u007f\"}\n");
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read["message"], "é\n\u{85}\u{9b}2J\u{2028}\u{202e}x\u{7f}");
    }

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
