//! Every process of this machine as `ps` has it, beside the agent's snapshot, while others fork, call exec and setuid,
//! move to other control groups and end.
//!
//! `ps` runs before and after each sample. What both say alike must be in the sample too, and what only one says may.
//! These are the tolerances:
//! * A process is looked for if both have it, and one of the sample's must be in one of them or have started in between.
//! * A state is compared where it does not come and go by itself: stopped, zombie.
//! * User, name and command line have two samples' time. Programs that rewrite their own command line have a minute, so
//!   of a process that was not started here they are compared only while they stay the same.
//! * Threads come and go: two more or fewer may.
//! * Memory may differ by a MiB and a fiftieth from what lies between: the kernel counts it for each processor, and
//!   adds up when it likes.
//! * Ages are whole seconds in `ps`, rounded down.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fleetps_agent::{
    AgentSettings,
    sample::{Boot, FIRST_WAIT, Sampler},
    scrub::CommandLineMode,
};
use fleetps_nats::snapshot::{Process, Snapshot};

use crate::support::scale;

/// At scale 1; about half a minute at 2, as in `.ci/run`.
const ROUNDS: usize = 24;
const BETWEEN: Duration = Duration::from_millis(500);
const MEMORY_KIB: u64 = 1024;
const AGE_S: i64 = 2;
const THREADS: u32 = 2;
/// Characters of a command line that are compared: of a long one, the agent sends less than `ps` prints.
const COMPARED: usize = 1000;

/// What `ps` says of a process.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    parent: u32,
    user: String,
    state: char,
    threads: u32,
    nice: String,
    resident_kib: u64,
    virtual_kib: u64,
    age_s: i64,
    name: String,
    arguments: String,
}

fn output_of_ps(columns: &str) -> String {
    let output = Command::new("ps").args(["-eww", "-o", columns]).env("LC_ALL", "C.UTF-8").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ps() -> HashMap<u32, Line> {
    let names: HashMap<u32, String> = output_of_ps("pid=,comm=")
        .lines()
        .filter_map(|line| line.trim_start().split_once(' '))
        .filter_map(|(pid, name)| Some((pid.parse().ok()?, name.trim_start().to_owned())))
        .collect();
    let lines = output_of_ps("pid=,ppid=,user:32=,stat=,nlwp=,ni=,rss=,vsz=,etimes=,args=");
    let line = |line: &str| {
        let mut rest = line;
        let mut field = || {
            let (field, after) = rest.trim_start().split_once(' ')?;
            rest = after;
            Some(field.to_owned())
        };
        let pid: u32 = field()?.parse().ok()?;
        let line = Line {
            parent: field()?.parse().ok()?,
            user: field()?,
            state: field()?.chars().next()?,
            threads: field()?.parse().ok()?,
            nice: field()?,
            resident_kib: field()?.parse().ok()?,
            virtual_kib: field()?.parse().ok()?,
            age_s: field()?.parse().ok()?,
            name: steady(names.get(&pid)?),
            arguments: steady(rest.trim_start()),
        };
        Some((pid, line))
    };
    lines.lines().filter_map(line).collect()
}

/// A name, or one in brackets, without what a worker of the kernel does at the moment.
fn steady(text: &str) -> String {
    let bracket = if text.ends_with(']') { "]" } else { "" };
    match text.trim_start_matches('[').strip_prefix("kworker/").and_then(|rest| rest.split_once(':')) {
        Some((_, rest)) if rest.contains(['-', '+']) => {
            let work = rest.find(['-', '+']).map_or(0, |start| rest.len() - start);
            format!("{}{bracket}", &text[..text.len() - work])
        }
        _ => text.to_owned(),
    }
}

/// What both `ps` and the agent have of a text: no control characters, and of a long one the beginning.
fn printed(text: &str) -> String {
    let is_odd = |character: char| character.is_control() || matches!(character, '\u{fffd}' | ' ' | '?');
    text.trim_end()
        .chars()
        .map(|character| if is_odd(character) { '?' } else { character })
        .take(COMPARED)
        .collect()
}

/// `ours` with what the agent left out of a long text, `…[1,234 bytes]…`, as `theirs` has it at that place.
fn filled(ours: &str, theirs: &str) -> String {
    let mut whole = String::new();
    let mut rest = ours;
    while let Some((before, after)) = rest.split_once("…[")
        && let Some((count, after)) = after.split_once(" bytes]…")
        && let Ok(count) = count.replace(',', "").parse::<usize>()
    {
        whole += before;
        let left_out = theirs.get(whole.len()..whole.len().saturating_add(count));
        whole += left_out.unwrap_or("…");
        rest = after;
    }
    whole + rest
}

/// Names what differs between `process` and what `before` and `after` say alike.
fn differences(
    process: &Process,
    before: &Line,
    after: &Line,
    captured_at_us: i64,
    is_known: bool,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut same = |what: &str, ps: [&str; 2], ours: &str| {
        if ps[0] == ps[1] && ps[0] != ours {
            found.push(format!("{} {what}: ps has {:?}, the agent {ours:?}", process.pid, ps[0]));
        }
    };
    same(
        "parent",
        [&before.parent.to_string(), &after.parent.to_string()],
        &process.parent_pid.unwrap_or_default().to_string(),
    );
    if before.nice != "-" {
        same(
            "nice",
            [&before.nice, &after.nice],
            &process.nice.map(|nice| nice.to_string()).unwrap_or_default(),
        );
    }
    let lasts = |state: char| matches!(state, 'T' | 'Z').then_some(state).unwrap_or_default().to_string();
    if before.state == after.state && lasts(before.state) != lasts(process.state) {
        same("state", [&before.state.to_string(), &after.state.to_string()], &process.state.to_string());
    }
    if is_known {
        let user = process.user_name.clone().unwrap_or_default();
        same("user", [&before.user, &after.user], &user);
        let name = |line: &Line| line.name.strip_suffix(" <defunct>").unwrap_or(&line.name).to_owned();
        same("name", [&printed(&name(before)), &printed(&name(after))], &printed(&process.name));
        // A zombie has forgotten its command line; the agent has not.
        if before.state != 'Z' {
            let line = process.command_line.as_deref().filter(|line| !line.is_empty());
            let line = line.map_or_else(|| format!("[{}]", process.name), str::to_owned);
            let line = printed(&filled(&line, &before.arguments));
            same("command", [&printed(&before.arguments), &printed(&after.arguments)], &line);
        }
    }
    let mut between = |what: &str, ps: [u64; 2], ours: Option<u64>| {
        let (least, most) = (ps[0].min(ps[1]), ps[0].max(ps[1]));
        let slack = MEMORY_KIB + most / 50;
        let is_in = |kib: u64| kib + slack >= least && kib <= most + slack;
        // What was freed or got between may have been anything.
        if least + MEMORY_KIB > most && !ours.is_some_and(|bytes| is_in(bytes / 1024)) {
            found.push(format!("{} {what}: ps has {ps:?} KiB, the agent {ours:?} bytes", process.pid));
        }
    };
    // `ps` has nothing of a process whose main thread has ended. One that called exec between the two was sampled with
    // hardly any memory of either program.
    let is_one_program = before.name == after.name && before.arguments == after.arguments;
    if is_one_program && before.state != 'Z' && after.state != 'Z' {
        between("resident", [before.resident_kib, after.resident_kib], process.resident_bytes);
        between("virtual", [before.virtual_kib, after.virtual_kib], process.virtual_bytes);
    }
    let (fewest, most) = (before.threads.min(after.threads), before.threads.max(after.threads));
    if !process.threads.is_some_and(|threads| threads + THREADS >= fewest && threads <= most + THREADS) {
        found.push(format!(
            "{} threads: ps has {fewest} to {most}, the agent {:?}",
            process.pid, process.threads
        ));
    }
    let age_s = (captured_at_us - process.started_at_us) / 1_000_000;
    if age_s + AGE_S < before.age_s || age_s > after.age_s + AGE_S {
        found.push(format!("{} age: ps has {} s, the agent {age_s} s", process.pid, before.age_s));
    }
    found
}

/// Processes that do what others do; ended when this is dropped.
struct Scene {
    children: Vec<Child>,
    group: Option<PathBuf>,
}

impl Scene {
    fn start(folder: &Path) -> Self {
        let group = new_group();
        let mut scene = Self { children: Vec::new(), group };
        let busy = "while :; do sh -c 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done'; sleep 0.01; done";
        scene.run("sh", &["-c", busy]);
        scene.run("sh", &["-c", "while :; do setpriv --reuid 1234 --clear-groups sleep 0.3; done"]);
        // The same pid and, by a link, the same name, another program and command line.
        let program = folder.join("ds-app");
        std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
        scene.run(
            program.to_str().unwrap(),
            &["-c", "sleep 1.2; exec \"$0\" -c 'sleep 600; :' served", program.to_str().unwrap()],
        );
        scene.run("setpriv", &["--reuid", "4242", "--clear-groups", "sleep", "600"]);
        scene.run("sh", &["-c", "kill -STOP $$; sleep 600"]);
        scene.run("sh", &["-c", "exec nice -n 7 sleep 600"]);
        scene.run("python3", &["-c", MAIN_THREAD_ENDS]);
        scene.run(
            "python3",
            &["-c", "import ctypes, time\nctypes.CDLL(None).prctl(15, b'):) (renamed')\ntime.sleep(600)"],
        );
        // Nobody waits for it until the end.
        scene.run("true", &[]);
        if let Some(group) = scene.group.clone() {
            let enter = format!("echo $$ > {}/cgroup.procs; exec sleep 601", group.display());
            scene.run("sh", &["-c", &enter]);
        }
        scene
    }

    fn run(&mut self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.children.extend(command.spawn());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(group) = &self.group {
            // Its last process may still be on its way out.
            let until = Instant::now() + Duration::from_secs(10);
            while fs::remove_dir(group).is_err() && Instant::now() < until {
                thread::yield_now();
            }
        }
    }
}

/// A thread goes on after the main one has left by the system call that ends threads.
const MAIN_THREAD_ENDS: &str = "import ctypes, platform, threading, time\n\
    threading.Thread(target=time.sleep, args=(600,)).start()\n\
    ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)";
/// The container that the group's name says.
const CONTAINER: &str = "fleetps-differential";

/// A control group as LXC makes it, where this test may make one.
fn new_group() -> Option<PathBuf> {
    let roots = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"];
    let group = |root: &&str| PathBuf::from(format!("{root}/lxc.payload.{CONTAINER}"));
    roots.iter().map(group).find(|group| fs::create_dir(group).is_ok() || group.join("cgroup.procs").exists())
}

fn sampler(folder: &Path) -> Sampler {
    let settings = AgentSettings {
        interval: BETWEEN,
        command_line: CommandLineMode::Full,
        state: folder.to_owned(),
        ..AgentSettings::default()
    };
    Sampler::new(&settings, Boot::current(folder)).unwrap()
}

#[test]
fn what_was_left_out_of_a_long_text_is_taken_from_the_whole_one() {
    let whole = format!("a {} b {} c", "x".repeat(1234), "y".repeat(7));
    assert_eq!(filled("a …[1,234 bytes]… b …[7 bytes]… c", &whole), whole);
    assert_ne!(filled("a …[1,233 bytes]… b …[7 bytes]… c", &whole), whole);
    assert_eq!(filled("a …[9 bytes]… c", "a"), "a … c");
}

#[test]
fn every_process_is_as_ps_has_it_while_others_start_exec_setuid_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut sampler = sampler(folder.path());
    let scene = Scene::start(folder.path());
    let own: HashSet<u32> = scene.children.iter().map(Child::id).collect();
    let mut texts: HashMap<u32, Vec<Line>> = HashMap::new();
    let (mut compared, mut wrong) = (0, Vec::new());
    let rounds = ROUNDS * scale();
    for _ in 0..rounds {
        thread::sleep(BETWEEN);
        let before = ps();
        let snapshot = sampler.sample(0);
        let after = ps();
        let sampled: HashMap<u32, &Process> =
            snapshot.processes.iter().map(|process| (process.pid, process)).collect();
        for (pid, line) in &before {
            let Some(later) = after.get(pid) else { continue };
            let seen = texts.entry(*pid).or_default();
            seen.extend([line.clone(), later.clone()]);
            let text = |line: &Line| (line.user.clone(), line.name.clone(), line.arguments.clone());
            let since = if own.contains(pid) { seen.len().saturating_sub(4) } else { 0 };
            let is_known = seen.len() > 2 && seen[since..].iter().all(|one| text(one) == text(later));
            match sampled.get(pid) {
                Some(process) => {
                    wrong.extend(differences(process, line, later, snapshot.captured_at_us, is_known));
                    compared += 1;
                }
                None => wrong.push(format!("{pid} ({}) is missing", line.name)),
            }
        }
        // What these were called when the sample saw them may be another thing than in the next round.
        for (pid, line) in after.iter().filter(|(pid, _)| !before.contains_key(pid)) {
            texts.entry(*pid).or_default().push(line.clone());
        }
        for (pid, process) in &sampled {
            let is_new = snapshot.captured_at_us - process.started_at_us < 2_000_000;
            if !before.contains_key(pid) && !after.contains_key(pid) && !is_new {
                wrong.push(format!("{pid} ({}) is not in ps", process.name));
            }
        }
        if scene.group.is_some() {
            check_group(&snapshot, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{compared} processes compared; these differ:\n{}", wrong.join("\n"));
    assert!(compared > 20 * rounds);
}

fn check_group(snapshot: &Snapshot, wrong: &mut Vec<String>) {
    let is_it = |process: &&Process| process.command_line.as_deref() == Some("sleep 601");
    match snapshot.processes.iter().find(is_it) {
        Some(process) if process.container.as_deref() == Some(CONTAINER) && process.unit.is_none() => {}
        found => wrong.push(format!("the process in the control group is {found:?}")),
    }
}

/// All CPU time that processes used since the boot, in ms: without interrupts, which belong to none.
fn busy_ms() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let fields: Vec<u64> = text
        .lines()
        .next()
        .unwrap()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    10 * (fields[0] + fields[1] + fields[2])
}

/// CPU time in ms of a process and of its children that it waited for, as its line in `/proc` says.
fn used_by_ms(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The fields begin after the name; the first is the state, the third field of the line.
    let fields = text.rsplit_once(") ").unwrap().1.split(' ');
    10 * fields.skip(11).take(4).map(|field| field.parse::<u64>().unwrap()).sum::<u64>()
}

/// What a consumer adds up of two consecutive snapshots, over the processes of `of`: the growth of CPU time, and the CPU
/// time of children that ended between them.
fn grown_ms(from: &Snapshot, to: &Snapshot, of: impl Fn(&Process) -> bool) -> [u64; 2] {
    let before: HashMap<_, &Process> =
        from.processes.iter().map(|process| (process.key(), process)).collect();
    let mut grown = [0, 0];
    for process in to.processes.iter().filter(|process| of(process)) {
        let earlier_ms = before.get(&process.key()).and_then(|earlier| earlier.cpu_time_ms);
        grown[0] += process.cpu_time_ms.unwrap_or_default().saturating_sub(earlier_ms.unwrap_or_default());
        grown[1] += process.ended_children_cpu_ms.unwrap_or_default();
    }
    grown
}

/// Eighty processes of 0.05 s, which hardly any sample sees. The sums of samples lose nothing of what the kernel says
/// their parent and they used, and over all rows are no more than the machine used. (They may be less: other tests end
/// processes that nobody waits for, whose CPU time no row can have.)
#[test]
fn the_cpu_time_of_processes_that_no_sample_saw_is_in_the_sum() {
    let folder = tempfile::tempdir().unwrap();
    let mut sampler = sampler(folder.path());
    thread::sleep(FIRST_WAIT);
    let (first, before_ms) = (sampler.sample(0), busy_ms());
    // It ends when its input does, so that the last sample still sees it.
    let burn = "import os, sys, time\n\
        for _ in range(80):\n \
        pid = os.fork()\n \
        if pid == 0:\n  \
        while time.process_time() < 0.05: pass\n  \
        os._exit(0)\n \
        os.waitpid(pid, 0)\n\
        print('over', flush=True)\n\
        sys.stdin.read()\n";
    let mut child = Command::new("python3")
        .args(["-c", burn])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let until_over = thread::spawn(move || output.read_line(&mut String::new()).unwrap());
    let of_the_burner =
        |process: &Process| [Some(process.pid), process.parent_pid].contains(&Some(child.id()));
    let mut last = first;
    let (mut own_ms, mut ended_ms, mut all_ms, mut is_over) = (0, 0, 0, false);
    while !is_over {
        thread::sleep(BETWEEN);
        is_over = until_over.is_finished();
        let next = sampler.sample(0);
        let [own, ended] = grown_ms(&last, &next, of_the_burner);
        all_ms += grown_ms(&last, &next, |_| true).iter().sum::<u64>();
        (own_ms, ended_ms, last) = (own_ms + own, ended_ms + ended, next);
    }
    let (busy, used) = (busy_ms() - before_ms, used_by_ms(child.id()));
    assert!(
        until_over.join().unwrap() > 0,
        "the parent of the eighty ended before it said that they are over"
    );
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(ended_ms >= 3000, "{ended_ms} ms of ended children, who used 4000 ms at least");
    let sum = own_ms + ended_ms;
    assert!(sum * 100 >= used * 95 && sum * 100 <= used * 105, "{sum} ms in rows, {used} ms by the kernel");
    assert!(all_ms * 100 <= busy * 105, "{all_ms} ms in all rows, {busy} ms of the machine");
}
