//! That every query is written as it is read, and read as it was written.

use fleetps_ingestor::history::{EventKind, TopBy, TopGroup};
use proptest::{prelude::*, sample::select};
use serde::{Serialize, de::DeserializeOwned};

use super::read;
use crate::{
    csv::InFormat,
    extract::NextQuery,
    handlers::{
        audit::AuditQuery,
        diff::DiffQuery,
        events::{EventsQuery, HostEventsQuery},
        metrics_json::{BreakdownQuery, MetricsQuery, SnapshotsQuery},
        process::ProcessPageQuery,
        process_json::{ProcessJsonQuery, ProcessMetricsQuery},
        processes_json::ListQuery,
        push::Live,
        sql::{CancelQuery, SqlQuery},
    },
    query::parameter::Value,
    url::Url,
    view::{
        Arrangement, Column,
        fleet::FleetQuery,
        query::ProcessQuery,
        search::SearchQuery,
        top::{GROUPS, ORDERS, TopQuery},
        travel::TimeQuery,
        when::SpanQuery,
    },
};

fn some_of(names: Vec<String>) -> BoxedStrategy<String> {
    prop::collection::vec(select(names), 1..4).prop_map(|names| names.join(",")).boxed()
}

fn names<T: Value>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.written()).collect()
}

fn count() -> BoxedStrategy<String> {
    (0_u32..25_000).prop_map(|count| count.to_string()).boxed()
}

fn text() -> BoxedStrategy<String> {
    prop_oneof![".{0,12}", "[a-z]{1,4} (=|>) \"?[a-z0-9: ]{1,6}\"?"].boxed()
}

fn length() -> BoxedStrategy<String> {
    ("[1-9][0-9]{0,3}", select(vec!["us", "ms", "s", "m", "h", "d"])).prop_map(|(n, unit)| n + unit).boxed()
}

fn time() -> BoxedStrategy<String> {
    let written = |(time_us, is_fine): (i64, bool)| {
        let precision = if is_fine { 6 } else { 0 };
        format!("{:.precision$}", jiff::Timestamp::from_microsecond(time_us).unwrap())
    };
    let at = (0_i64..4_000_000_000_000_000, any::<bool>()).prop_map(written);
    prop_oneof![Just("now".to_owned()), length().prop_map(|length| format!("-{length}")), at].boxed()
}

/// A value that the parameter can have, most of the time.
fn value(parameter: &str) -> BoxedStrategy<String> {
    match parameter {
        "at" | "from" | "to" => time(),
        "started" => prop_oneof![time(), any::<i32>().prop_map(|us| us.to_string())].boxed(),
        "range" => length(),
        "rows" | "limit" | "offset" | "points" | "parts" | "layers" | "question" => count(),
        "view" => select(names(Arrangement::ALL)).boxed(),
        "sort" => {
            select(names(Column::ALL)).prop_flat_map(|name| select(vec![format!("-{name}"), name])).boxed()
        }
        "cols" => some_of(names(Column::ALL)),
        "dir" => select(vec!["asc".to_owned(), "desc".to_owned()]).boxed(),
        "open" | "closed" => some_of((0..9).map(|pid| pid.to_string()).collect()),
        "by" => select(names::<TopBy>(ORDERS.map(|(by, ..)| by))).boxed(),
        "group" => select(names::<TopGroup>(GROUPS.map(|(group, ..)| group))).boxed(),
        "kind" => some_of(names(EventKind::ALL)),
        "include" => some_of(["command_line", "executable", "unit"].map(str::to_owned).into()),
        "of" => select(vec!["cpu".to_owned(), "memory".to_owned()]).boxed(),
        "format" => select(vec!["csv".to_owned(), "json".to_owned()]).boxed(),
        "host" => "[a-z]{1,5}-[0-9]".boxed(),
        _ => text(),
    }
}

const PARAMETERS: [&str; 33] = [
    "at", "from", "to", "range", "started", "rows", "limit", "offset", "points", "parts", "layers",
    "question", "view", "sort", "cols", "dir", "open", "closed", "by", "group", "kind", "include", "of",
    "format", "host", "who", "action", "q", "sql", "next", "since", "q", "other",
];

/// Some of these parameters with values.
fn queries(parameters: &'static [&'static str]) -> impl Strategy<Value = String> {
    let pair = select(parameters).prop_flat_map(|name| (Just(name), value(name)));
    prop::collection::vec(pair, 0..8)
        .prop_map(|pairs| Url::fleet().with(&pairs).to_string()[1..].replace('?', ""))
}

fn stays<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(
    text: &str,
) -> Result<(), TestCaseError> {
    let Ok(query) = read::<T>(text) else { return Ok(()) };
    let written = serde_html_form::to_string(&query).unwrap();
    prop_assert_eq!(read::<T>(&written), Ok(query), "{} of {}", written, text);
    Ok(())
}

/// Each query with the name of its test.
macro_rules! round_trips {
    ($($name:ident: $query:ty;)*) => {
        proptest! {
            $(#[test]
            fn $name(text in queries(parameters::<$query>())) {
                stays::<$query>(&text)?;
            })*
        }

        #[test]
        fn a_query_without_parameters_is_as_usual_and_what_is_usual_is_not_written() {
            $({
                let usual = <$query>::default();
                assert_eq!(serde_html_form::to_string(&usual).unwrap(), "", stringify!($query));
                assert_eq!(read::<$query>(""), Ok(usual), stringify!($query));
            })*
        }
    };
}

/// The parameters that `T` can read any value of: what it does not know it leaves alone, unless it refuses it.
fn parameters<T: DeserializeOwned>() -> &'static [&'static str] {
    let refuses = read::<T>("other=1").is_err();
    if refuses { &["q", "sort", "dir", "limit", "offset", "include", "at", "format"] } else { &PARAMETERS }
}

round_trips! {
    the_query_of_processes_stays_as_it_is: ProcessQuery;
    the_query_of_their_live_updates_stays_as_it_is: Live<ProcessQuery>;
    the_query_of_hosts_stays_as_it_is: FleetQuery;
    the_query_of_a_top_stays_as_it_is: TopQuery;
    the_query_of_a_top_in_a_format_stays_as_it_is: InFormat<TopQuery>;
    the_query_of_events_stays_as_it_is: EventsQuery;
    the_query_of_events_in_a_format_stays_as_it_is: InFormat<EventsQuery>;
    the_query_of_a_hosts_events_stays_as_it_is: HostEventsQuery;
    the_query_of_a_search_stays_as_it_is: InFormat<SearchQuery>;
    the_query_of_the_audit_stays_as_it_is: InFormat<AuditQuery>;
    the_query_of_a_diff_stays_as_it_is: DiffQuery;
    the_query_of_a_moment_stays_as_it_is: TimeQuery;
    the_query_of_a_span_stays_as_it_is: InFormat<SpanQuery>;
    the_query_of_the_list_of_processes_stays_as_it_is: ListQuery;
    the_query_of_metrics_stays_as_it_is: InFormat<MetricsQuery>;
    the_query_of_a_breakdown_stays_as_it_is: InFormat<BreakdownQuery>;
    the_query_of_snapshots_stays_as_it_is: InFormat<SnapshotsQuery>;
    the_query_of_a_process_stays_as_it_is: ProcessPageQuery;
    the_query_of_a_process_in_json_stays_as_it_is: ProcessJsonQuery;
    the_query_of_a_processs_metrics_stays_as_it_is: InFormat<ProcessMetricsQuery>;
    the_query_of_the_console_stays_as_it_is: SqlQuery;
    the_query_of_a_cancellation_stays_as_it_is: CancelQuery;
    the_query_of_the_sign_in_stays_as_it_is: NextQuery;
}
