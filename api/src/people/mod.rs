//! Who may ask: people, how each is recognised, and what ends that.
//!
//! `person` is whoever asks; `identify` finds out for every request and lets nobody in where nobody is recognised.

pub mod identify;
pub mod person;

pub use person::{FormToken, Grant, Person, Role};
