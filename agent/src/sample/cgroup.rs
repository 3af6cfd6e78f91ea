//! From a Linux control group to the systemd unit and the container of a process.

/// Where a process belongs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// systemd unit, as in "nginx.service" or, in a user's session, "app-firefox.scope".
    pub unit: Option<String>,
    /// The first 12 hexadecimal digits of the container's id.
    pub container: Option<String>,
}

/// The prefixes of a container's id in a scope's name, by runtime.
const CONTAINER_SCOPES: [&str; 5] = ["docker-", "cri-containerd-", "crio-", "libpod-", "containerd-"];
/// The suffixes of units that hold processes; slices hold units.
const UNIT_KINDS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
/// Container ids are 64 hexadecimal digits (a SHA-256); Docker itself shows this many.
const ID_DIGITS: usize = 64;
const SHOWN_DIGITS: usize = 12;

/// Reads /proc/PID/cgroup: of version 2 the one line `0::/path`, of version 1 the line of systemd's own hierarchy for
/// the unit, and any line for the container.
pub fn parse(text: &str) -> Membership {
    let mut membership = Membership::default();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if membership.container.is_none() {
            membership.container = container(path);
        }
        if membership.unit.is_none() && (controllers.is_empty() || controllers == "name=systemd") {
            membership.unit = unit(path);
        }
    }
    membership
}

/// The innermost unit that is not a container's scope.
fn unit(path: &str) -> Option<String> {
    let is_unit = |part: &&str| UNIT_KINDS.iter().any(|kind| part.ends_with(kind));
    let mut units = path.split('/').filter(is_unit).filter(|part| id_in(part).is_none());
    // A user's whole session runs in user@1000.service; what runs inside it says more, and comes after it.
    units.next_back().map(str::to_owned)
}

fn container(path: &str) -> Option<String> {
    path.split('/').rev().find_map(id_in)
}

/// The container id that a part of a path is: `docker-ID.scope`, or `ID` alone as Docker and Kubernetes write it
/// without systemd.
fn id_in(part: &str) -> Option<String> {
    let bare = part.strip_suffix(".scope").unwrap_or(part);
    let id = CONTAINER_SCOPES.iter().find_map(|prefix| bare.strip_prefix(prefix)).unwrap_or(bare);
    let is_id = id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id[..SHOWN_DIGITS].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_containers_are_found_in_every_usual_layout() {
        let id = "4f1a2b3c4d5e".to_owned() + &"0".repeat(52);
        let cases: [(String, Option<&str>, bool); 14] = [
            ("0::/system.slice/nginx.service\n".to_owned(), Some("nginx.service"), false),
            ("0::/init.scope".to_owned(), Some("init.scope"), false),
            (
                "0::/system.slice/system-getty.slice/getty@tty1.service".to_owned(),
                Some("getty@tty1.service"),
                false,
            ),
            ("0::/user.slice/user-1000.slice/session-3.scope".to_owned(), Some("session-3.scope"), false),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.scope".to_owned(),
                Some("app-firefox.scope"),
                false,
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/init.scope".to_owned(),
                Some("init.scope"),
                false,
            ),
            (format!("0::/system.slice/docker-{id}.scope"), None, true),
            (format!("0::/docker/{id}"), None, true),
            (
                format!(
                    "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-{id}.scope"
                ),
                None,
                true,
            ),
            (format!("0::/machine.slice/libpod-{id}.scope/container"), None, true),
            (
                format!("12:memory:/docker/{id}\n1:name=systemd:/system.slice/docker.service\n"),
                Some("docker.service"),
                true,
            ),
            ("4:memory:/x.service\n1:name=systemd:/\n0::/".to_owned(), None, false),
            ("0::/".to_owned(), None, false),
            ("garbage\n\n0:\n".to_owned(), None, false),
        ];
        for (text, unit, has_container) in cases {
            let found = parse(&text);
            assert_eq!(found.unit.as_deref(), unit, "{text}");
            assert_eq!(found.container.as_deref(), has_container.then_some("4f1a2b3c4d5e"), "{text}");
        }
    }
}
