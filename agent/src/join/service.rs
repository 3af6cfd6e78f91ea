//! The service of systemd: a user of its own with one capability, always started again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

const UNIT: &str = include_str!("fleetps-agent.service");
const UNIT_FILE: &str = "/etc/systemd/system/fleetps-agent.service";
const USER: &str = "fleetps-agent";
/// Where the service's program is: not in a home folder, from where it could be changed.
const PROGRAM: &str = "/usr/local/bin/fleetps-agent";

const SYSTEM_UNITS: &str = "/etc/systemd/system";
/// The units of the control helper, which name the usual places of settings and program.
const CONTROL_UNITS: [(&str, &str); 2] = [
    ("fleetps-control.socket", include_str!("../../packaging/fleetps-control.socket")),
    ("fleetps-control.service", include_str!("../../packaging/fleetps-control.service")),
];
/// Where polkit reads the rules of this machine.
const POLKIT_FOLDER: &str = "/etc/polkit-1/rules.d";
const POLKIT_FILE: &str = "50-fleetps-control.rules";

/// The service cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A command of the system cannot be run, or fails.
    #[error(
        "{command} failed ({problem}); the host has joined, so start the agent by hand or run join again"
    )]
    Command {
        /// The command.
        command: String,
        /// The problem.
        problem: String,
    },
}

/// Whether this is run by root.
pub(super) fn is_root() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::process::geteuid().is_root();
    #[cfg(not(target_os = "linux"))]
    return false;
}

/// Installs and starts the service; `false` where there is no systemd, or this user may not.
pub(super) fn install(config: &Path, state: &Path, sees_disk_io: bool) -> Result<bool, ServiceError> {
    if !Path::new("/run/systemd/system").is_dir() {
        fleetps_nats::outln!("This machine does not run systemd.");
        return Ok(false);
    }
    if !is_root() {
        fleetps_nats::outln!("Installing a service takes root: sudo fleetps-agent join …");
        return Ok(false);
    }
    make_user(USER)?;
    run("chown", &["--recursive", &format!("{USER}:"), &state.to_string_lossy()])?;
    put_program()?;
    write(Path::new(UNIT_FILE), &unit(config, sees_disk_io))?;
    run("systemctl", &["daemon-reload"])?;
    run("systemctl", &["enable", "--quiet", USER])?;
    run("systemctl", &["restart", USER])?;
    fleetps_nats::outln!("The service {USER} runs: systemctl status {USER}");
    Ok(true)
}

/// Installs the control helper, which runs as `user`, and its rule of polkit. The agent is installed already.
pub(super) fn install_control(user: &str, rule: &str) -> Result<(), ServiceError> {
    make_user(user)?;
    for (name, text) in CONTROL_UNITS {
        write(&Path::new(SYSTEM_UNITS).join(name), text)?;
    }
    run("systemctl", &["daemon-reload"])?;
    run("systemctl", &["enable", "--quiet", "--now", CONTROL_UNITS[0].0])?;
    // One that runs is of the program that was there before.
    run("systemctl", &["try-restart", CONTROL_UNITS[1].0])?;
    let folder = Path::new(POLKIT_FOLDER);
    if folder.is_dir() {
        write(&polkit_file(), rule)
    } else {
        fleetps_nats::outln!(
            "There is no {POLKIT_FOLDER}: processes can be signalled, units cannot be touched."
        );
        Ok(())
    }
}

/// Where the rule of polkit goes.
pub(super) fn polkit_file() -> PathBuf {
    Path::new(POLKIT_FOLDER).join(POLKIT_FILE)
}

fn make_user(user: &str) -> Result<(), ServiceError> {
    if run("id", &["--user", user]).is_err() {
        run("useradd", &["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user])?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), ServiceError> {
    fs::write(path, text).map_err(|source| ServiceError::Write { path: path.to_owned(), source })
}

/// The capabilities: the first shows executables of other users' processes, the second opens their files in /proc that
/// say what they read and write.
fn unit(config: &Path, sees_disk_io: bool) -> String {
    let capabilities = if sees_disk_io { "CAP_SYS_PTRACE CAP_DAC_READ_SEARCH" } else { "CAP_SYS_PTRACE" };
    let values = [
        ("{program}", PROGRAM),
        ("{config}", &config.to_string_lossy()),
        ("{user}", USER),
        ("{capabilities}", capabilities),
    ];
    values.iter().fold(UNIT.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// Copies this program to its place, by way of a new file: the one that is there may be running.
fn put_program() -> Result<(), ServiceError> {
    let place = Path::new(PROGRAM);
    let failed = |source| ServiceError::Write { path: place.to_owned(), source };
    let here = std::env::current_exe().map_err(failed)?;
    if here == place {
        return Ok(());
    }
    let beside = place.with_extension("new");
    fs::copy(here, &beside).and_then(|_| fs::rename(&beside, place)).map_err(failed)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), ServiceError> {
    let failed =
        |problem| ServiceError::Command { command: format!("{program} {}", arguments.join(" ")), problem };
    let output = Command::new(program).args(arguments).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(said.lines().last().unwrap_or("it did not say why").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_helper_has_one_capability_no_network_and_a_socket_for_the_agents_group() {
        let [(socket_name, socket), (_, service)] = CONTROL_UNITS;
        let program = format!("ExecStart={PROGRAM} --config /etc/fleetps/agent.toml control run");
        for line in [
            program.as_str(),
            "User=fleetps-control",
            "AmbientCapabilities=CAP_KILL",
            "CapabilityBoundingSet=CAP_KILL",
            "NoNewPrivileges=yes",
            "PrivateNetwork=yes",
            "RestrictAddressFamilies=AF_UNIX",
            &format!("Requires={socket_name}"),
        ] {
            assert!(service.lines().any(|found| found == line), "{line}");
        }
        let default = crate::settings::CommandSettings::default().socket;
        let listens = format!("ListenStream={}", default.display());
        for line in [listens.as_str(), "SocketGroup=fleetps-agent", "SocketMode=0660"] {
            assert!(socket.lines().any(|found| found == line), "{line}");
        }
    }

    #[test]
    fn the_unit_starts_it_always_as_a_user_with_one_capability() {
        let unit = unit(Path::new("/etc/fleetps/agent.toml"), false);
        assert!(!unit.contains('{'), "{unit}");
        let lines: Vec<&str> = unit.lines().collect();
        for line in [
            "ExecStart=/usr/local/bin/fleetps-agent --config /etc/fleetps/agent.toml",
            "Restart=always",
            "User=fleetps-agent",
            "CapabilityBoundingSet=CAP_SYS_PTRACE",
            "NoNewPrivileges=yes",
        ] {
            assert!(lines.contains(&line), "{line}");
        }
        let seeing = super::unit(Path::new("/x"), true);
        assert!(seeing.contains("AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH\n"), "{seeing}");
    }
}
