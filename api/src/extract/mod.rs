//! Extractors: what handlers take from a request as typed arguments.

mod form;
mod next;
mod path;
mod query;
mod signed_in;
mod visit;

pub use form::{Form, field};
pub use next::{NextQuery, own_page, with_next};
pub use path::{Host, ProcessPath, RuleId};
pub use query::Query;
pub use signed_in::{Confirmed, SignedIn, accounts};
