//! Queries, the part of a URL behind the question mark: `read` makes them the struct of their page, `parameter` is how each
//! kind of value is read and written there, `order` what a table is sorted by.
//!
//! A query is written by [`Url::with`](crate::url::Url::with).

pub mod order;
pub mod parameter;
mod read;
#[cfg(test)]
mod round_trip_tests;

pub use parameter::BadParameter;
pub use read::read;
