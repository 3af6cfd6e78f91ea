//! The process trees of simulated hosts, read from the text files in `blueprints/` (whose README explains a line).

use std::sync::Arc;

/// A kind of process, and where it stands in the tree.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// Its level in the tree, 0 for one without a parent.
    pub(super) depth: usize,
    /// Copies that every host has.
    pub(super) copies: u32,
    /// How often further copies are made when a host is to have more processes; 0 for never.
    pub(super) growth: u32,
    /// When it comes and goes, in ms; `None` for one that stays.
    pub(super) life: Option<Life>,
    pub(super) leak_bytes_per_minute: u64,
    pub(super) written_bytes_per_s: f64,
    pub(super) fixed_pid: Option<u32>,
    pub(super) is_kernel: bool,
    pub(super) starts_container: bool,
    /// Whether it comes and goes only from some moment on, at which it breaks, and stays before.
    pub(super) breaks: bool,
    pub(super) name: Arc<str>,
    pub(super) user: Text,
    pub(super) unit: Text,
    /// Mean use, in percent of one core.
    pub(super) cpu_percent: f32,
    pub(super) resident_bytes: u64,
    pub(super) threads: u32,
    pub(super) command_line: Option<Arc<str>>,
}

/// How a short-lived process comes and goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    /// Mean time between an exit and the next start.
    pub(super) pause_ms: u64,
    /// Mean time between start and exit.
    pub(super) lasts_ms: u64,
}

/// A text that may come from the parent process.
#[derive(Debug, Clone)]
pub(super) enum Text {
    /// The parent's.
    Parent,
    /// None.
    Absent,
    /// This one; it may have placeholders.
    Given(Arc<str>),
}

/// Reads a blueprint; the text of the first line that is wrong when there is one.
pub(super) fn parse(blueprint: &str) -> Result<Vec<Program>, String> {
    let lines = blueprint.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| parse_line(line).ok_or_else(|| line.to_owned())).collect()
}

fn parse_line(line: &str) -> Option<Program> {
    let indentation = line.len() - line.trim_start().len();
    let fields: Vec<&str> = line.splitn(8, '|').map(str::trim).collect();
    let [name, words, user, unit, cpu, memory, threads, command_line] = fields.try_into().ok()?;
    let mut program = Program {
        depth: indentation / 2,
        copies: 1,
        growth: 0,
        life: None,
        leak_bytes_per_minute: 0,
        written_bytes_per_s: 0.0,
        fixed_pid: None,
        is_kernel: false,
        starts_container: false,
        breaks: false,
        name: name.into(),
        user: text(user),
        unit: text(unit),
        cpu_percent: cpu.parse().ok()?,
        resident_bytes: memory.strip_suffix('M')?.parse::<u64>().ok()? << 20,
        threads: threads.parse().ok()?,
        command_line: (command_line != "-").then(|| command_line.into()),
    };
    let (mut pause_ms, mut lasts_ms) = (None, None);
    for word in words.split_whitespace() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("grow", "") => program.growth = 1,
            ("grow", growth) => program.growth = growth.parse().ok()?,
            ("every", pause) => pause_ms = Some(milliseconds(pause)?),
            ("for", lasts) => lasts_ms = Some(milliseconds(lasts)?),
            ("leak", megabytes) => program.leak_bytes_per_minute = megabytes.parse::<u64>().ok()? << 20,
            ("io", megabytes) => program.written_bytes_per_s = megabytes.parse::<f64>().ok()? * 1e6,
            ("pid", pid) => program.fixed_pid = Some(pid.parse().ok()?),
            ("kernel", "") => program.is_kernel = true,
            ("container", "") => program.starts_container = true,
            ("breaks", "") => program.breaks = true,
            (copies, "") => program.copies = copies.strip_prefix('x')?.parse().ok()?,
            _ => return None,
        }
    }
    program.life = match (pause_ms, lasts_ms) {
        (None, None) => None,
        (pause_ms, lasts_ms) => Some(Life { pause_ms: pause_ms?, lasts_ms: lasts_ms? }),
    };
    Some(program)
}

fn text(field: &str) -> Text {
    match field {
        "." => Text::Parent,
        "-" => Text::Absent,
        given => Text::Given(given.into()),
    }
}

fn milliseconds(text: &str) -> Option<u64> {
    let (number, unit_ms) = [("s", 1000), ("m", 60_000), ("h", 3_600_000)]
        .into_iter()
        .find_map(|(unit, unit_ms)| Some((text.strip_suffix(unit)?, unit_ms)))?;
    Some(number.parse::<u64>().ok()? * unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_place_words_and_figures() {
        let line =
            "    nginx | x4 grow=2 every=10m for=20s io=0.5 | www-data | . | 2.5 | 22M | 1 | nginx: worker";
        let program = parse_line(line).unwrap();
        assert_eq!((program.depth, program.copies, program.growth), (2, 4, 2));
        assert_eq!(program.life.map(|life| (life.pause_ms, life.lasts_ms)), Some((600_000, 20_000)));
        assert_eq!((program.resident_bytes, program.threads), (22 << 20, 1));
        assert!(matches!(program.user, Text::Given(name) if &*name == "www-data"));
        assert!(matches!(program.unit, Text::Parent));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for line in ["nginx", "a | zz | b | c | 1 | 1M | 1 | d", "a | every=1s | b | c | 1 | 1M | 1 | d"] {
            assert_eq!(parse(line).unwrap_err(), line);
        }
    }
}
