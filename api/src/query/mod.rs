//! Queries, the part of a URL behind the question mark: `read` makes them the struct of their page, `parameter` is how each
//! kind of value is read and written there, `described` which parameters a query has, `order` what a table is sorted by.
//!
//! A query is written by [`Url::with`](crate::url::Url::with).

pub(crate) mod described;
pub(crate) mod order;
pub(crate) mod parameter;
mod read;
#[cfg(test)]
mod round_trip_tests;

pub(crate) use described::parameters;
pub(crate) use described::{Parameter, Parameters};
pub(crate) use parameter::BadParameter;
pub(crate) use read::read;
