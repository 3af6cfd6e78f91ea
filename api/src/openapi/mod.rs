//! The description of the JSON interface: an OpenAPI 3.1 document, made from the table of routes.
//!
//! Nothing is written down twice. A route below `/api/v1` is made by a constructor that takes its description from the
//! handler's own signature:
//!
//! * its arguments ([`Argument`]) say which parameters and which body it reads: the query's struct lists them with
//!   `parameters!`, and the compiler refuses a list that leaves a field out;
//! * its result ([`Answers`](crate::answer::Answers)) says what it answers: an [`Answer`](crate::answer::Answer) of a
//!   struct is made from such a struct only, and the struct's `JsonSchema` follows its `Serialize`;
//! * its action says who may ask, and with it which refusals there are.
//!
//! `operation` reads signatures, `document` writes the document, whole or as far as one person may use it, `outline` says a
//! schema in lines. The tests validate every answer that they get against it, and take a field that it does not have for a
//! mistake.

mod document;
mod operation;
mod outline;

pub use document::{Interface, Listed};
pub(crate) use operation::{Argument, Describe, Operation, Takes};
pub use outline::outline;
pub(crate) use outline::{Line, kind};
