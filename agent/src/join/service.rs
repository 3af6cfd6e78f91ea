//! The service of systemd: a user of its own with one capability, always started again.
//!
//! Program and unit go where their package puts them, and are the same. So a package that is installed later takes both over,
//! and nothing hides what it brings. Where the package is there already, only what belongs to this machine is written: drop-ins.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

const UNIT: &str = include_str!("../../packaging/fleetps-agent.service");
const UNIT_NAME: &str = "fleetps-agent.service";
const USER: &str = "fleetps-agent";
/// Where the service's program is, as its unit says.
const PROGRAM: &str = "/usr/bin/fleetps-agent";
/// The settings that the unit names.
const CONFIG: &str = "/etc/fleetps/agent.toml";

/// Where packages put their units; systemd reads it everywhere.
const PACKAGED_UNITS: &str = "/usr/lib/systemd/system";
/// Where a machine's own units and drop-ins are, which count more.
const SYSTEM_UNITS: &str = "/etc/systemd/system";
/// A unit of this machine's own that begins like this was written by `join` before there were packages.
const WRITTEN_BY_JOIN: &str = "# Written by `fleetps-agent join`.";
/// Where `join` put the program then.
const EARLIER_PROGRAM: &str = "/usr/local/bin/fleetps-agent";
/// The drop-in for settings at another place than usual, and that of `--disk-io`.
const SETTINGS_DROP_IN: &str = "settings.conf";
const DISK_IO_DROP_IN: &str = "disk-io.conf";
/// The second capability opens the files in /proc that say what other users' processes read and write.
const DISK_IO: &str = "\
# Written by `fleetps-agent join --disk-io`. Remove it, and what processes of other users read and write is not seen.
[Service]
AmbientCapabilities=CAP_DAC_READ_SEARCH
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
";

/// The units of the control helper, which name the usual places of settings and program.
const CONTROL_UNITS: [(&str, &str); 2] = [
    ("fleetps-control.socket", include_str!("../../packaging/fleetps-control.socket")),
    ("fleetps-control.service", include_str!("../../packaging/fleetps-control.service")),
];
/// The user of the control helper has no other name than its service.
const CONTROL_STATE: &str = "/var/lib/fleetps-control";
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
    /// The service could not be stopped.
    #[error("fleetps-agent still runs; stop it with `systemctl stop fleetps-agent`, then leave again")]
    StillRuns,
}

/// Whether this is run by root.
pub(super) fn is_root() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::process::geteuid().is_root();
    #[cfg(not(target_os = "linux"))]
    return false;
}

/// Whether systemd runs this machine, and this user may tell it anything; says what is missing.
pub(super) fn can_be_told() -> bool {
    if !Path::new("/run/systemd/system").is_dir() {
        fleetps_nats::outln!("This machine does not run systemd.");
        return false;
    }
    if !is_root() {
        fleetps_nats::outln!("Services take root: sudo fleetps-agent …");
        return false;
    }
    true
}

/// Installs and starts the service; `false` where there is no systemd, or this user may not.
pub(super) fn install(config: &Path, state: &Path, sees_disk_io: bool) -> Result<bool, ServiceError> {
    if !can_be_told() {
        return Ok(false);
    }
    make_user(USER)?;
    run("chown", &["--recursive", &format!("{USER}:"), &state.to_string_lossy()])?;
    if is_packaged() {
        fleetps_nats::outln!("The program and the unit of the package are used.");
    } else {
        put_program()?;
        write(&Path::new(PACKAGED_UNITS).join(UNIT_NAME), UNIT)?;
    }
    remove_earlier()?;
    write_drop_ins(&drop_ins(), config, sees_disk_io)?;
    run("systemctl", &["daemon-reload"])?;
    run("systemctl", &["enable", "--quiet", USER])?;
    run("systemctl", &["restart", USER])?;
    fleetps_nats::outln!("The service {USER} runs: systemctl status {USER}");
    Ok(true)
}

/// Installs the control helper, which runs as `user`, and its rule of polkit. The agent is installed already.
pub(super) fn install_control(user: &str, rule: &str) -> Result<(), ServiceError> {
    make_user(user)?;
    // To read what units write; where there is no such group, the end of a command says that it cannot.
    let _ = run("usermod", &["--append", "--groups", JOURNAL_GROUP, user]);
    for (name, text) in CONTROL_UNITS {
        if !is_packaged() {
            write(&Path::new(PACKAGED_UNITS).join(name), text)?;
        }
        // Where earlier versions put it, it would hide the other.
        remove(&Path::new(SYSTEM_UNITS).join(name))?;
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

/// Stops the services and removes what [`install`] and [`install_control`] put there, but for what belongs to a package and
/// for the users, which files may still belong to. Returns what was removed.
///
/// # Errors
/// When the agent's service cannot be stopped, or something cannot be removed.
pub(super) fn uninstall() -> Result<Vec<PathBuf>, ServiceError> {
    for unit in [CONTROL_UNITS[0].0, CONTROL_UNITS[1].0, UNIT_NAME] {
        // One that was never installed cannot be stopped.
        let _ = run("systemctl", &["disable", "--quiet", "--now", unit]);
    }
    if run("systemctl", &["is-active", "--quiet", UNIT_NAME]).is_ok() {
        return Err(ServiceError::StillRuns);
    }
    let mut removed = Vec::new();
    for path in installed() {
        if remove(&path)? {
            removed.push(path);
        }
    }
    // Drop-ins of the machine's owner stay.
    let _ = fs::remove_dir(drop_ins());
    run("systemctl", &["daemon-reload"])?;
    Ok(removed)
}

/// The files that [`uninstall`] removes.
pub(super) fn installed() -> Vec<PathBuf> {
    let mut paths = vec![drop_ins().join(SETTINGS_DROP_IN), drop_ins().join(DISK_IO_DROP_IN), polkit_file()];
    let units = [UNIT_NAME, CONTROL_UNITS[0].0, CONTROL_UNITS[1].0];
    if !is_packaged() {
        paths.extend(units.map(|unit| Path::new(PACKAGED_UNITS).join(unit)));
        paths.push(PROGRAM.into());
    }
    paths.extend(earlier(Path::new(SYSTEM_UNITS)));
    paths.retain(|path| path.exists());
    paths
}

/// Whether the installed service, if there is one, reads the settings in `config`.
pub(super) fn reads(config: &Path) -> bool {
    is_read(Path::new(SYSTEM_UNITS), config)
}

fn is_read(units: &Path, config: &Path) -> bool {
    if let Some(unit) = earlier_unit(units) {
        let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")?.split_once(" --config "));
        return command.is_some_and(|(_, path)| Path::new(path) == config);
    }
    match fs::read_to_string(drop_ins_in(units).join(SETTINGS_DROP_IN)) {
        Ok(text) => text == other_settings(config),
        Err(_) => config == Path::new(CONFIG),
    }
}

/// The folder of the control helper's ledger.
pub(super) fn control_state() -> PathBuf {
    CONTROL_STATE.into()
}

/// Where the rule of polkit goes.
pub(super) fn polkit_file() -> PathBuf {
    Path::new(POLKIT_FOLDER).join(POLKIT_FILE)
}

/// Who may read the journal of systemd.
const JOURNAL_GROUP: &str = "systemd-journal";

fn make_user(user: &str) -> Result<(), ServiceError> {
    if run("id", &["--user", user]).is_err() {
        run("useradd", &["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user])?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), ServiceError> {
    fs::write(path, text).map_err(|source| ServiceError::Write { path: path.to_owned(), source })
}

/// Removes a file; `false` where there is none.
fn remove(path: &Path) -> Result<bool, ServiceError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(ServiceError::Write { path: path.to_owned(), source }),
    }
}

/// Whether the program at its place belongs to a package, so that it is the package manager's to change.
fn is_packaged() -> bool {
    let owners: [(&str, &[&str]); 2] =
        [("dpkg-query", &["--search", PROGRAM]), ("rpm", &["--query", "--file", PROGRAM])];
    owners.iter().any(|(manager, arguments)| {
        Command::new(manager).args(*arguments).output().is_ok_and(|output| output.status.success())
    })
}

/// Removes the units and the program that earlier versions wrote elsewhere, where they would hide these. A control helper
/// gets its units at their new place.
fn remove_earlier() -> Result<(), ServiceError> {
    let units = Path::new(SYSTEM_UNITS);
    if earlier_unit(units).is_some_and(|text| text.contains("CAP_DAC_READ_SEARCH")) {
        write_in(&drop_ins(), DISK_IO_DROP_IN, DISK_IO)?;
    }
    if has_earlier_control(units) && !is_packaged() {
        for (name, text) in CONTROL_UNITS {
            write(&Path::new(PACKAGED_UNITS).join(name), text)?;
        }
    }
    earlier(units).iter().try_for_each(|path| remove(path).map(|_| ()))
}

/// The units in `units` that earlier versions wrote, and their program.
fn earlier(units: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    if earlier_unit(units).is_some() {
        paths.extend([units.join(UNIT_NAME), EARLIER_PROGRAM.into()]);
    }
    if has_earlier_control(units) {
        paths.extend(CONTROL_UNITS.map(|(name, _)| units.join(name)));
    }
    paths
}

/// The text of the agent's unit in `units`, if an earlier version wrote it.
fn earlier_unit(units: &Path) -> Option<String> {
    let text = fs::read_to_string(units.join(UNIT_NAME)).ok()?;
    text.starts_with(WRITTEN_BY_JOIN).then_some(text)
}

/// Whether the control helper's unit in `units` starts the program of an earlier version.
fn has_earlier_control(units: &Path) -> bool {
    let text = fs::read_to_string(units.join(CONTROL_UNITS[1].0)).unwrap_or_default();
    text.lines().any(|line| line.starts_with(&format!("ExecStart={EARLIER_PROGRAM} ")))
}

fn drop_ins() -> PathBuf {
    drop_ins_in(Path::new(SYSTEM_UNITS))
}

fn drop_ins_in(units: &Path) -> PathBuf {
    units.join(format!("{UNIT_NAME}.d"))
}

/// Writes into `folder` what is other on this machine than the unit says. What `--disk-io` wrote before stays.
fn write_drop_ins(folder: &Path, config: &Path, sees_disk_io: bool) -> Result<(), ServiceError> {
    if config == Path::new(CONFIG) {
        remove(&folder.join(SETTINGS_DROP_IN))?;
    } else {
        write_in(folder, SETTINGS_DROP_IN, &other_settings(config))?;
    }
    if sees_disk_io {
        write_in(folder, DISK_IO_DROP_IN, DISK_IO)?;
    }
    Ok(())
}

fn write_in(folder: &Path, name: &str, text: &str) -> Result<(), ServiceError> {
    fs::create_dir_all(folder).map_err(|source| ServiceError::Write { path: folder.to_owned(), source })?;
    write(&folder.join(name), text)
}

/// The drop-in for settings in `config`.
fn other_settings(config: &Path) -> String {
    // The service starts in another folder than `join`.
    let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let config = config.to_string_lossy();
    // systemd replaces what follows % and $, and reads backslashes and quotes.
    let quoted = config.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!(
        "# Written by `fleetps-agent join --folder`.\n[Unit]\nConditionPathExists=\nConditionPathExists={}\n[Service]\n\
         ExecStart=\nExecStart={PROGRAM} --config \"{}\"\n",
        config.replace('%', "%%"),
        quoted.replace('$', "$$")
    )
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
        let lines: Vec<&str> = UNIT.lines().collect();
        let program = format!("ExecStart={PROGRAM} --config {CONFIG}");
        let condition = format!("ConditionPathExists={CONFIG}");
        for line in [
            program.as_str(),
            condition.as_str(),
            "Type=notify",
            "WatchdogSec=60",
            "Restart=always",
            "User=fleetps-agent",
            "CapabilityBoundingSet=CAP_SYS_PTRACE",
            "NoNewPrivileges=yes",
        ] {
            assert!(lines.contains(&line), "{line}");
        }
    }

    #[test]
    fn what_is_other_on_this_machine_is_a_drop_in_and_disk_io_stays_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let drop_ins = folder.path().join("fleetps-agent.service.d");
        write_drop_ins(&drop_ins, Path::new(CONFIG), false).unwrap();
        assert!(!drop_ins.exists());
        write_drop_ins(&drop_ins, Path::new("/srv/100% $HOME \"a\"/agent.toml"), true).unwrap();
        let settings = fs::read_to_string(drop_ins.join(SETTINGS_DROP_IN)).unwrap();
        for line in [
            r#"ConditionPathExists=/srv/100%% $HOME "a"/agent.toml"#,
            "ExecStart=",
            r#"ExecStart=/usr/bin/fleetps-agent --config "/srv/100%% $$HOME \"a\"/agent.toml""#,
        ] {
            assert!(settings.lines().any(|found| found == line), "{line} in {settings}");
        }
        write_drop_ins(&drop_ins, Path::new(CONFIG), false).unwrap();
        assert!(!drop_ins.join(SETTINGS_DROP_IN).exists(), "the usual place needs none");
        let disk_io = fs::read_to_string(drop_ins.join(DISK_IO_DROP_IN)).unwrap();
        assert!(disk_io.contains("\nAmbientCapabilities=CAP_DAC_READ_SEARCH\n"), "{disk_io}");
    }

    #[test]
    fn units_of_an_earlier_join_are_found_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let units = folder.path();
        let [socket, service] = CONTROL_UNITS;
        // The units of today are the owner's own copies.
        for (name, text) in [(UNIT_NAME, UNIT), socket, service] {
            fs::write(units.join(name), text).unwrap();
        }
        assert!(earlier(units).is_empty());
        fs::write(units.join(service.0), service.1.replace(PROGRAM, EARLIER_PROGRAM)).unwrap();
        assert_eq!(earlier(units), [units.join(socket.0), units.join(service.0)]);
        fs::write(units.join(UNIT_NAME), format!("{WRITTEN_BY_JOIN}\n{UNIT}")).unwrap();
        assert_eq!(earlier(units)[..2], [units.join(UNIT_NAME), PathBuf::from(EARLIER_PROGRAM)]);
    }

    #[test]
    fn the_service_reads_one_settings_file() {
        let folder = tempfile::tempdir().unwrap();
        let units = folder.path();
        let (usual, other) = (Path::new(CONFIG), Path::new("/srv/fleetps/agent.toml"));
        assert!(is_read(units, usual) && !is_read(units, other));
        write_drop_ins(&drop_ins_in(units), other, false).unwrap();
        assert!(!is_read(units, usual) && is_read(units, other));
        write_drop_ins(&drop_ins_in(units), usual, false).unwrap();
        let earlier = format!(
            "{WRITTEN_BY_JOIN}\n[Service]\nExecStart={EARLIER_PROGRAM} --config {}\n",
            other.display()
        );
        fs::write(units.join(UNIT_NAME), earlier).unwrap();
        assert!(!is_read(units, usual) && is_read(units, other));
    }
}
