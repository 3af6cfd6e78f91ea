//! From a Linux control group to the systemd unit, the container and the pod of a process.
//!
//! A path is read from its root to the process: `Part` says what each component is. The innermost container is the
//! process's. **A process in a container has no unit:** units inside are the container's own and not the host's, and the
//! runtime's unit outside (`containerd.service`) is not what runs. A monitor that a runtime keeps beside a container
//! (`crio-conmon-ID.scope`, `lxc.monitor.NAME`) counts as the container's.

/// Where a process belongs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Membership {
    /// The host's systemd unit, as in "nginx.service" or, in a user's session, "app-firefox.scope".
    pub unit: Option<String>,
    /// The first 12 hexadecimal digits of the container's id, or its name.
    pub container: Option<String>,
    /// Uid of the Kubernetes pod.
    pub pod: Option<String>,
}

/// The prefixes of a container's id in a component's name, by runtime. `conmon` is Podman's and CRI-O's monitor.
const ID_PREFIXES: [&str; 11] = [
    "docker-",
    "cri-containerd-",
    "containerd-",
    "nerdctl-",
    "cri-dockerd-",
    "crio-conmon-",
    "crio-",
    "libpod-conmon-",
    "libpod-payload-",
    "libpod-",
    "buildkit-",
];
/// The suffixes of units that hold processes; slices hold units.
const UNIT_KINDS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
/// Container ids are 64 hexadecimal digits (a SHA-256); Docker itself shows this many.
const ID_DIGITS: usize = 64;
const SHOWN_DIGITS: usize = 12;
/// A task of ECS on Fargate, and the allocations of Nomad, which shows this many of their digits.
const TASK_DIGITS: usize = 32;
const ALLOCATION_SHOWN: usize = 8;
/// A pod's uid: 32 hexadecimal digits, with or without dashes (a static pod's is an MD5).
const POD_DIGITS: usize = 32;

/// Reads /proc/PID/cgroup: of version 2 the one line `0::/path`, of version 1 the line of systemd's own hierarchy for
/// the unit, and any line for the container and the pod.
pub(crate) fn parse(text: &str) -> Membership {
    let mut membership = Membership::default();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let found = of_path(path);
        membership.container = membership.container.or(found.container);
        membership.pod = membership.pod.or(found.pod);
        if controllers.is_empty() || controllers == "name=systemd" {
            membership.unit = membership.unit.or(found.unit);
        }
    }
    if membership.container.is_some() || membership.pod.is_some() {
        membership.unit = None;
    }
    membership
}

fn of_path(path: &str) -> Membership {
    let mut membership = Membership::default();
    // An agent in a control group namespace of its own sees the others as `/../../kubepods/…`.
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    let mut is_kubernetes = false;
    for (place, part) in parts.iter().copied().enumerate() {
        is_kubernetes |= part.contains("kubepods");
        if is_kubernetes && let Some(pod) = pod(part) {
            membership.pod = Some(pod);
        }
        match container(
            part,
            parts.get(place + 1).copied(),
            place.checked_sub(1).and_then(|at| parts.get(at)),
        ) {
            Some(container) => membership.container = Some(container),
            None if UNIT_KINDS.iter().any(|kind| part.ends_with(kind)) => {
                // A user's whole session runs in user@1000.service; what runs inside it says more, and comes after it.
                membership.unit = Some(part.to_owned());
            }
            None => {}
        }
    }
    membership
}

/// The container that begins at `part`, given the component after it and the one before it.
fn container(part: &str, next: Option<&str>, before: Option<&&str>) -> Option<String> {
    // `kubepods-burstable-podUID.slice:cri-containerd:ID`, where runc was given systemd's way of naming but not systemd.
    let last = part.rsplit(':').next().unwrap_or(part);
    let bare = last.strip_suffix(".scope").unwrap_or(last);
    let id = ID_PREFIXES.iter().find_map(|prefix| bare.strip_prefix(prefix)).unwrap_or(bare);
    if is_hex(id, ID_DIGITS) {
        return Some(id[..SHOWN_DIGITS].to_owned());
    }
    fargate(bare)
        .or_else(|| lxc(part, before.copied()))
        .or_else(|| nspawn(part, next))
        .or_else(|| nomad(bare, before.copied()))
}

/// `/ecs/TASK/TASK-NUMBER`: the number tells a task's containers apart.
fn fargate(part: &str) -> Option<String> {
    let (task, number) = part.split_once('-')?;
    let is_number =
        !number.is_empty() && number.len() <= 20 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_hex(task, TASK_DIGITS) && is_number).then(|| part.to_owned())
}

/// `lxc.payload.NAME`, `lxc.monitor.NAME`, `lxc.payload/NAME`, `lxc/NAME`; LXD and Proxmox use the same.
fn lxc(part: &str, before: Option<&str>) -> Option<String> {
    let named = ["lxc.payload.", "lxc.monitor."].iter().find_map(|prefix| part.strip_prefix(prefix));
    let below = || matches!(before?, "lxc" | "lxc.payload" | "lxc.monitor").then_some(part);
    named.or_else(below).filter(|name| !name.is_empty()).map(str::to_owned)
}

/// `machine-NAME.scope` and `systemd-nspawn@NAME.service`, with what systemd-nspawn makes in them. Its own process is the
/// host's, and a virtual machine's too.
fn nspawn(part: &str, next: Option<&str>) -> Option<String> {
    if let Some(name) = part.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service")) {
        return next.filter(|next| *next != "supervisor").map(|_| unescaped(name));
    }
    let name = unescaped(part.strip_prefix("machine-")?.strip_suffix(".scope")?);
    if next == Some("supervisor") || name.starts_with("qemu-") {
        return None;
    }
    // libvirt puts its driver and the domain's number before the name.
    let of_libvirt = name.strip_prefix("lxc-").and_then(|rest| rest.split_once('-'));
    let name = match of_libvirt {
        Some((number, name)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
        _ => name,
    };
    Some(name).filter(|name| !name.is_empty())
}

/// `nomad.slice/share.slice/ALLOCATION.TASK.scope` and `nomad/ALLOCATION.TASK`; as Nomad, with 8 digits of the allocation.
fn nomad(bare: &str, before: Option<&str>) -> Option<String> {
    if !matches!(before?, "share.slice" | "reserve.slice" | "nomad.slice" | "nomad" | "share" | "reserve") {
        return None;
    }
    let (allocation, task) = bare.split_once('.')?;
    let is_allocation = allocation.len() == 36 && is_uid(allocation) && !task.is_empty();
    is_allocation.then(|| format!("{}.{task}", &allocation[..ALLOCATION_SHOWN]))
}

/// The uid in `kubepods-burstable-podUID.slice` (dashes are underscores there) or `podUID`.
fn pod(part: &str) -> Option<String> {
    let name = part.split(':').next().unwrap_or(part);
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let start = name.rfind("pod").filter(|at| *at == 0 || name.as_bytes().get(at - 1) == Some(&b'-'))?;
    let uid = name.get(start + "pod".len()..)?.replace('_', "-");
    is_uid(&uid).then_some(uid)
}

fn is_uid(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = text.bytes().filter(|byte| *byte == b'-').count();
    digits == POD_DIGITS && dashes <= 4 && digits + dashes == text.len()
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A name as it was before systemd escaped it: `\x2d` is `-`.
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.strip_prefix(b"x").and_then(|hex| hex.get(..2)).filter(|_| *first == b'\\');
        let byte = escaped
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
