//! The tabs above the pages of alerts.

use super::page::Layout;
use crate::url::Url;

/// Above the pages of alerts: which of them this is.
pub(super) struct Tabs {
    /// The label of this one.
    pub current: &'static str,
}

impl Tabs {
    /// The tabs that the person may open: what they are called, where they lead, whether this is it.
    pub(super) fn links(&self, layout: &Layout) -> Vec<(&'static str, Url, bool)> {
        let mut tabs =
            vec![("Now", Url::alerts()), ("History", Url::alert_history()), ("Rules", Url::alert_rules())];
        tabs.push(("Silences", Url::silences()));
        if layout.manages_channels() {
            tabs.push(("Routes", Url::alert_routes()));
            tabs.push(("Channels", Url::channels()));
        }
        tabs.into_iter().map(|(name, url)| (name, url, self.current == name)).collect()
    }
}
