//! The layers around all routes, from the outside in: `observe` gives each request an id and counts its time, `guard` checks
//! host and origin and sets the headers that protect pages, `authenticate_host` and `authenticate` find the principal,
//! `absence` says that the broker is away, `error_pages` renders refusals as pages
//! or JSON, `admit` checks CSRF token, address and rate, `typed_times` makes times exact that somebody typed, and `authorize` asks
//! the rules about the route's action.

pub mod absence;
pub mod admit;
pub mod authenticate;
pub mod authenticate_host;
pub mod authorize;
pub mod error_pages;
pub mod guard;
pub mod observe;
pub mod typed_times;
