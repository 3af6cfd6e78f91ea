//! Extractors: what handlers take from a request as typed arguments.

mod form;
mod header;
mod json_body;
mod next;
mod path;
mod query;
mod signed_in;
mod visit;

pub(crate) use form::{Form, field};
pub(crate) use header::header_text;
pub(crate) use json_body::{JsonBody, JsonShape};
pub(crate) use next::{NextQuery, own_page, with_next};
pub(crate) use path::{
    AlertId, ChannelId, CommandPath, DeliveryId, Host, ProcessPath, RuleId, SilenceId, UnitPath,
};
pub(crate) use query::Query;
pub(crate) use signed_in::{SignedIn, accounts};
