//! Process trees as system 002 writes them.

use std::collections::HashMap;

use fleetps_nats::snapshot::Process;
use serde::Serialize;

const MIB: f64 = (1_u64 << 20) as f64;
/// Deepest nesting: what is deeper, or in a circle of parents, begins a tree of its own. Real trees have ten levels.
const MAX_DEPTH: usize = 64;
/// Bits of a pid, so that the number of a snapshot and a pid are one whole number of JavaScript.
const PID_BITS: u32 = 22;

/// A process with its children. Figures are never null, because its page calls methods of numbers on them.
#[derive(Debug, Serialize)]
pub(super) struct Node<'a> {
    id: u64,
    pid: u32,
    ppid: u32,
    name: &'a str,
    cpu_usage: f32,
    memory_usage: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<Vec<Self>>,
}

impl<'a> Node<'a> {
    fn of(process: &'a Process, snapshot_id: u64, children: Option<Vec<Self>>) -> Self {
        Self {
            id: ((snapshot_id & ((1 << 31) - 1)) << PID_BITS)
                + u64::from(process.pid & ((1 << PID_BITS) - 1)),
            pid: process.pid,
            ppid: process.parent_pid.unwrap_or_default(),
            name: &process.name,
            cpu_usage: process.cpu_percent.unwrap_or_default(),
            memory_usage: process.resident_bytes.unwrap_or_default() as f64 / MIB,
            children,
        }
    }
}

/// The processes one after the other.
pub(super) fn flat(processes: &[Process], snapshot_id: u64) -> Vec<Node<'_>> {
    processes.iter().map(|process| Node::of(process, snapshot_id, None)).collect()
}

/// The processes as trees, each under its parent.
pub(super) fn tree(processes: &[Process], snapshot_id: u64) -> Vec<Node<'_>> {
    let places: HashMap<u32, usize> =
        processes.iter().enumerate().map(|(place, process)| (process.pid, place)).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); processes.len()];
    let mut roots = Vec::new();
    for (place, process) in processes.iter().enumerate() {
        let parent = process.parent_pid.filter(|parent| *parent != process.pid);
        match parent.and_then(|parent| places.get(&parent)) {
            Some(parent) => children[*parent].push(place),
            None => roots.push(place),
        }
    }
    let mut grown =
        Growing { processes, children, is_taken: vec![false; processes.len()], cut_off: roots, snapshot_id };
    let mut trees = Vec::new();
    while let Some(root) = grown.next_root() {
        trees.push(grown.grow(root, 0));
    }
    trees
}

struct Growing<'a> {
    processes: &'a [Process],
    children: Vec<Vec<usize>>,
    is_taken: Vec<bool>,
    /// Where trees begin.
    cut_off: Vec<usize>,
    snapshot_id: u64,
}

impl<'a> Growing<'a> {
    /// A process where a tree begins: one without a parent, one that was too deep, and then one of a circle.
    fn next_root(&mut self) -> Option<usize> {
        while let Some(root) = self.cut_off.pop() {
            if !self.is_taken[root] {
                return Some(root);
            }
        }
        self.is_taken.iter().position(|is_taken| !is_taken)
    }

    fn grow(&mut self, place: usize, depth: usize) -> Node<'a> {
        self.is_taken[place] = true;
        let mut nodes = Vec::new();
        for child in std::mem::take(&mut self.children[place]) {
            if self.is_taken[child] {
                continue;
            }
            if depth + 1 >= MAX_DEPTH {
                self.cut_off.push(child);
                continue;
            }
            nodes.push(self.grow(child, depth + 1));
        }
        Node::of(&self.processes[place], self.snapshot_id, Some(nodes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32) -> Process {
        Process { pid, parent_pid: Some(parent).filter(|parent| *parent > 0), ..Process::default() }
    }

    fn count(nodes: &[Node<'_>]) -> usize {
        nodes.iter().map(|node| 1 + count(node.children.as_deref().unwrap_or_default())).sum()
    }

    fn depth(nodes: &[Node<'_>]) -> usize {
        nodes
            .iter()
            .map(|node| 1 + depth(node.children.as_deref().unwrap_or_default()))
            .max()
            .unwrap_or_default()
    }

    #[test]
    fn a_tree_has_each_process_once_also_in_circles_and_however_deep() {
        let deep: Vec<Process> = (1..=20_000).map(|pid| process(pid, pid - 1)).collect();
        let circle = vec![process(1, 2), process(2, 1), process(3, 3), process(4, 1)];
        for processes in [deep, circle] {
            let trees = tree(&processes, 7);
            assert_eq!(count(&trees), processes.len());
            assert!(depth(&trees) <= MAX_DEPTH);
            assert!(serde_json::to_string(&trees).is_ok());
        }
        let trees = [process(1, 0), process(5, 1), process(9, 4)];
        let trees = tree(&trees, 7);
        let mut roots: Vec<u32> = trees.iter().map(|node| node.pid).collect();
        roots.sort_unstable();
        assert_eq!(roots, [1, 9]);
    }
}
