//! What every request and every answer passes: `guard` lets in what is meant for this server and sets the headers
//! that protect its pages, `faces` dresses refusals as pages or JSON.

pub mod faces;
pub mod guard;
