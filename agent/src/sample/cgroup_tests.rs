//! Control groups as runtimes and distributions name them.

use super::*;

const ID: &str = "4f1a2b3c4d5e0000000000000000000000000000000000000000000000000000";
const INNER: &str = "aaaabbbbcccc0000000000000000000000000000000000000000000000000000";
const SHORT: &str = "4f1a2b3c4d5e";
const POD: &str = "b4f3dfaf-f987-499d-a04c-2c60eb01958c";
const POD_: &str = "podb4f3dfaf_f987_499d_a04c_2c60eb01958c";
const TASK: &str = "0e1f2d3c4b5a69788796a5b4c3d2e1f0";

/// `{ID}` and the like stand for the constants above.
fn filled(text: &str) -> String {
    let names = [("{ID}", ID), ("{INNER}", INNER), ("{POD}", POD), ("{POD_}", POD_), ("{TASK}", TASK)];
    names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// What it is, the file, and the unit, container and pod of it; `-` for none.
const LAYOUTS: &[(&str, &str, [&str; 3])] = &[
    ("a service", "0::/system.slice/nginx.service", ["nginx.service", "-", "-"]),
    ("a service with groups of its own", "0::/system.slice/php.service/pool-1", ["php.service", "-", "-"]),
    ("init", "0::/init.scope", ["init.scope", "-", "-"]),
    ("a getty", "0::/system.slice/system-getty.slice/getty@tty1.service", ["getty@tty1.service", "-", "-"]),
    ("a session", "0::/user.slice/user-1000.slice/session-3.scope", ["session-3.scope", "-", "-"]),
    (
        "an application of a user",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.scope",
        ["app-firefox.scope", "-", "-"],
    ),
    (
        "a user's init",
        "0::/user.slice/user-1000.slice/user@1000.service/init.scope",
        ["init.scope", "-", "-"],
    ),
    ("v1", "4:memory:/x.service\n1:name=systemd:/\n0::/", ["-", "-", "-"]),
    (
        "hybrid",
        "9:name=systemd:/system.slice/a.service\n4:memory:/\n0::/system.slice/a.service",
        ["a.service", "-", "-"],
    ),
    ("Alpine", "0::/openrc.nginx", ["-", "-", "-"]),
    ("nothing", "0::/", ["-", "-", "-"]),
    ("garbage", "garbage\n\n0:\n::\n0::///..//", ["-", "-", "-"]),
    ("Docker with systemd", "0::/system.slice/docker-{ID}.scope", ["-", SHORT, "-"]),
    ("Docker without", "0::/docker/{ID}", ["-", SHORT, "-"]),
    (
        "Docker, v1, seen in one hierarchy",
        "12:memory:/docker/{ID}\n1:name=systemd:/system.slice/docker.service\n",
        ["-", SHORT, "-"],
    ),
    (
        "systemd inside Docker",
        "0::/system.slice/docker-{ID}.scope/system.slice/nginx.service",
        ["-", SHORT, "-"],
    ),
    ("Docker in Docker", "0::/docker/{ID}/docker/{INNER}", ["-", "aaaabbbbcccc", "-"]),
    (
        "rootless Docker",
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope",
        ["-", SHORT, "-"],
    ),
    ("nerdctl", "0::/system.slice/nerdctl-{ID}.scope", ["-", SHORT, "-"]),
    (
        "containerd, systemd's driver",
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-{POD_}.slice/cri-containerd-{ID}.scope",
        ["-", SHORT, POD],
    ),
    (
        "containerd, a guaranteed pod, systemd inside",
        "0::/kubepods.slice/kubepods-{POD_}.slice/cri-containerd-{ID}.scope/system.slice/nginx.service",
        ["-", SHORT, POD],
    ),
    ("containerd, cgroupfs", "0::/kubepods/besteffort/pod{POD}/{ID}", ["-", SHORT, POD]),
    (
        "containerd, the colon form",
        "0::/system.slice/containerd.service/kubepods-burstable-{POD_}.slice:cri-containerd:{ID}",
        ["-", SHORT, POD],
    ),
    (
        "k3s, v1",
        "11:memory:/kubepods/burstable/pod{POD}/{ID}\n1:name=systemd:/kubepods/burstable/pod{POD}/{ID}",
        ["-", SHORT, POD],
    ),
    ("k3s itself", "0::/system.slice/k3s.service", ["k3s.service", "-", "-"]),
    (
        "MicroK8s, the snap",
        "0::/system.slice/snap.microk8s.daemon-kubelite.service",
        ["snap.microk8s.daemon-kubelite.service", "-", "-"],
    ),
    ("a pod of MicroK8s", "0::/kubepods/burstable/pod{POD}/{ID}", ["-", SHORT, POD]),
    (
        "a static pod",
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{TASK}.slice/cri-containerd-{ID}.scope",
        ["-", SHORT, TASK],
    ),
    (
        "minikube in Docker",
        "0::/system.slice/docker-{ID}.scope/kubepods.slice/kubepods-{POD_}.slice/docker-{INNER}.scope",
        ["-", "aaaabbbbcccc", POD],
    ),
    (
        "kind",
        "0::/docker/{ID}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
         kubelet-kubepods-burstable-{POD_}.slice/cri-containerd-{INNER}.scope",
        ["-", "aaaabbbbcccc", POD],
    ),
    ("the kubelet of kind", "0::/docker/{ID}/kubelet.slice/kubelet.service", ["-", SHORT, "-"]),
    ("a pod's own group", "0::/kubepods/besteffort/pod{POD}", ["-", "-", POD]),
    ("CRI-O", "0::/kubepods.slice/kubepods-{POD_}.slice/crio-{ID}.scope", ["-", SHORT, POD]),
    (
        "CRI-O, a container's own group",
        "0::/kubepods.slice/kubepods-{POD_}.slice/crio-{ID}.scope/container",
        ["-", SHORT, POD],
    ),
    ("CRI-O's monitor", "0::/kubepods.slice/kubepods-{POD_}.slice/crio-conmon-{ID}.scope", ["-", SHORT, POD]),
    ("Podman", "0::/machine.slice/libpod-{ID}.scope/container", ["-", SHORT, "-"]),
    ("Podman's monitor", "0::/machine.slice/libpod-conmon-{ID}.scope", ["-", SHORT, "-"]),
    ("Podman as a service (quadlet)", "0::/system.slice/web.service/libpod-payload-{ID}", ["-", SHORT, "-"]),
    (
        "rootless Podman",
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
        ["-", SHORT, "-"],
    ),
    ("LXC", "0::/lxc.payload.web1/system.slice/nginx.service", ["-", "web1", "-"]),
    (
        "LXC, a name with dots and dashes",
        "0::/lxc.payload.web-1.example/init.scope",
        ["-", "web-1.example", "-"],
    ),
    ("LXC, v1", "4:memory:/lxc/web2\n1:name=systemd:/lxc/web2/system.slice/ssh.service", ["-", "web2", "-"]),
    ("LXC's monitor", "0::/lxc.monitor.web1", ["-", "web1", "-"]),
    ("LXD, the snap", "0::/system.slice/snap.lxd.daemon.service", ["snap.lxd.daemon.service", "-", "-"]),
    ("Proxmox", "0::/lxc/101/ns/system.slice/postfix@-.service", ["-", "101", "-"]),
    ("Proxmox's monitor", "0::/lxc.monitor/101", ["-", "101", "-"]),
    ("Docker in LXD", "0::/lxc.payload.c1/system.slice/docker-{ID}.scope", ["-", SHORT, "-"]),
    ("the unit lxc.service", "0::/system.slice/lxc.service", ["lxc.service", "-", "-"]),
    (
        "systemd-nspawn by machinectl",
        "0::/machine.slice/machine-web\\x2d3.scope/payload/system.slice/nginx.service",
        ["-", "web-3", "-"],
    ),
    ("its supervisor", "0::/machine.slice/machine-web3.scope/supervisor", ["machine-web3.scope", "-", "-"]),
    (
        "before payload was made",
        "0::/machine.slice/machine-web3.scope/system.slice/a.service",
        ["-", "web3", "-"],
    ),
    (
        "systemd-nspawn as a service",
        "0::/machine.slice/systemd-nspawn@db.service/payload/init.scope",
        ["-", "db", "-"],
    ),
    (
        "the supervisor of that",
        "0::/machine.slice/systemd-nspawn@db.service/supervisor",
        ["systemd-nspawn@db.service", "-", "-"],
    ),
    (
        "a virtual machine",
        "0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator",
        ["machine-qemu\\x2d1\\x2dvm.scope", "-", "-"],
    ),
    (
        "LXC by libvirt",
        "0::/machine.slice/machine-lxc\\x2d4711\\x2dshop.scope/system.slice/a.service",
        ["-", "shop", "-"],
    ),
    ("ECS", "0::/ecs/{TASK}/{ID}", ["-", SHORT, "-"]),
    ("ECS, v2", "0::/ecstasks.slice/ecstasks-{TASK}.slice/docker-{ID}.scope", ["-", SHORT, "-"]),
    (
        "ECS on Fargate",
        "0::/ecs/{TASK}/{TASK}-1234567890",
        ["-", "0e1f2d3c4b5a69788796a5b4c3d2e1f0-1234567890", "-"],
    ),
    ("Nomad", "0::/nomad.slice/share.slice/{POD}.web.scope", ["-", "b4f3dfaf.web", "-"]),
    ("Docker by Nomad", "0::/nomad.slice/share.slice/docker-{ID}.scope", ["-", SHORT, "-"]),
    (
        "seen from another pod",
        "0::/../../kubepods-burstable-{POD_}.slice/cri-containerd-{ID}.scope",
        ["-", SHORT, POD],
    ),
    ("seen from a container", "0::/../../system.slice/cron.service", ["cron.service", "-", "-"]),
];

#[test]
fn unit_container_and_pod_are_found_in_every_usual_layout() {
    for (what, text, expected) in LAYOUTS {
        let found = parse(&filled(text));
        let found = [&found.unit, &found.container, &found.pod].map(|value| value.as_deref().unwrap_or("-"));
        assert_eq!(found, *expected, "{what}: {text}");
    }
}

#[test]
fn names_that_only_look_like_an_id_are_none() {
    for path in [
        "/system.slice/docker-short.scope",
        "/docker/zz1a2b3c4d5e0000000000000000000000000000000000000000000000000000",
        "/podcasts.slice",
        "/system.slice/pod-b4f3dfaf-f987-499d-a04c-2c60eb01958c.service",
        "/nomad.slice/share.slice/web.scope",
        "/ecs/0e1f-12",
        "/lxc.payload.",
        "/machine-.scope",
        "/\u{e9}\u{e9}pod/kubepods/\u{e9}pod1",
    ] {
        let found = parse(&format!("0::{path}"));
        assert_eq!((found.container, found.pod), (None, None), "{path}");
    }
}

#[test]
fn an_escaped_name_is_read_and_a_broken_one_is_kept() {
    for (name, plain) in
        [("a\\x2db", "a-b"), ("a\\x2", "a\\x2"), ("\\", "\\"), ("\\xzz", "\\xzz"), ("\\xc3\\xa9", "\u{e9}")]
    {
        assert_eq!(unescaped(name), plain);
    }
}
