//! The layers around all routes, from the outside in: `observe` gives each request an id and counts its time, `guard` checks
//! the host name and sets the headers that protect pages, `authenticate_host` and `authenticate` find the principal,
//! `absence` says that the broker is away, `error_pages` renders refusals as pages or JSON, `guard` checks the origin, `admit`
//! checks CSRF token, address and rate, `typed_times` makes times exact that somebody typed, and `authorize` asks the rules about
//! the route's action.

pub(crate) mod absence;
pub(crate) mod admit;
pub(crate) mod authenticate;
pub(crate) mod authenticate_host;
pub(crate) mod authorize;
pub(crate) mod error_pages;
pub(crate) mod guard;
pub(crate) mod observe;
pub(crate) mod typed_times;
