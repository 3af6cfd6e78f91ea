//! The line above a host's processes: how much of the machine's CPU use and memory they are, and what is left.

use fleetps_nats::{Snapshot, model::sums::HostSums};

use crate::display;

/// CPU use, then memory; empty where nothing is known.
pub(crate) fn line(sums: &HostSums, snapshot: &Snapshot) -> String {
    let rest = rest(snapshot);
    let parts = [cpu(sums, rest), memory(sums, rest)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// "CPU 230 %: 150 in processes, 50.0 in ended children, 30.0 in no process"
fn cpu(sums: &HostSums, rest: &str) -> Option<String> {
    let percent = |value: f64| display::percent(Some(value));
    let processes = format!("{} in processes", percent(sums.cpu_percent?));
    let ended = sums.ended_children_cpu_percent.map(|value| format!("{} in ended children", percent(value)));
    let left = sums.remaining_cpu_percent().map(|value| format!("{} in {rest}", percent(value)));
    let machine = sums.machine_cpu_percent.map(|value| format!(" {} %", percent(value)));
    let unit = if machine.is_some() { "" } else { " in %" };
    let parts: Vec<String> = std::iter::once(processes).chain(ended).chain(left).collect();
    Some(format!("CPU{}{unit}: {}", machine.unwrap_or_default(), parts.join(", ")))
}

/// "Memory 8.00 GiB: 6.00 GiB in processes, shared counted once, 2.00 GiB in no process"
fn memory(sums: &HostSums, rest: &str) -> Option<String> {
    let size = |bytes: u64| display::size_long(Some(bytes));
    let processes = format!("{} in processes, shared counted once", size(sums.memory_bytes?));
    let used = sums.machine_used_bytes.zip(sums.remaining_bytes());
    Some(match used {
        Some((used, left)) => format!("Memory {}: {processes}, {} in {rest}", size(used), size(left)),
        None => format!("Memory: {processes}"),
    })
}

/// Where the rest is.
fn rest(snapshot: &Snapshot) -> &'static str {
    match (snapshot.processes_left_out > 0, snapshot.host_info.hides_processes()) {
        (false, false) => "no process",
        (true, false) => "processes left out, or in none",
        (false, true) => "processes that the agent does not see, or in none",
        (true, true) => "processes left out or not seen, or in none",
    }
}

#[cfg(test)]
mod tests {
    use fleetps_nats::snapshot::HostInfo;

    use super::*;

    const SUMS: HostSums = HostSums {
        cpu_percent: Some(150.0),
        ended_children_cpu_percent: Some(50.0),
        machine_cpu_percent: Some(230.0),
        memory_bytes: Some(6 << 30),
        machine_used_bytes: Some(8 << 30),
    };

    fn said(sums: &HostSums) -> String {
        line(sums, &Snapshot::default())
    }

    #[test]
    fn the_parts_of_a_machine_are_named_with_the_rest() {
        assert_eq!(
            said(&SUMS),
            "CPU 230 %: 150 in processes, 50.0 in ended children, 30.0 in no process \
             · Memory 8.00 GiB: 6.00 GiB in processes, shared counted once, 2.00 GiB in no process"
        );
    }

    #[test]
    fn what_is_unknown_is_not_said() {
        let first = HostSums { memory_bytes: Some(6 << 30), ..HostSums::default() };
        assert_eq!(said(&first), "Memory: 6.00 GiB in processes, shared counted once");
        let older = HostSums { cpu_percent: Some(150.0), ..HostSums::default() };
        assert_eq!(said(&older), "CPU in %: 150 in processes");
        assert_eq!(said(&HostSums::default()), "");
        let mapped = HostSums { machine_used_bytes: Some(1), ..first };
        assert_eq!(said(&mapped), said(&first), "no negative rest");
    }

    #[test]
    fn the_rest_may_be_in_processes_that_are_left_out_or_hidden() {
        let of = |processes_left_out, limited_view: Option<&str>| {
            let limited_view = limited_view.map(str::to_owned);
            let host_info = HostInfo { limited_view, ..HostInfo::default() };
            let snapshot = Snapshot { processes_left_out, host_info, ..Snapshot::default() };
            let said = line(&SUMS, &snapshot);
            said.split_once(" · ").unwrap().0.rsplit_once("30.0 in ").unwrap().1.to_owned()
        };
        assert_eq!(of(3, None), "processes left out, or in none");
        let hidden = Some("sees only its own processes: /proc is mounted with hidepid=2");
        assert_eq!(of(0, hidden), "processes that the agent does not see, or in none");
        assert_eq!(of(3, hidden), "processes left out or not seen, or in none");
        assert_eq!(of(0, Some("cannot read the files of other users")), "no process");
    }
}
