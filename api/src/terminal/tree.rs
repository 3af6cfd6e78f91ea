//! Which process started which, drawn as `ps f` draws it.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Generations drawn one under the other; a host that says there are more gets them in the last of these.
const MAX_DEPTH: usize = 60;

/// The processes with children under their parents, each with the branches that stand before its command. Siblings stay
/// in their order; a process whose parent is not among them begins a tree, and so does one of those that name each
/// other as parents.
pub(super) fn draw(processes: &[Value]) -> Vec<(String, &Value)> {
    let pids: HashSet<u64> = processes.iter().filter_map(pid).collect();
    let mut children: HashMap<Option<u64>, Vec<&Value>> = HashMap::new();
    for process in processes {
        let parent = process["parent_pid"]
            .as_u64()
            .filter(|parent| pids.contains(parent) && pid(process) != Some(*parent));
        children.entry(parent).or_default().push(process);
    }
    let mut drawn = Vec::with_capacity(processes.len());
    let mut left = pids;
    grow(children.remove(&None).unwrap_or_default(), &mut children, &mut left, &mut drawn);
    for process in processes {
        if pid(process).is_some_and(|pid| left.contains(&pid)) {
            grow(vec![process], &mut children, &mut left, &mut drawn);
        }
    }
    drawn
}

/// A process that is still to be drawn: the branches above its own, and whether a sibling follows.
struct Pending<'a> {
    process: &'a Value,
    above: String,
    depth: usize,
    is_last: bool,
}

/// Draws the trees that begin with `roots`. Not recursive: a host may say that its processes are ten thousand deep.
fn grow<'a>(
    roots: Vec<&'a Value>,
    children: &mut HashMap<Option<u64>, Vec<&'a Value>>,
    left: &mut HashSet<u64>,
    drawn: &mut Vec<(String, &'a Value)>,
) {
    let mut pending = Vec::new();
    push(&mut pending, roots, "", 0);
    while let Some(Pending { process, above, depth, is_last }) = pending.pop() {
        let Some(pid) = pid(process).filter(|pid| left.remove(pid)) else { continue };
        let branches = if depth == 0 { String::new() } else { format!("{above} \\_ ") };
        let below = match (depth, is_last) {
            (0, _) => String::new(),
            (MAX_DEPTH.., _) => above,
            (_, true) => above + "    ",
            (_, false) => above + " |  ",
        };
        drawn.push((branches, process));
        push(&mut pending, children.remove(&Some(pid)).unwrap_or_default(), &below, depth + 1);
    }
}

/// Puts siblings on the stack, the first uppermost.
fn push<'a>(pending: &mut Vec<Pending<'a>>, siblings: Vec<&'a Value>, above: &str, depth: usize) {
    for (behind, process) in siblings.into_iter().rev().enumerate() {
        pending.push(Pending { process, above: above.to_owned(), depth, is_last: behind == 0 });
    }
}

fn pid(process: &Value) -> Option<u64> {
    process["pid"].as_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn drawn(parents: &[(u64, Option<u64>)]) -> Vec<String> {
        let processes: Vec<_> =
            parents.iter().map(|(pid, parent)| json!({"pid": pid, "parent_pid": parent})).collect();
        draw(&processes).iter().map(|(branches, process)| format!("{branches}{}", process["pid"])).collect()
    }

    #[test]
    fn children_stand_under_their_parents_with_branches() {
        let family = [
            (1, None),
            (10, Some(1)),
            (20, Some(1)),
            (11, Some(10)),
            (12, Some(10)),
            (21, Some(20)),
            (30, Some(99)),
        ];
        assert_eq!(
            drawn(&family),
            ["1", " \\_ 10", " |   \\_ 11", " |   \\_ 12", " \\_ 20", "     \\_ 21", "30"]
        );
    }

    #[test]
    fn processes_that_name_each_other_as_parents_are_shown_once_each() {
        assert_eq!(drawn(&[(1, Some(1)), (2, Some(3)), (3, Some(2))]), ["1", "2", " \\_ 3"]);
    }
}
