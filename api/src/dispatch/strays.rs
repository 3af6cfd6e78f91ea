//! Alerts that a channel was told of and that are not open any more, although the stream of alerts never said that they end: it was
//! made anew, or dropped what nobody had read.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

/// Those of the last look. Only what is one at two looks in a row is forgotten: what is known of alerts may lag behind the ledger.
#[derive(Debug)]
pub(super) struct Strays {
    looked: Instant,
    alerts: BTreeSet<String>,
}

impl Strays {
    /// None yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { looked: now, alerts: BTreeSet::new() }
    }

    /// Whether the last look is `every` ago.
    pub(super) fn is_due(&self, now: Instant, every: Duration) -> bool {
        now.duration_since(self.looked) >= every
    }

    /// Looks: the alerts that were not open at the last look, either.
    pub(super) fn again(&mut self, not_open: BTreeSet<String>, now: Instant) -> BTreeSet<String> {
        self.looked = now;
        let before = std::mem::replace(&mut self.alerts, not_open);
        before.intersection(&self.alerts).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_open_twice_in_a_row_is_forgotten() {
        let (start, hour) = (Instant::now(), Duration::from_secs(3600));
        let alerts = |ids: &[&str]| -> BTreeSet<String> { ids.iter().map(|id| (*id).to_owned()).collect() };
        let mut strays = Strays::new(start);
        assert!(!strays.is_due(start, hour) && strays.is_due(start + hour, hour));
        assert_eq!(strays.again(alerts(&["a", "b"]), start + hour), alerts(&[]));
        assert!(!strays.is_due(start + hour, hour));
        assert_eq!(strays.again(alerts(&["b", "c"]), start + hour), alerts(&["b"]));
        assert_eq!(strays.again(alerts(&["a"]), start + hour), alerts(&[]), "it was open meanwhile");
    }
}
