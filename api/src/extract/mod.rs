//! Extractors: what handlers take from a request as typed arguments.

mod form;
mod next;
mod signed_in;
mod visit;

pub use form::{Form, field};
pub use next::{own_page, with_next};
pub use signed_in::{Confirmed, SignedIn, accounts};
