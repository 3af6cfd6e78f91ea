//! Extractors: what handlers take from a request as typed arguments.

mod form;
mod header;
mod next;
mod path;
mod query;
mod signed_in;
mod visit;

pub use form::{Form, field};
pub use header::header_text;
pub use next::{NextQuery, own_page, with_next};
pub use path::{CommandPath, Host, ProcessPath, RuleId};
pub use query::Query;
pub use signed_in::{Confirmed, SignedIn, accounts};
