//! A demonstration: how many of the hosts do not exist, and what is to be found in their past.

use std::sync::Arc;

use fleetps_agent::simulate::{self, SimulatedPast, Story, StoryKind};
use fleetps_nats::HostName;

use crate::{
    display::time_exact,
    url::{HostTab, Url},
};

/// What is shown around a moment, in µs: some minutes before, and until it is over.
const BEFORE_US: i64 = 10 * 60_000_000;
const AFTER_US: i64 = 20 * 60_000_000;
/// Before a deployment on a host, and after it, in µs.
const DEPLOYED_WITHIN_US: i64 = 3 * 60_000_000;

/// A demonstration; a clone is the same.
#[derive(Debug, Clone)]
pub struct Demonstration {
    /// How many hosts are simulated.
    pub hosts: usize,
    stories: Arc<[Story]>,
}

/// Something to try, as a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// What it is.
    pub text: String,
    /// Where it is seen.
    pub href: Url,
}

impl Demonstration {
    /// A demonstration with so many hosts; without a past there is nothing to find yet.
    pub fn of(hosts: usize, past: Option<&SimulatedPast>) -> Self {
        let stories = past.map(|past| simulate::stories(hosts, past)).unwrap_or_default();
        Self { hosts, stories: stories.into() }
    }

    /// What there is to try on the hosts that somebody sees.
    pub fn trials(&self, sees: impl Fn(&HostName) -> bool) -> Vec<Trial> {
        self.stories.iter().filter(|story| sees(&story.host)).map(trial).collect()
    }
}

fn trial(story: &Story) -> Trial {
    let Story { kind, host, at_us } = story;
    let span = |tab: HostTab, from_us: i64, to_us: Option<i64>| {
        let to = to_us.map_or_else(|| "now".to_owned(), time_exact);
        Url::host(host.as_str(), tab).with(&[("from", time_exact(from_us)), ("to", to)])
    };
    let (text, href) = match kind {
        StoryKind::Leak => ("Which program only grows on", span(HostTab::History, *at_us, None)),
        StoryKind::Loop => ("What crashes over and over on", span(HostTab::Events, at_us - BEFORE_US, None)),
        StoryKind::Job => ("What takes all cores from time to time on", span(HostTab::History, *at_us, None)),
        StoryKind::Boot => (
            "What was before and after the reboot of",
            span(HostTab::History, at_us - AFTER_US, Some(at_us + AFTER_US)),
        ),
        StoryKind::Deployment => (
            "What a deployment changed on",
            span(HostTab::Diff, at_us - DEPLOYED_WITHIN_US, Some(at_us + DEPLOYED_WITHIN_US)),
        ),
    };
    Trial { text: format!("{text} {host}"), href }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_to_be_tried_leads_to_its_host_and_moment_and_only_to_hosts_that_are_seen() {
        let hour = Duration::from_secs(3600);
        let past = SimulatedPast::before(1_795_800_000_000_000, 6 * hour, hour / 60);
        let demonstration = Demonstration::of(40, Some(&past));
        let trials = demonstration.trials(|_| true);
        assert_eq!(trials.len(), 5);
        assert!(trials[0].href.to_string().starts_with("/hosts/web-01/history?from="), "{trials:?}");
        assert!(trials[4].href.to_string().contains("/diff?from="), "{trials:?}");
        assert!(demonstration.trials(|host| host.as_str() == "web-01").len() < 5);
        assert_eq!(Demonstration::of(40, None).trials(|_| true), []);
    }
}
