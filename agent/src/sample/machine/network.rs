//! The traffic of the machine and of each interface, from `/proc/net/dev`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use fleetps_nats::snapshot::{InterfaceSample, MAX_INTERFACES};

use super::{
    bytes::{fields, lines, number, text, whole_file},
    growing::Growing,
    interfaces::Interfaces,
    workers::{Slot, Workers},
};
use crate::sample::text::cut;

/// What an interface is changes rarely, and a host of containers has hundreds.
const AGE: Duration = Duration::from_secs(60);
/// Interfaces in a snapshot; more would be the ends of containers' interfaces.
const MOST_LISTED: usize = 100;
const _: () = assert!(MOST_LISTED <= MAX_INTERFACES, "readers refuse more");

/// Bytes, packets, errors and drops, of each received and sent.
const COUNTERS: usize = 8;

/// The interfaces of the machine.
pub(super) struct Network {
    proc_folder: PathBuf,
    sys_folder: PathBuf,
    lists: Workers,
    interfaces: Slot<Arc<Interfaces>>,
    /// The answer and the names that `counted` was worked out for.
    counted_for: (Option<Instant>, Vec<String>),
    counted: BTreeMap<String, &'static str>,
    /// The last name of each interface, by its number.
    names: HashMap<u64, String>,
    growing: Growing<COUNTERS>,
    samples: Vec<InterfaceSample>,
    interface_count: u32,
}

impl Network {
    /// Reads from a `/proc` and a `/sys` folder; `lists` reads what the interfaces are.
    pub(super) fn new(proc_folder: &Path, sys_folder: &Path, lists: Workers) -> Self {
        Self {
            proc_folder: proc_folder.to_owned(),
            sys_folder: sys_folder.to_owned(),
            lists,
            interfaces: Slot::default(),
            counted_for: (None, Vec::new()),
            counted: BTreeMap::new(),
            names: HashMap::new(),
            growing: Growing::new(),
            samples: Vec::new(),
            interface_count: 0,
        }
    }

    /// Asks what is due, waits for nothing.
    pub(super) fn tend(&mut self) {
        if self.interfaces.is_older_than(AGE) {
            let (proc_folder, sys_folder) = (self.proc_folder.clone(), self.sys_folder.clone());
            self.interfaces.ask(&self.lists, move || Arc::new(Interfaces::read(&proc_folder, &sys_folder)));
        }
        self.interfaces.tell(|| "the list of network interfaces (/sys/class/net)".to_owned());
    }

    /// Whether it is known what the interfaces are.
    pub(super) fn is_settled(&self) -> bool {
        self.interfaces.answered_at().is_some()
    }

    /// Bytes received and sent since boot by the interfaces that count; `None` where the system does not say, or it is
    /// not known yet what the interfaces are.
    pub(super) fn read(&mut self) -> Option<[u64; 2]> {
        let bytes = whole_file(&self.proc_folder.join("net/dev"));
        let all: Vec<(String, [u64; COUNTERS])> = lines(&bytes).filter_map(parse).collect();
        self.interface_count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        self.samples.clear();
        let interfaces = self.interfaces.answer()?;
        self.learn(&interfaces, &all);
        self.follow_names(&interfaces, &all);
        self.growing.begin();
        for (name, raw) in &all {
            let Some(interface) = interfaces.all.get(name) else { continue };
            let counted_as = self.counted.get(name).copied();
            let grown = self.growing.add(name, *raw, counted_as.is_some());
            let sample = sample(grown);
            self.samples.push(InterfaceSample {
                name: cut(name.clone()),
                kind: interface.kind.clone().map(cut),
                counted_as: counted_as.map(str::to_owned),
                master: interface.master.clone().map(cut),
                ..sample
            });
        }
        self.growing.end();
        self.keep_those_that_matter();
        // Without one line that can be read, nothing is known.
        (!all.is_empty()).then(|| self.totals())
    }

    /// Bytes received and sent by the interfaces that count.
    pub(super) fn totals(&self) -> [u64; 2] {
        let [received, sent, ..] = self.growing.totals();
        [received, sent]
    }

    /// Asks what new interfaces are, and works out which ones count where anything changed.
    fn learn(&mut self, interfaces: &Arc<Interfaces>, all: &[(String, [u64; COUNTERS])]) {
        let new: Vec<String> = all
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !interfaces.all.contains_key(*name))
            .cloned()
            .collect();
        if !new.is_empty() {
            let (proc_folder, sys_folder) = (self.proc_folder.clone(), self.sys_folder.clone());
            let known = Interfaces::clone(interfaces);
            let question = move || Arc::new(known.with_new(&proc_folder, &sys_folder, &new));
            self.interfaces.ask(&self.lists, question);
        }
        let names = all.iter().map(|(name, _)| name);
        let answered_at = self.interfaces.answered_at();
        if self.counted_for.0 != answered_at || !names.clone().eq(self.counted_for.1.iter()) {
            let present: BTreeSet<&str> = names.clone().map(String::as_str).collect();
            self.counted = interfaces.only(&present).counted();
            self.counted_for = (answered_at, names.cloned().collect());
        }
    }

    /// Goes on counting an interface that was given another name.
    fn follow_names(&mut self, interfaces: &Interfaces, all: &[(String, [u64; COUNTERS])]) {
        for (name, _) in all {
            let Some(index) = interfaces.all.get(name).and_then(|interface| interface.index) else {
                continue;
            };
            let before = self.names.entry(index).or_insert_with(|| name.clone());
            if before != name {
                let is_gone = !all.iter().any(|(other, _)| other == before);
                if is_gone {
                    self.growing.rename(before, name);
                }
                before.clone_from(name);
            }
        }
        if self.names.len() > 2 * all.len() + MOST_LISTED {
            self.names.retain(|_, known| all.iter().any(|(name, _)| name == known));
        }
    }

    /// Of too many interfaces those that count, then those that are not the ends of containers' ones, then the busiest.
    fn keep_those_that_matter(&mut self) {
        if self.samples.len() > MOST_LISTED {
            self.samples.sort_by_cached_key(|it| {
                let is_end = matches!(it.kind.as_deref(), Some("veth" | "tunnel"));
                let bytes =
                    it.received_bytes.unwrap_or_default().saturating_add(it.sent_bytes.unwrap_or_default());
                (it.counted_as.is_none(), is_end, std::cmp::Reverse(bytes))
            });
            self.samples.truncate(MOST_LISTED);
        }
        self.samples.sort_by(|one, other| one.name.cmp(&other.name));
    }

    /// The interfaces as of the last reading.
    pub(super) fn samples(&self) -> Vec<InterfaceSample> {
        self.samples.clone()
    }

    /// How many interfaces there are.
    pub(super) fn interface_count(&self) -> u32 {
        self.interface_count
    }

    /// Whether the machine's traffic is that of hardware; not so inside a container with a network of its own.
    pub(super) fn has_physical(&self) -> bool {
        self.counted.values().any(|reason| *reason == "physical")
    }

    /// What devices counted that are gone, and began again; to be kept for a later run.
    pub(super) fn beyond_present(&self) -> [i64; 2] {
        let [received, sent, ..] = self.growing.beyond_present();
        [received, sent]
    }

    /// Adds what an earlier run had counted of devices that are gone.
    pub(super) fn add_earlier(&mut self, [received, sent]: [i64; 2]) {
        self.growing.add_earlier([received, sent, 0, 0, 0, 0, 0, 0]);
    }
}

/// `  eth0: 926361199 70760 0 0 0 0 0 0 5442711 62671 0 0 0 0 0 0`: eight figures of what was received, eight of what
/// was sent: bytes, packets, errors, drops, and others.
fn parse(line: &[u8]) -> Option<(String, [u64; COUNTERS])> {
    // The figures have no colon, and old kernels let a name have one.
    let colon = line.iter().rposition(|byte| *byte == b':')?;
    let name = text(line.get(..colon)?.trim_ascii());
    let all: Vec<u64> = fields(line.get(colon + 1..)?).map_while(number).collect();
    let figure = |place: usize| all.get(place).copied();
    let [rx, tx] = [0, 8];
    let counters = [rx, tx, rx + 1, tx + 1, rx + 2, tx + 2, rx + 3, tx + 3].map(figure);
    if name.is_empty() || counters.contains(&None) {
        return None;
    }
    Some((name, counters.map(Option::unwrap_or_default)))
}

fn sample(grown: [u64; COUNTERS]) -> InterfaceSample {
    let [
        received_bytes,
        sent_bytes,
        received_packets,
        sent_packets,
        received_errors,
        sent_errors,
        received_drops,
        sent_drops,
    ] = grown.map(Some);
    InterfaceSample {
        received_bytes,
        sent_bytes,
        received_packets,
        sent_packets,
        received_errors,
        sent_errors,
        received_drops,
        sent_drops,
        ..InterfaceSample::default()
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
