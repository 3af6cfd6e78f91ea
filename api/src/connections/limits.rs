//! How many connections there may be, by how many files this process may open.

/// The most connections, each with some 30 KB: 300 MB of memory.
const MOST: u64 = 10_000;
/// The most connections without a signed-in person: more than the sign-in page of a large company needs at once.
const MOST_STRANGERS: usize = 1_024;
/// Of these, the most from one network: an office behind one address, with two for each browser.
const MOST_OF_A_NETWORK: usize = 256;
/// The most connections of one person: six for each browser, and scripts.
const MOST_OF_A_PERSON: usize = 100;
/// Open files that are kept for segments, broker and questions, where there are enough: half of them at most.
const RESERVE: u64 = 4_096;
/// Free descriptors below which no connection is accepted, even if something else took the others: an eighth of the
/// limit at most. Merging and answering a question take some tens.
const LAST_RESERVE: u64 = 256;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub most: usize,
    /// Connections without a signed-in person.
    pub strangers: usize,
    /// Of these, connections from one network.
    pub of_a_network: usize,
    /// Connections of one person.
    pub of_a_person: usize,
    /// A connection whose file descriptor is this or higher takes what others need: the system gives the lowest that is
    /// free, so that the number says how many are open.
    pub highest_descriptor: u64,
}

impl Limits {
    /// Limits for a process with this many descriptors; `None` where there is no limit.
    pub fn of(descriptors: Option<u64>) -> Self {
        let descriptors = descriptors.unwrap_or(u64::MAX);
        let most = (descriptors - RESERVE.min(descriptors / 2)).min(MOST);
        // At most 10,000.
        let most = usize::try_from(most).unwrap_or_default();
        let strangers = MOST_STRANGERS.min(most / 2);
        Self {
            most,
            strangers,
            of_a_network: MOST_OF_A_NETWORK.min(strangers / 2),
            of_a_person: MOST_OF_A_PERSON.min(most / 10).max(1),
            highest_descriptor: descriptors - LAST_RESERVE.min(descriptors / 8),
        }
    }

    /// For this process, whose limit of open files is raised as far as the system lets it.
    pub fn of_this_process() -> Self {
        Self::of(fleetps_ingestor::descriptors::raise_limit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_limit_of_open_files_allows_is_shared_and_half_of_a_small_one_is_left_to_others() {
        for (descriptors, most, strangers) in [
            (Some(0), 0, 0),
            (Some(256), 128, 64),
            (Some(1_024), 512, 256),
            (Some(20_000), 10_000, 1_024),
            (Some(1 << 20), 10_000, 1_024),
            (None, 10_000, 1_024),
        ] {
            let limits = Limits::of(descriptors);
            assert_eq!((limits.most, limits.strangers), (most, strangers), "{descriptors:?}");
            assert!(limits.of_a_network <= strangers && limits.of_a_person <= most.max(1));
            let left = descriptors.unwrap_or(u64::MAX) - limits.most as u64;
            assert!(left >= limits.most as u64, "{descriptors:?}");
        }
        assert_eq!(Limits::of(Some(1_024)).highest_descriptor, 896);
    }
}
