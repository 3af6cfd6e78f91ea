//! Who starts a process again when it exits.
//!
//! A restart loop is one of a supervised process. Most processes that come and go again and again are not: jobs of cron,
//! commands of shells, workers of pools, connections of databases, compilers, tests. A parent does not say why its children
//! come and go, so only two kinds of processes count as supervised:
//!
//! * **The main process of a service:** its unit is a service, and its parent is the first process (or systemd of a user).
//! * **The child of a known supervisor,** such as `runsv`, `supervisord` or a container's shim. Its command line must be
//!   known: children with other arguments are other services.

use super::EventProgram;

/// The first process of a system.
const INIT: u32 = 1;
/// Names of the first process, and of systemd of a user.
const INIT_NAMES: [&str; 3] = ["systemd", "init", "launchd"];
/// Programs that start a child again when it exits, by their names as far as the kernel keeps them (15 bytes).
const SUPERVISORS: [&str; 19] = [
    "runsv",
    "supervise",
    "s6-supervise",
    "supervise-daemo",
    "supervisord",
    "circusd",
    "perpd",
    "monit",
    "god",
    "foreman",
    "overmind",
    "hivemind",
    "honcho",
    "nodemon",
    "conmon",
    "tini",
    "dumb-init",
    "catatonit",
    "docker-init",
];
/// The same, where more follows: `containerd-shim-runc-v2`, `PM2 v5.3.0: God Daemon`.
const SUPERVISORS_BEGIN: [&str; 2] = ["containerd-shim", "PM2 "];

/// How a process is supervised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supervision {
    /// By the service manager: whatever of this unit and name starts is the same service.
    Unit,
    /// By its parent: whatever of this parent, name and command line starts is the same.
    Parent,
}

/// How a process with this parent is supervised; `None` where nobody starts it again.
pub(super) fn supervision(program: &EventProgram, parent_pid: Option<u32>) -> Option<Supervision> {
    let parent_pid = parent_pid.filter(|pid| *pid > 0)?;
    let parent_name = program.parent_name.as_deref();
    let is_of_init = parent_pid == INIT || parent_name.is_some_and(|name| INIT_NAMES.contains(&name));
    if is_of_init {
        let is_service = program.unit.as_deref().is_some_and(|unit| unit.ends_with(".service"));
        return is_service.then_some(Supervision::Unit);
    }
    let is_supervisor = |name: &str| {
        SUPERVISORS.contains(&name) || SUPERVISORS_BEGIN.iter().any(|begin| name.starts_with(begin))
    };
    let is_known = program.command_line.as_ref().is_some_and(|text| !text.is_empty());
    (is_known && parent_name.is_some_and(is_supervisor)).then_some(Supervision::Parent)
}

/// The name of the supervisor, as events say it: what tells one supervised process of a host from another.
pub(super) fn supervisor(program: &EventProgram, parent_pid: Option<u32>) -> Option<String> {
    Some(match supervision(program, parent_pid)? {
        Supervision::Unit => program.unit.clone().unwrap_or_default(),
        Supervision::Parent => {
            format!(
                "{}[{}]",
                program.parent_name.as_deref().unwrap_or_default(),
                parent_pid.unwrap_or_default()
            )
        }
    })
}

/// What is equal of all instances of one supervised program on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Supervised<'a> {
    name: &'a str,
    unit: Option<&'a str>,
    parent: Option<(u32, &'a str)>,
}

/// Which supervised program a process is an instance of.
pub(super) fn supervised(program: &EventProgram, parent_pid: Option<u32>) -> Option<Supervised<'_>> {
    let name = program.name.as_str();
    Some(match supervision(program, parent_pid)? {
        Supervision::Unit => Supervised { name, unit: program.unit.as_deref(), parent: None },
        Supervision::Parent => {
            Supervised { name, unit: None, parent: parent_pid.zip(program.command_line.as_deref()) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, unit: &str, parent: &str) -> EventProgram {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        EventProgram {
            name: name.to_owned(),
            command_line: Some(name.to_owned()),
            unit: text(unit),
            parent_name: text(parent),
            ..EventProgram::default()
        }
    }

    #[test]
    fn services_and_children_of_supervisors_are_supervised() {
        let of = |name, unit, parent, pid| supervisor(&program(name, unit, parent), Some(pid));
        assert_eq!(of("nginx", "nginx.service", "systemd", 1).as_deref(), Some("nginx.service"));
        assert_eq!(of("app", "app.service", "", 1).as_deref(), Some("app.service"));
        assert_eq!(of("app", "app.service", "systemd", 812).as_deref(), Some("app.service"));
        assert_eq!(of("app", "", "runsv", 812).as_deref(), Some("runsv[812]"));
        assert_eq!(of("java", "docker.service", "containerd-shim", 9).as_deref(), Some("containerd-shim[9]"));
    }

    #[test]
    fn jobs_commands_kernel_threads_and_builds_are_not() {
        for (name, unit, parent, pid) in [
            ("kworker/0:1", "", "kthreadd", 2),
            ("backup", "cron.service", "cron", 600),
            ("sleep", "session-1.scope", "bash", 700),
            ("-zsh", "session-1.scope", "sshd", 700),
            ("htop", "session-1.scope", "-zsh", 700),
            ("cc1plus", "", "g++", 700),
            ("rustc", "user.slice", "cargo", 700),
            ("sh", "", "python3", 700),
            ("postgres", "postgresql.service", "postgres", 700),
            ("fleetps", "", "it-583ecd640a5a", 700),
            ("nginx", "nginx.service", "nginx", 700),
            ("orphan", "session-1.scope", "systemd", 1),
            ("systemd", "init.scope", "", 0),
        ] {
            assert_eq!(supervisor(&program(name, unit, parent), Some(pid)), None, "{name}");
        }
        let unknown = EventProgram { command_line: None, ..program("app", "", "runsv") };
        assert_eq!(supervisor(&unknown, Some(9)), None);
    }
}
