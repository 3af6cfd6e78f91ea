//! The web layer from outside: pages by selector, JSON by value, streams as streams, and all of it in a browser.

mod browser;
mod hostile;
mod json;
mod live;
mod pages;
mod pipeline;
mod support;
