//! The part of Prometheus's query language that Grafana's own data source needs, answered from the history and the present.
//!
//! 1. `lex` and `parse` read a question into a tree (`ast`), with a column for everything that is not supported. `matcher` are
//!    its conditions on labels.
//! 2. `metric` is the table of metrics, each with the figure of the model that it is; `known` are the hosts that a question
//!    can be about.
//! 3. `question` says what is to be read for each selector: hosts, buckets of time, and whether the sums of hours are enough.
//! 4. `fetch` reads them, one query each (`fleetps_ingestor::history::Figures`), and adds what only the stream has yet
//!    (`present`). `window` makes buckets values at each step.
//! 5. `evaluate` works out the expression over these `series`, and `answer` writes it. `problem` is every refusal.
//!
//! **Not as Prometheus does.** A rate is the exact growth between samples over the host's monotonic time: nothing is
//! extrapolated, and growth counts in the window in which it was seen, so windows next to each other add up. A value is that
//! of the last snapshot until its host is silent, and not for five minutes. docs/grafana.md says more.
//!
//! **Limits.** Everything that a question can make large is bounded: its length, depth, parts, selectors, conditions,
//! steps, buckets, values and work. The history adds its turn, its rows and its deadline.

mod answer;
mod ast;
mod evaluate;
mod fetch;
mod known;
mod lex;
mod matcher;
pub(crate) mod metric;
mod parse;
mod present;
mod problem;
mod question;
mod series;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use answer::{instant, range, success};
pub(crate) use evaluate::Value;
pub(crate) use fetch::{Failure, answer, label_sets};
pub(crate) use known::KnownHosts;
pub(crate) use lex::duration_ms;
pub(crate) use parse::{NAME, parse_selectors};
pub(crate) use present::Present;
pub(crate) use problem::{Problem, refuse};
pub(crate) use question::{Question, Steps};
pub(crate) use series::Labels;
