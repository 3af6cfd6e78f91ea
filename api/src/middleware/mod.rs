//! What every request and every answer passes, from the outside in: `guard` lets in what is meant for this server and sets
//! the headers that protect its pages, `authenticate` finds out who asks, `faces` dresses refusals as pages or JSON, `admit`
//! keeps out forged forms and too many requests, and `authorize` asks the rules whether the route is open to whoever asks.

pub mod admit;
pub mod authenticate;
pub mod authorize;
pub mod faces;
pub mod guard;
