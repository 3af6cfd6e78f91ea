//! A whole simulated fleet: the same one again for the same seed and the same calls.

use std::{collections::BTreeSet, time::Duration};

use fastrand::Rng;
use fleetps_nats::{HostName, Snapshot};

use super::{
    SimulationSettings,
    host::Host,
    incident::{self, Incident, Story},
    machine::{Identity, Machine},
    past::SimulatedPast,
    role::{self, CITIES, Family, ROLES, Role},
};

/// A simulated fleet. Nothing in it looks at a clock: time is what the caller says.
pub struct Fleet {
    names: Vec<HostName>,
    hosts: Vec<Host>,
}

impl Fleet {
    /// The fleet of these settings; at least one host. Of its Linux hosts, one leaks memory, one restarts a crashing
    /// service over and over, and one packs its logs with all its cores from time to time. In its past, one was booted,
    /// and new releases came to those with websites.
    pub fn new(settings: &SimulationSettings) -> Self {
        let roles = role::assign(settings.hosts.max(1));
        let names = name_all(&roles);
        let mut hosts = Vec::with_capacity(roles.len());
        let mut linux_hosts = 0..;
        for (index, role) in roles.iter().map(|role| &ROLES[*role]).enumerate() {
            let number = if family(role) == Family::Linux { linux_hosts.next() } else { None };
            let trouble = number.and_then(|number| role::TROUBLES.get(number)).copied().unwrap_or_default();
            let incidents = settings.past.map(|past| incident::of(number, &past)).unwrap_or_default();
            hosts.push(new_host(settings, role, &names[index], (trouble, incidents), index));
        }
        Self { names, hosts }
    }

    /// The hosts' names, in the order of their numbers.
    pub fn host_names(&self) -> &[HostName] {
        &self.names
    }

    /// The next snapshot of one host, as it is at `captured_at_us` (µs since 1970 UTC). Counters grow by what passed
    /// since the host's last snapshot, so times should not go back. A number past the last host starts over.
    pub fn snapshot(&mut self, host: usize, captured_at_us: i64) -> Snapshot {
        let count = self.hosts.len();
        self.hosts[host % count].snapshot(captured_at_us)
    }

    /// The same of a host that is sampled at another interval.
    pub fn snapshot_every(&mut self, host: usize, captured_at_us: i64, interval: Duration) -> Snapshot {
        Snapshot { interval_ms: as_ms(interval), ..self.snapshot(host, captured_at_us) }
    }
}

/// One of so many hosts is where new releases are tried.
const STAGING: usize = 5;

/// The groups of each host of a fleet of so many, by what it serves and whom.
pub fn groups(hosts: usize) -> Vec<(HostName, BTreeSet<String>)> {
    let roles = role::assign(hosts.max(1));
    let names = name_all(&roles);
    let of = |(index, name): (usize, HostName)| {
        let environment = if index % STAGING == STAGING - 1 { "env=staging" } else { "env=prod" };
        (name, [ROLES[roles[index]].prefix, environment].map(str::to_owned).into())
    };
    names.into_iter().enumerate().map(of).collect()
}

/// What can be found in the past of a fleet of so many hosts.
pub fn stories(hosts: usize, past: &SimulatedPast) -> Vec<Story> {
    let roles = role::assign(hosts.max(1));
    let names = name_all(&roles);
    let is_linux = |(role, _): &(&usize, &HostName)| family(&ROLES[**role]) == Family::Linux;
    let linux_hosts: Vec<&HostName> =
        roles.iter().zip(&names).filter(is_linux).map(|(_, name)| name).collect();
    incident::stories(&linux_hosts, past)
}

fn as_ms(interval: Duration) -> u32 {
    u32::try_from(interval.as_millis()).unwrap_or(u32::MAX).max(1)
}

fn family(role: &Role) -> Family {
    role.systems.first().map_or(Family::Linux, |system| system.family)
}

fn new_host(
    settings: &SimulationSettings,
    role: &Role,
    name: &HostName,
    (trouble, incidents): (&str, Vec<Incident>),
    index: usize,
) -> Host {
    // Every host has its own random numbers, so the order of calls does not matter.
    let mut rng =
        Rng::with_seed(settings.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index as u64));
    let system = &role.systems[rng.usize(..role.systems.len())];
    let size = role.sizes[rng.usize(..role.sizes.len())];
    let identity = Identity {
        name: name.clone(),
        // A simulated host boots anew with every run of the simulator: its processes are others.
        boot_id: format!("{:016x}-{}", rng.u64(..), settings.run_id),
        run_id: settings.run_id.clone(),
        interval_ms: as_ms(settings.interval),
    };
    let machine = Machine::new(identity, system, size, &mut rng);
    let host = Host::new(machine, &role.whole_blueprint(trouble), settings.processes, rng);
    if settings.past.is_some() { host.with(incidents) } else { host }
}

/// web-01, web-02, …, edge-fra-01, ….
fn name_all(roles: &[usize]) -> Vec<HostName> {
    let mut counts = [0_usize; ROLES.len()];
    roles
        .iter()
        .map(|&role| {
            counts[role] += 1;
            let (prefix, number) = (ROLES[role].prefix, counts[role]);
            let name = match prefix {
                "edge" => {
                    let city = CITIES[(number - 1) % CITIES.len()];
                    format!("{prefix}-{city}-{:02}", (number - 1) / CITIES.len() + 1)
                }
                _ => format!("{prefix}-{number:02}"),
            };
            HostName::from_os_name(&name)
        })
        .collect()
}
