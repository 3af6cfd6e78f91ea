//! Placeholders in the texts of a blueprint.

use std::sync::Arc;

const SITES: [&str; 8] = ["shop", "blog", "api", "accounts", "search", "docs", "intranet", "media"];
const DATABASES: [&str; 5] = ["orders", "accounts", "catalogue", "events", "billing"];
const QUEUES: [&str; 6] = ["mail", "thumbnails", "invoices", "webhooks", "exports", "search-index"];
const CRATES: [&str; 10] =
    ["serde", "tokio", "syn", "hyper", "regex", "rustls", "axum", "arrow", "parser", "planner"];
const PEOPLE: [&str; 6] = ["ada", "grace", "linus", "margaret", "dennis", "barbara"];

/// The random values for placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Draw {
    /// The number of the copy, from 1.
    pub(super) copy: u32,
    /// The same for the whole host.
    pub(super) host: u64,
    /// The same for one service and what it starts.
    pub(super) service: u64,
    /// Another one for every process that starts.
    pub(super) process: u64,
    /// How many releases came after the first.
    pub(super) release: u32,
}

/// In a text, the release of a program: whoever has it is started anew when a new one comes.
pub(super) const RELEASE: &str = "{release}";
/// The minor number of the first one.
const FIRST_RELEASE: u32 = 18;

/// `text` with its placeholders filled in; the same text, shared, when it has none.
pub(super) fn fill(text: &Arc<str>, draw: Draw) -> Arc<str> {
    if !text.contains('{') {
        return Arc::clone(text);
    }
    let mut filled = text
        .replace("{n}", &draw.copy.to_string())
        .replace("{site}", of(&SITES, draw.service))
        .replace("{database}", of(&DATABASES, draw.service))
        .replace("{queue}", of(&QUEUES, draw.service))
        .replace("{crate}", of(&CRATES, draw.process))
        .replace("{person}", of(&PEOPLE, draw.host));
    if filled.contains(RELEASE) {
        filled = filled.replace(RELEASE, &format!("v4.{}.0", FIRST_RELEASE + draw.release));
    }
    if filled.contains("{hex}") {
        filled = filled.replace("{hex}", &format!("{:012x}", draw.process & 0xffff_ffff_ffff));
    }
    filled.into()
}

fn of(list: &'static [&'static str], number: u64) -> &'static str {
    list.get((number % list.len() as u64) as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_plain_text_is_shared() {
        let draw = Draw { copy: 3, host: 0, service: 1, process: 0xabc, release: 1 };
        let filled = fill(&"{person}@{site}-{n} {hex} {release}".into(), draw);
        assert_eq!(&*filled, "ada@blog-3 000000000abc v4.19.0");
        let plain: Arc<str> = "nginx".into();
        assert!(Arc::ptr_eq(&plain, &fill(&plain, draw)));
    }
}
