//! What is always refused: what the machine, its message bus or fleetps itself depends on.

use super::pattern::matches;

/// Units that nobody may touch from elsewhere: fleetps and its broker, the message bus, systemd's own, and the targets that
/// start, stop or suspend the whole machine.
pub const PROTECTED_UNITS: [&str; 30] = [
    "fleetps*",
    "nats-server*",
    "dbus*",
    "systemd-*",
    "init.scope",
    "system.slice",
    "user.slice",
    "machine.slice",
    "basic.target",
    "ctrl-alt-del.target",
    "default.target",
    "emergency.target",
    "exit.target",
    "factory-reset.target",
    "final.target",
    "graphical.target",
    "halt.target",
    "hibernate.target",
    "hybrid-sleep.target",
    "kexec.target",
    "multi-user.target",
    "poweroff.target",
    "reboot.target",
    "rescue.target",
    "runlevel*.target",
    "shutdown.target",
    "soft-reboot.target",
    "suspend*.target",
    "sysinit.target",
    "umount.target",
];
/// Processes of these names, of which the kernel keeps 15 bytes. A name proves nothing, so it only protects.
const PROTECTED_PROCESSES: [&str; 6] =
    ["fleetps*", "nats-server", "dbus-daemon", "dbus-broker*", "systemd*", "(sd-*"];

/// The line that protects the unit of this name.
pub(super) fn unit(name: &str) -> Option<&'static str> {
    PROTECTED_UNITS.into_iter().find(|pattern| matches(pattern, name))
}

/// The line that protects processes of this name.
pub(super) fn process(name: &str) -> Option<&'static str> {
    PROTECTED_PROCESSES.into_iter().find(|pattern| matches(pattern, name))
}
