//! What keeps the agent from seeing all processes, or all of them whole. Said in words, for a list that is short without
//! a reason is a lie.
//!
//! Only /proc is read, which never blocks.

use std::{fs, path::Path};

use super::cgroup;

/// The inodes that the kernel gives to the namespaces in which it starts (include/linux/proc_ns.h).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";
const FIRST_CGROUP_NAMESPACE: &str = "cgroup:[4026531835]";

/// CAP_SYS_PTRACE, as a bit of the masks in `status`.
const MAY_LOOK_IN: u64 = 1 << 19;

/// The limits of what is seen below `proc`, usually `/proc`; `None` where there are none.
pub(super) fn limits(proc: &Path) -> Option<String> {
    let limits = [container(proc), hidden(proc).or_else(|| rights(proc))];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    (!limits.is_empty()).then(|| limits.join("; "))
}

fn container(proc: &Path) -> Option<String> {
    let namespace = |name: &str| fs::read_link(proc.join("self/ns").join(name)).ok();
    let is_of_its_own = |name, first: &str| namespace(name).is_some_and(|own| own.as_os_str() != first);
    if is_of_its_own("pid", FIRST_PID_NAMESPACE) {
        return Some("runs in a container: sees only the processes of its own pid namespace".to_owned());
    }
    let groups = fs::read(proc.join("self/cgroup")).unwrap_or_default();
    let is_in_container = cgroup::parse(&String::from_utf8_lossy(&groups)).container.is_some();
    (is_in_container || is_of_its_own("cgroup", FIRST_CGROUP_NAMESPACE)).then(|| {
        "runs in a container with the host's processes: user names are those that the container knows"
            .to_owned()
    })
}

/// `/proc` is mounted so that the processes of others are hidden, and they are: some users may see them all the same.
fn hidden(proc: &Path) -> Option<String> {
    let mounts = fs::read(proc.join("self/mountinfo")).ok()?;
    let option = mounts.split(|byte| *byte == b'\n').rev().find_map(|line| {
        let line = String::from_utf8_lossy(line);
        let (mount, filesystem) = line.split_once(" - ")?;
        let is_it = mount.split(' ').nth(4).map(Path::new) == Some(proc) && filesystem.starts_with("proc ");
        is_it.then(|| filesystem.rsplit(' ').next().unwrap_or_default().to_owned())
    });
    let hides = option?.split(',').find(|option| option.starts_with("hidepid=")).map(str::to_owned)?;
    if matches!(hides.as_str(), "hidepid=0" | "hidepid=off") || fs::read(proc.join("1/stat")).is_ok() {
        return None;
    }
    Some(format!(
        "sees only its own processes: /proc is mounted with {hides}, and the agent is not in its group"
    ))
}

/// Who may look into any process has one capability.
fn rights(proc: &Path) -> Option<String> {
    let status = fs::read_to_string(proc.join("self/status")).ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let capabilities = u64::from_str_radix(mask.trim(), 16).ok()?;
    (capabilities & MAY_LOOK_IN == 0).then(|| {
        "may not read the executable, storage bytes and open files of other users' processes (it lacks CAP_SYS_PTRACE)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use fleetps_nats::model::host::says_processes_are_hidden;

    use super::*;

    /// A /proc as an agent sees it: its namespaces, control group, and the options of the mount.
    fn seen(pid: &str, cgroup_namespace: &str, group: &str, options: &str, has_init: bool) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("self");
        fs::create_dir_all(own.join("ns")).unwrap();
        symlink(pid, own.join("ns/pid")).unwrap();
        symlink(cgroup_namespace, own.join("ns/cgroup")).unwrap();
        fs::write(own.join("cgroup"), group).unwrap();
        let mount = format!(
            "22 1 0:5 / / rw - ext4 /dev/vda rw\n23 22 0:21 / {} rw,nosuid shared:5 - proc proc rw{options}\n",
            folder.path().display()
        );
        fs::write(own.join("mountinfo"), [b"bad \xff line\n", mount.as_bytes()].concat()).unwrap();
        fs::write(own.join("status"), "Name:\tx\nCapEff:\t000001fffeffffff\n").unwrap();
        if has_init {
            fs::create_dir(folder.path().join("1")).unwrap();
            fs::write(folder.path().join("1/stat"), "1 (init)").unwrap();
        }
        limits(folder.path())
    }

    #[test]
    fn a_host_has_no_limits_and_containers_and_hidepid_say_theirs() {
        let host = (FIRST_PID_NAMESPACE, FIRST_CGROUP_NAMESPACE, "0::/system.slice/fleetps-agent.service\n");
        let said = |view: Option<String>| view.unwrap_or_default();
        assert_eq!(seen(host.0, host.1, host.2, "", true), None);
        assert_eq!(seen(host.0, host.1, host.2, ",gid=4,hidepid=invisible", true), None, "in the group");
        assert_eq!(seen(host.0, host.1, host.2, ",hidepid=0", false), None);
        for hides in ["hidepid=2", "hidepid=1", "hidepid=invisible", "hidepid=ptraceable", "hidepid=4"] {
            let view = said(seen(host.0, host.1, host.2, &format!(",{hides}"), false));
            assert!(view.contains("only its own processes") && view.contains(hides), "{view}");
            assert!(says_processes_are_hidden(&view), "{view}");
        }
        let own_namespace = said(seen("pid:[4026532200]", host.1, "0::/", "", true));
        assert!(own_namespace.contains("own pid namespace") && says_processes_are_hidden(&own_namespace));
        let sees_all = said(seen(host.0, "cgroup:[4026532201]", "0::/", "", true));
        assert!(sees_all.contains("host's processes") && !says_processes_are_hidden(&sees_all));
        let docker = format!("0::/docker/{}", "ab".repeat(32));
        assert!(said(seen(host.0, host.1, &docker, "", true)).contains("host's processes"));
    }

    #[test]
    fn an_agent_without_the_right_to_look_into_processes_says_so() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("self")).unwrap();
        for (status, is_limited) in [
            ("CapEff:\t0000000000000000\n", true),
            ("CapEff:\t00000000a80425fb\n", true),
            ("CapEff:\t000001ffffffffff\n", false),
            ("CapEff:\tx\n", false),
            ("", false),
        ] {
            fs::write(folder.path().join("self/status"), status).unwrap();
            assert_eq!(limits(folder.path()).is_some(), is_limited, "{status}");
        }
    }

    #[test]
    fn without_a_proc_nothing_is_said() {
        assert_eq!(limits(Path::new("/nonexistent")), None);
    }
}
