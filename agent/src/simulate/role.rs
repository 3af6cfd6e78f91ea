//! The kinds of hosts in a simulated fleet, how many of each, and their programs.

/// A kind of host.
pub(super) struct Role {
    /// How its hosts are called, before the number.
    pub(super) prefix: &'static str,
    /// Its share of the fleet.
    weight: u32,
    /// Its process tree.
    pub(super) blueprint: &'static str,
    /// Its operating systems.
    pub(super) systems: &'static [System],
    /// How big it may be: hardware threads and memory in GiB.
    pub(super) sizes: &'static [(u32, u64)],
}

/// An operating system.
pub(super) struct System {
    pub(super) os: &'static str,
    pub(super) kernel: &'static str,
    pub(super) family: Family,
    pub(super) architecture: &'static str,
    pub(super) cpu_model: &'static str,
}

/// The differences between operating systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Linux,
    Windows,
    Mac,
}

const XEON: &str = "Intel(R) Xeon(R) Gold 6430";
const EPYC: &str = "AMD EPYC 9354 32-Core Processor";

const DEBIAN: System = linux("Debian GNU/Linux 13", "Linux 6.12.48", "x86_64", EPYC);
const UBUNTU: System = linux("Ubuntu 26.04", "Linux 6.17.0-8-generic", "x86_64", XEON);
const ROCKY: System = linux("Rocky Linux 10.1", "Linux 6.12.0-124.el10", "x86_64", XEON);
const ARM: System = linux("Ubuntu 26.04", "Linux 6.17.0-1004-aws", "aarch64", "Neoverse-V2");
const WINDOWS: System = System {
    os: "Windows Server 2025",
    kernel: "Windows 26100",
    family: Family::Windows,
    architecture: "x86_64",
    cpu_model: XEON,
};
const MAC: System = System {
    os: "macOS 26.1",
    kernel: "Darwin 25.1.0",
    family: Family::Mac,
    architecture: "arm64",
    cpu_model: "Apple M4",
};

const fn linux(
    os: &'static str,
    kernel: &'static str,
    architecture: &'static str,
    cpu_model: &'static str,
) -> System {
    System { os, kernel, family: Family::Linux, architecture, cpu_model }
}

/// The places of edge hosts, as airports.
pub(super) const CITIES: [&str; 8] = ["fra", "ams", "lhr", "iad", "sfo", "sin", "nrt", "gru"];

/// The kinds of hosts, weighted as in a mid-sized web company.
pub(super) const ROLES: [Role; 9] = [
    Role {
        prefix: "web",
        weight: 30,
        blueprint: include_str!("blueprints/web.txt"),
        systems: &[DEBIAN, UBUNTU],
        sizes: &[(8, 16), (16, 32)],
    },
    Role {
        prefix: "node",
        weight: 26,
        blueprint: include_str!("blueprints/containers.txt"),
        systems: &[UBUNTU, ARM],
        sizes: &[(16, 64), (32, 128)],
    },
    Role {
        prefix: "db",
        weight: 12,
        blueprint: include_str!("blueprints/database.txt"),
        systems: &[DEBIAN, ROCKY],
        sizes: &[(16, 128), (32, 256)],
    },
    Role {
        prefix: "edge",
        weight: 10,
        blueprint: include_str!("blueprints/edge.txt"),
        systems: &[DEBIAN, ARM],
        sizes: &[(4, 8)],
    },
    Role {
        prefix: "queue",
        weight: 8,
        blueprint: include_str!("blueprints/queue.txt"),
        systems: &[ROCKY, UBUNTU],
        sizes: &[(8, 32)],
    },
    Role {
        prefix: "build",
        weight: 5,
        blueprint: include_str!("blueprints/build.txt"),
        systems: &[DEBIAN],
        sizes: &[(16, 64), (32, 64)],
    },
    Role {
        prefix: "win-ad",
        weight: 4,
        blueprint: include_str!("blueprints/windows.txt"),
        systems: &[WINDOWS],
        sizes: &[(8, 32)],
    },
    Role {
        prefix: "mac-mini",
        weight: 3,
        blueprint: include_str!("blueprints/mac.txt"),
        systems: &[MAC],
        sizes: &[(10, 24)],
    },
    Role { prefix: "backup", weight: 2, blueprint: "", systems: &[ROCKY], sizes: &[(4, 16)] },
];

const LINUX: &str = include_str!("blueprints/linux.txt");
const KERNEL: &str = include_str!("blueprints/kernel.txt");

/// What is wrong on the first Linux hosts, one each: a leak, a crash loop, and a job that takes all cores for a while.
pub(super) const TROUBLES: [&str; 3] = [
    include_str!("blueprints/leak.txt"),
    include_str!("blueprints/crash_loop.txt"),
    include_str!("blueprints/noisy_job.txt"),
];

impl Role {
    /// The whole process tree of a host of this kind, with `trouble` (one of this module's blueprints, or nothing).
    pub(super) fn whole_blueprint(&self, trouble: &str) -> String {
        match self.systems.first().map(|system| system.family) {
            Some(Family::Linux) => [LINUX, trouble, self.blueprint, KERNEL].concat(),
            _ => self.blueprint.to_owned(),
        }
    }
}

/// The role of each of `hosts` hosts, as places in [`ROLES`]: in proportion to the weights, well mixed, so that ten
/// hosts already are several kinds (smooth weighted round robin).
pub(super) fn assign(hosts: usize) -> Vec<usize> {
    let total: i64 = ROLES.iter().map(|role| i64::from(role.weight)).sum();
    let mut credits = [0_i64; ROLES.len()];
    let mut next = || {
        let mut chosen = 0;
        for (place, role) in ROLES.iter().enumerate() {
            credits[place] += i64::from(role.weight);
            if credits[place] > credits[chosen] {
                chosen = place;
            }
        }
        credits[chosen] -= total;
        chosen
    };
    (0..hosts).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::blueprint;

    #[test]
    fn every_blueprint_is_well_formed_and_starts_at_the_root() {
        for role in &ROLES {
            for trouble in TROUBLES {
                let programs = blueprint::parse(&role.whole_blueprint(trouble)).unwrap();
                assert_eq!(programs[0].depth, 0, "{}", role.prefix);
                let steps = programs.windows(2).all(|pair| pair[1].depth <= pair[0].depth + 1);
                assert!(steps, "{} skips a level", role.prefix);
                assert!(programs.iter().any(|program| program.growth > 0), "{} cannot grow", role.prefix);
            }
        }
    }

    #[test]
    fn ten_hosts_are_several_kinds_and_a_hundred_follow_the_weights() {
        let distinct: std::collections::BTreeSet<_> = assign(10).into_iter().collect();
        assert!(distinct.len() >= 5, "{distinct:?}");
        let webs = assign(100).into_iter().filter(|place| ROLES[*place].prefix == "web").count();
        assert_eq!(webs, 30);
    }
}
