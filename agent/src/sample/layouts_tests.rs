//! Processes as other kernels, distributions and runtimes show them: small fake trees with what is right beside them.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::*;
use crate::sample::raw::Facts;

/// What a fake process has in its folder.
struct Tree<'a> {
    what: &'a str,
    /// State, CPU ticks of ended children and threads are in `stat`.
    state: char,
    threads: u32,
    status: &'a str,
    cgroup: &'a str,
    cmdline: &'a [u8],
    /// Where `exe` points, below the folder of executables or from the root; `NAME` and `NAME (deleted)` exist.
    exe: Option<&'a str>,
    expected: Expected<'a>,
}

#[derive(Debug, PartialEq)]
struct Expected<'a> {
    user: Option<&'a str>,
    unit: Option<&'a str>,
    container: Option<&'a str>,
    pod: Option<&'a str>,
    arguments: &'a [&'a str],
    executable: Option<&'a str>,
    deleted: Option<bool>,
    shared_kib: Option<u64>,
    ignores_children: bool,
}

const NOTHING: Expected<'static> = Expected {
    user: None,
    unit: None,
    container: None,
    pod: None,
    arguments: &[],
    executable: None,
    deleted: None,
    shared_kib: None,
    ignores_children: false,
};

const fn usual(what: &'static str) -> Tree<'static> {
    Tree { what, state: 'S', threads: 1, status: "", cgroup: "", cmdline: b"", exe: None, expected: NOTHING }
}

const TREES: &[Tree<'static>] = &[
    Tree {
        status: "Name:\tnginx\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t42\nNgid:\t0\nPid:\t42\nUid:\t0\t33\t0\t33\n\
                Groups:\t33\nNStgid:\t42\nNSpid:\t42\nVmRSS:\t9000 kB\nRssAnon:\t5000 kB\nRssFile:\t3000 kB\nRssShmem:\t1000 kB\n\
                Threads:\t1\nSigIgn:\t0000000000001000\n",
        cgroup: "0::/system.slice/nginx.service\n",
        cmdline: b"nginx: worker process\0\0\0\0",
        exe: Some("NAME"),
        expected: Expected {
            user: Some("33"),
            unit: Some("nginx.service"),
            arguments: &["nginx: worker process"],
            executable: Some("NAME"),
            deleted: Some(false),
            shared_kib: Some(4000),
            ..NOTHING
        },
        ..usual("Ubuntu 24.04, v2")
    },
    Tree {
        status: "Name:\tsshd\nState:\tS (sleeping)\nUid:\t0\t0\t0\t0\nVmRSS:\t9000 kB\nThreads:\t1\n",
        cgroup: "11:memory:/\n1:name=systemd:/system.slice/sshd.service\n",
        cmdline: b"/usr/sbin/sshd\0-D\0",
        expected: Expected {
            user: Some("0"),
            unit: Some("sshd.service"),
            arguments: &["/usr/sbin/sshd", "-D"],
            ..NOTHING
        },
        ..usual("CentOS 7: kernel 3.10 knows neither namespaces nor shared memory there")
    },
    Tree {
        status: "Name:\tcrond\nUid:\t0\t0\t0\t0\nNSpid:\t42\nRssFile:\t700 kB\nRssShmem:\t0 kB\n",
        cgroup: "12:pids:/system.slice/crond.service\n1:name=systemd:/system.slice/crond.service\n",
        cmdline: b"/usr/sbin/crond\0-n\0",
        expected: Expected {
            user: Some("0"),
            unit: Some("crond.service"),
            arguments: &["/usr/sbin/crond", "-n"],
            shared_kib: Some(700),
            ..NOTHING
        },
        ..usual("RHEL 8, v1")
    },
    Tree {
        status: "Name:\tinit\nUid:\t0\t0\t0\t0\nNSpid:\t42\n",
        cgroup: "0::/\n",
        cmdline: b"/sbin/init\0",
        exe: Some("/bin/busybox"),
        expected: Expected {
            user: Some("0"),
            arguments: &["/sbin/init"],
            executable: Some("/bin/busybox"),
            deleted: Some(false),
            ..NOTHING
        },
        ..usual("Alpine's init, a link to busybox")
    },
    Tree {
        status: "Name:\tpostgres\nUid:\t100026\t100026\t100026\t100026\nNSpid:\t42\t17\nSigIgn:\t0000000000010000\n",
        cgroup: "0::/lxc/101/ns/system.slice/postgresql@15-main.service\n",
        cmdline: b"postgres: 15/main: walwriter \0",
        expected: Expected {
            user: Some("100026"),
            container: Some("101"),
            arguments: &["postgres: 15/main: walwriter "],
            ignores_children: true,
            ..NOTHING
        },
        ..usual("in an unprivileged LXC container of Proxmox")
    },
    Tree {
        status: "Name:\tapp\nUid:\t65532\t65532\t65532\t65532\nNSpid:\t42\t1\n",
        cgroup: "0::/kubepods/burstable/podb4f3dfaf-f987-499d-a04c-2c60eb01958c/4f1a2b3c4d5e0000000000000000000000000000000000000000000000000000\n",
        cmdline: b"/app\0",
        expected: Expected {
            user: Some("65532"),
            container: Some("4f1a2b3c4d5e"),
            pod: Some("b4f3dfaf-f987-499d-a04c-2c60eb01958c"),
            arguments: &["/app"],
            ..NOTHING
        },
        ..usual("in a pod of k3s")
    },
    Tree {
        status: "Name:\tchrome\nUid:\t1000\t1000\t1000\t1000\nNSpid:\t42\t3\n",
        cgroup: "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-chrome.scope\n",
        cmdline: b"chrome --type=renderer\0",
        expected: Expected { user: Some("1000"), arguments: &["chrome --type=renderer"], ..NOTHING },
        ..usual("in a pid namespace of its own, without a container")
    },
    Tree {
        status: "Name:\tunshared\nUid:\t0\t0\t0\t0\nNSpid:\t42\t1\n",
        cgroup: "0::/system.slice/web.service\n",
        cmdline: b"a\0",
        expected: Expected { user: Some("0"), arguments: &["a"], ..NOTHING },
        ..usual("a runtime that leaves the control group as it is")
    },
    Tree {
        state: 'I',
        status: "Name:\tkworker/0:1-events\nUid:\t0\t0\t0\t0\nThreads:\t1\nNSpid:\t42\n",
        cgroup: "0::/\n",
        expected: Expected { user: Some("0"), ..NOTHING },
        ..usual("a kernel thread")
    },
    Tree {
        state: 'Z',
        status: "Name:\tgone\nState:\tZ (zombie)\nUid:\t1000\t1000\t1000\t1000\nThreads:\t1\nNSpid:\t42\n",
        cgroup: "0::/user.slice/user-1000.slice/session-3.scope\n",
        expected: Expected { user: Some("1000"), unit: Some("session-3.scope"), ..NOTHING },
        ..usual("a zombie that was never seen alive")
    },
    Tree {
        status: "Name:\ta\\nUid:\\t0\\t0\\t0\\t0\nUid:\t7\t8\t7\t7\n",
        cgroup: "0::/../../system.slice/cron.service\n",
        cmdline: b"\0\0\0",
        expected: Expected { user: Some("8"), unit: Some("cron.service"), ..NOTHING },
        ..usual("a name that looks like a field, seen from a container")
    },
    Tree {
        status: "Uid:\t4294967294\t4294967294\t0\t0\n",
        cgroup: "not a control group",
        cmdline: b"\xff\xfe\0--x\xff\0",
        expected: Expected {
            user: Some("4294967294"),
            arguments: &["\u{fffd}\u{fffd}", "--x\u{fffd}"],
            ..NOTHING
        },
        ..usual("bytes that are no text, and the greatest uid")
    },
    Tree {
        status: "Uid:\t0\t0\t0\t0\n",
        exe: Some("gone (deleted)"),
        expected: Expected { user: Some("0"), executable: Some("gone"), deleted: Some(true), ..NOTHING },
        ..usual("an executable that was deleted")
    },
    Tree {
        status: "Uid:\t0\t0\t0\t0\n",
        exe: Some("NAME (deleted)"),
        expected: Expected {
            user: Some("0"),
            executable: Some("NAME (deleted)"),
            deleted: Some(false),
            ..NOTHING
        },
        ..usual("an executable that is called so")
    },
    Tree {
        status: "Uid:\t0\t0\t0\t0\n",
        exe: Some("NAME (deleted) (deleted)"),
        expected: Expected {
            user: Some("0"),
            executable: Some("NAME (deleted)"),
            deleted: Some(true),
            ..NOTHING
        },
        ..usual("one that was called so and is deleted")
    },
    Tree {
        status: "Uid:\t0\t0\t0\t0\n",
        exe: Some("/memfd:loader (deleted)"),
        expected: Expected {
            user: Some("0"),
            executable: Some("/memfd:loader"),
            deleted: Some(true),
            ..NOTHING
        },
        ..usual("a program that was never on a disk")
    },
];

/// Writes the tree of process 42 into `proc`; executables are in `files`.
fn grow(proc: &Path, files: &Path, tree: &Tree<'_>) {
    let own = proc.join("42");
    fs::create_dir_all(&own).unwrap();
    let Tree { state, threads, .. } = tree;
    let stat =
        format!("42 (x) {state} 1 42 42 0 -1 4194560 0 0 0 0 5 5 4 3 20 0 {threads} 0 6000 4096 1 0\n");
    fs::write(own.join("stat"), stat).unwrap();
    fs::write(own.join("status"), tree.status).unwrap();
    fs::write(own.join("cgroup"), tree.cgroup).unwrap();
    fs::write(own.join("cmdline"), tree.cmdline).unwrap();
    symlink("/", own.join("root")).unwrap();
    if let Some(exe) = tree.exe {
        symlink(files.join(exe), own.join("exe")).unwrap();
    }
}

#[test]
fn every_layout_gives_what_ps_gives() {
    for tree in TREES {
        let (proc, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["NAME", "NAME (deleted)"] {
            fs::write(files.path().join(name), "").unwrap();
        }
        if tree.exe == Some("NAME (deleted) (deleted)") {
            fs::remove_file(files.path().join("NAME (deleted)")).unwrap();
        }
        grow(proc.path(), files.path(), tree);
        let mut source = ProcFolder::new(proc.path().to_str().unwrap(), 0);
        let facts = facts(&mut source, 42);
        let below = format!("{}/", files.path().display());
        let arguments = facts.arguments.unwrap();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let found = Expected {
            user: facts.user_id.as_deref(),
            unit: facts.unit.as_deref(),
            container: facts.container.as_deref(),
            pod: facts.pod.as_deref(),
            arguments: &arguments,
            executable: facts.executable.as_deref().map(|path| path.strip_prefix(&below).unwrap_or(path)),
            deleted: facts.executable_deleted,
            shared_kib: facts.figures.shared_bytes.map(|bytes| bytes / 1024),
            ignores_children: facts.ignores_children,
        };
        assert_eq!(found, tree.expected, "{}", tree.what);
    }
}

fn facts(source: &mut ProcFolder, pid: u32) -> Facts {
    let mut found = Vec::new();
    let wanted = Wanted { pid, token: 1, facts: true, storage: false };
    source.details(&[wanted], Duration::from_secs(60), &mut |details| found.push(details));
    found.remove(0).facts.unwrap()
}

/// The kernel shows nothing of the main thread but its number; the others know.
#[test]
fn a_process_whose_main_thread_has_ended_is_read_from_another_thread() {
    let (proc, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let leader = "Name:\tx\nState:\tZ (zombie)\nUid:\t5\t5\t5\t5\nThreads:\t2\n";
    let tree = Tree { state: 'Z', threads: 2, status: leader, ..usual("") };
    grow(proc.path(), files.path(), &tree);
    let task = |tid: &str, status: &str, cmdline: &str, pages: u32| {
        let folder = proc.path().join("42/task").join(tid);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("status"), status).unwrap();
        fs::write(folder.join("cmdline"), cmdline).unwrap();
        let bytes = pages * 8192;
        let stat = format!("{tid} (x) S 1 42 42 0 -1 0 0 0 0 0 1 1 0 0 20 0 2 0 6000 {bytes} {pages} 0\n");
        fs::write(folder.join("stat"), stat).unwrap();
    };
    task("42", leader, "", 0);
    task(
        "43",
        "Name:\tx\nState:\tS (sleeping)\nUid:\t5\t5\t5\t5\nThreads:\t2\nRssFile:\t8 kB\nRssShmem:\t0 kB\n",
        "srv\0-d\0",
        3,
    );
    let mut source = ProcFolder::new(proc.path().to_str().unwrap(), 0);
    let mut found = Vec::new();
    source.read(&mut found);
    let process = &found[0].process;
    assert_eq!((process.state, process.threads), ('Z', Some(2)));
    assert_eq!(process.resident_bytes, Some(3 * source.page_bytes));
    assert_eq!(process.virtual_bytes, Some(3 * 8192));
    assert_eq!(process.ended_children_cpu_ms, Some(70));
    let facts = facts(&mut source, 42);
    assert_eq!(facts.arguments.unwrap(), ["srv", "-d"]);
    assert_eq!(facts.figures.shared_bytes, Some(8192));
}
