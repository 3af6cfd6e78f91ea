//! What is called like a text that somebody is typing: hosts, programs, users, units, and processes of the programs.
//!
//! Names come from what is counted of each host as its snapshots come, so an answer takes as long as there are names on hosts
//! (docs/measurements.md has figures), and no snapshot is decoded for them. Of processes, the busiest of the best programs are
//! suggested: for these the snapshots of [`MAX_PROCESSES`] hosts are decoded. What only a command line says is left to the search.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use fleetps_ingestor::history::{Identity, Scope};
use fleetps_nats::{HostName, snapshot::Decoder};

use super::{Fleet, Summary, kept::UndecodedHost, tally::Counts};

/// Hosts that are suggested. With the other kinds they fit a screen.
pub(super) const MAX_HOSTS: usize = 5;
/// Programs that are suggested.
pub(super) const MAX_PROGRAMS: usize = 5;
/// Users, and units, that are suggested.
pub(super) const MAX_OTHERS: usize = 3;
/// Processes that are suggested; each may be of another host, whose snapshot is decoded for it.
pub(super) const MAX_PROCESSES: usize = 4;

/// How well a name fits; the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It is what was typed.
    Exact,
    /// It begins with it.
    Prefix,
    /// All of the words are in it.
    Contained,
}

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    words: Vec<String>,
    text: String,
}

impl Wanted {
    /// These words, in small letters.
    pub fn of(words: Vec<String>) -> Self {
        Self { text: words.join(" "), words }
    }

    /// How well a name fits; `None` where it does not.
    pub fn rank(&self, name: &str) -> Option<Rank> {
        let name = name.to_lowercase();
        match name.strip_prefix(self.text.as_str()) {
            Some("") => Some(Rank::Exact),
            Some(_) => Some(Rank::Prefix),
            None => self.words.iter().all(|word| name.contains(word)).then_some(Rank::Contained),
        }
    }

    /// How well a host fits, by its name; or it has the words in that, its own name for itself and its groups together.
    fn rank_of_host(&self, summary: &Summary, groups: &BTreeSet<String>) -> Option<Rank> {
        let names = [summary.host.as_str(), summary.os_host_name.as_str()];
        self.rank(summary.host.as_str()).or_else(|| {
            let texts = names.into_iter().chain(groups.iter().map(String::as_str));
            let texts: Vec<String> = texts.map(str::to_lowercase).collect();
            let is_somewhere = |word: &String| texts.iter().any(|text| text.contains(word));
            self.words.iter().all(is_somewhere).then_some(Rank::Contained)
        })
    }
}

/// A program, user or unit that is suggested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: Arc<str>,
    /// Its processes on the hosts that are up.
    pub processes: u64,
    /// The hosts that have them.
    pub hosts: u64,
}

/// A process that is suggested.
#[derive(Debug, Clone)]
pub struct NamedProcess {
    /// Which process.
    pub identity: Identity,
    /// Its name.
    pub name: String,
    /// Its CPU use, in percent of one core.
    pub cpu_percent: Option<f32>,
}

/// What is suggested, of each kind the best first.
#[derive(Debug, Clone, Default)]
pub struct Suggested {
    /// Hosts.
    pub hosts: Vec<Arc<Summary>>,
    /// Programs.
    pub programs: Vec<Named>,
    /// Users.
    pub users: Vec<Named>,
    /// Units.
    pub units: Vec<Named>,
    /// Processes of programs.
    pub processes: Vec<NamedProcess>,
}

impl Fleet {
    /// Suggests what is called like `wanted` now, as far as it is in `scope`. Takes as long as there are hosts.
    pub fn suggest<'a>(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        groups_of: impl Fn(&HostName) -> &'a BTreeSet<String>,
    ) -> Suggested {
        let known = self.known(scope);
        let mut hosts = Vec::new();
        let (mut programs, mut users, mut units) =
            (Counter::of(wanted), Counter::of(wanted), Counter::of(wanted));
        let mut busiest = Busiest::default();
        for host in &known {
            let summary = &host.kept.summary;
            if let Some(rank) = wanted.rank_of_host(summary, groups_of(&summary.host)) {
                hosts.push((rank, summary));
            }
            for (name, totals) in host.programs.iter() {
                if let Some(rank) = programs.add(name, totals.processes) {
                    busiest.take(Place { rank, cpu_units: totals.cpu_units, host, name });
                }
            }
            users.add_all(&host.tally.users);
            units.add_all(&host.tally.units);
        }
        // Stable: hosts that fit as well stay in the order of their names.
        hosts.sort_by_key(|(rank, _)| *rank);
        Suggested {
            hosts: hosts.into_iter().take(MAX_HOSTS).map(|(_, summary)| Arc::clone(summary)).collect(),
            programs: programs.first(MAX_PROGRAMS),
            users: users.first(MAX_OTHERS),
            units: units.first(MAX_OTHERS),
            processes: busiest.processes(),
        }
    }
}

/// Adds up the names that fit.
struct Counter<'a> {
    wanted: &'a Wanted,
    /// Those that fit with their rank; also those that do not, so that each is compared once.
    names: HashMap<&'a str, Option<(Rank, Named)>>,
}

impl<'a> Counter<'a> {
    fn of(wanted: &'a Wanted) -> Self {
        Self { wanted, names: HashMap::new() }
    }

    /// Adds the processes that one host has of a name; how well that fits.
    fn add(&mut self, name: &'a Arc<str>, processes: u64) -> Option<Rank> {
        let new = || {
            let rank = self.wanted.rank(name)?;
            Some((rank, Named { name: Arc::clone(name), processes: 0, hosts: 0 }))
        };
        let (rank, named) = self.names.entry(name).or_insert_with(new).as_mut()?;
        named.processes += processes;
        named.hosts += 1;
        Some(*rank)
    }

    fn add_all(&mut self, counts: &'a Counts) {
        for (name, processes) in counts {
            self.add(name, u64::from(*processes));
        }
    }

    /// The `most` best; of those that fit as well the ones with most processes.
    fn first(self, most: usize) -> Vec<Named> {
        let mut found: Vec<(Rank, Named)> = self.names.into_values().flatten().collect();
        found.sort_unstable_by(|(a_rank, a), (b_rank, b)| {
            (a_rank, Reverse(a.processes), &a.name).cmp(&(b_rank, Reverse(b.processes), &b.name))
        });
        found.into_iter().take(most).map(|(_, named)| named).collect()
    }
}

/// A program on a host.
struct Place<'a> {
    rank: Rank,
    cpu_units: u64,
    host: &'a UndecodedHost,
    name: &'a str,
}

impl Place<'_> {
    fn order(&self) -> impl Ord {
        (self.rank, Reverse(self.cpu_units))
    }
}

/// The best programs of hosts, those with most CPU first; at most [`MAX_PROCESSES`].
#[derive(Default)]
struct Busiest<'a>(Vec<Place<'a>>);

impl<'a> Busiest<'a> {
    fn take(&mut self, place: Place<'a>) {
        let at = self.0.partition_point(|known| known.order() <= place.order());
        if at < MAX_PROCESSES {
            self.0.insert(at, place);
            self.0.truncate(MAX_PROCESSES);
        }
    }

    /// Of each the process with most CPU, in the same order.
    fn processes(self) -> Vec<NamedProcess> {
        let Ok(mut decoder) = Decoder::new() else { return Vec::new() };
        let busiest = |place: &Place<'_>| Some((place.rank, place.busiest(&mut decoder)?));
        let mut busiest: Vec<_> = self.0.iter().filter_map(busiest).collect();
        busiest.sort_by(|(a_rank, a), (b_rank, b)| {
            let cpu = |process: &NamedProcess| process.cpu_percent.unwrap_or_default();
            a_rank.cmp(b_rank).then_with(|| cpu(b).total_cmp(&cpu(a)))
        });
        busiest.into_iter().map(|(_, process)| process).collect()
    }
}

impl Place<'_> {
    fn busiest(&self, decoder: &mut Decoder) -> Option<NamedProcess> {
        let snapshot = self.host.kept.latest.decode(decoder)?;
        let named = snapshot.processes.iter().filter(|process| process.name == self.name);
        let busiest = named.max_by(|a, b| {
            let cpu = |percent: Option<f32>| percent.unwrap_or_default();
            cpu(a.cpu_percent).total_cmp(&cpu(b.cpu_percent)).then_with(|| b.pid.cmp(&a.pid))
        })?;
        Some(NamedProcess {
            identity: Identity::of(&self.host.kept.summary.host, &snapshot.boot_id, busiest),
            name: busiest.name.clone(),
            cpu_percent: busiest.cpu_percent,
        })
    }
}

#[cfg(test)]
#[path = "suggest_tests.rs"]
mod tests;
