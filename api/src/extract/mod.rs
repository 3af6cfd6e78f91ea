//! Extractors: what handlers take from a request as typed arguments.

mod form;
mod header;
mod json_body;
mod next;
mod path;
mod query;
mod signed_in;
mod visit;

pub use form::{Form, field};
pub use header::header_text;
pub use json_body::{JsonBody, JsonShape};
pub use next::{NextQuery, own_page, with_next};
pub use path::{AlertId, ChannelId, CommandPath, DeliveryId, Host, ProcessPath, RuleId, SilenceId, UnitPath};
pub use query::Query;
pub use signed_in::{SignedIn, accounts};
