//! What the words of a sentence mean: the measure that people call something, and a value of it.

use std::time::Duration;

use fleetps_nats::{model::Unit, own_figures::OwnFigure, units};

use super::rule::{HostMeasure, Measure, Over};
use crate::filter::{Figure, Filter};

/// The furthest that a rule may look ahead, half a year: a disk that does not grow counts as full in a year, and a rule must let
/// its alert be cleared by that.
const MAX_AHEAD: Duration = Duration::from_secs(180 * 24 * 3600);

/// The measure that people call `name`, and what it is of.
pub(super) fn measured(name: &str, over: Option<Over>, filter: &Filter) -> Result<(Measure, Over), String> {
    let of_processes = |figure: Figure| Measure::Process(figure);
    let figure = Figure::find(name);
    let own = HostMeasure::find(if name == "cpu" { "cpu_percent" } else { name });
    match (name, over) {
        ("disk_full_in", _) if !filter.is_empty() => {
            Err("`disk_full_in` is a file system's; there are no processes to choose by `where`".to_owned())
        }
        ("memory_full_in", _) if !filter.is_empty() => {
            Err("`memory_full_in` looks at every process; there are none to choose by `where`".to_owned())
        }
        (own, over) if let Some(figure) = OwnFigure::find(own) => match over {
            None | Some(Over::Host) if filter.is_empty() => Ok((Measure::Own(figure), Over::Host)),
            _ => Err(format!("`{own}` is fleetps's own; it takes neither `over` nor `where`")),
        },
        ("unusual", None | Some(Over::Host)) if filter.is_empty() => Ok((Measure::Unusual, Over::Host)),
        ("unusual", _) => Err("`unusual` is measured over host, without `where`".to_owned()),
        ("memory_full_in", None | Some(Over::Process)) => Ok((Measure::MemoryFullIn, Over::Process)),
        ("memory_full_in", Some(_)) => Err("`memory_full_in` is measured over process".to_owned()),
        ("disk", None | Some(Over::Filesystem)) => Ok((Measure::Disk, Over::Filesystem)),
        ("disk_full_in", None | Some(Over::Filesystem)) => Ok((Measure::DiskFullIn, Over::Filesystem)),
        ("disk" | "disk_full_in", Some(_)) => Err(format!("`{name}` is measured over filesystem")),
        (_, Some(Over::Filesystem)) => {
            Err("over filesystem there are only `disk` and `disk_full_in`".to_owned())
        }
        ("count", Some(Over::Process)) => {
            Err("one process is always one; count over program or host".to_owned())
        }
        ("count", over) => Ok((Measure::Count, over.unwrap_or(Over::Host))),
        (_, Some(Over::Process | Over::Program | Over::Unit | Over::User)) => {
            let over = over.unwrap_or(Over::Process);
            figure.map(|figure| (of_processes(figure), over)).ok_or_else(|| unknown(name))
        }
        (_, Some(Over::Host)) if !filter.is_empty() => match figure {
            Some(figure) => Ok((of_processes(figure), Over::Host)),
            None => Err(format!("with `where`, {}", unknown(name))),
        },
        (_, None) if !filter.is_empty() && figure.is_some() => {
            figure.map(|figure| (of_processes(figure), Over::Process)).ok_or_else(|| unknown(name))
        }
        _ => match (own, figure) {
            (Some(_), _) if !filter.is_empty() => {
                Err(format!("`{name}` is a host's own; there are no processes to choose by `where`"))
            }
            (Some(own), _) => Ok((Measure::Host(own), Over::Host)),
            (None, Some(figure)) => Ok((of_processes(figure), over.unwrap_or(Over::Process))),
            (None, None) => Err(unknown(name)),
        },
    }
}

fn unknown(name: &str) -> String {
    let of_processes = Figure::words().collect::<Vec<_>>().join(", ");
    let of_hosts = HostMeasure::words().collect::<Vec<_>>().join(", ");
    let of_fleetps = OwnFigure::ALL.map(OwnFigure::word).join(", ");
    format!(
        "there is no `{name}` to measure; there are count, disk, disk_full_in, memory_full_in, unusual, silent, gone, restart_loop; of hosts {of_hosts}; of processes {of_processes}; of fleetps itself {of_fleetps}"
    )
}

/// A value of a measure as people type it.
pub(super) fn read_value(measure: Measure, text: &str) -> Result<f64, String> {
    let unit = match measure {
        Measure::Process(figure) => return figure.read(text),
        Measure::Own(figure) if figure.unit() == Unit::Seconds => {
            let length = units::parse_duration(text)?;
            return match length <= MAX_AHEAD {
                true => Ok(length.as_secs_f64()),
                false => Err("expected at most 180d".to_owned()),
            };
        }
        Measure::DiskFullIn | Measure::MemoryFullIn => {
            let length = units::parse_duration(text)?;
            return match length <= MAX_AHEAD {
                true => Ok(length.as_secs_f64()),
                false => Err("nothing is forecast further ahead than 180d".to_owned()),
            };
        }
        Measure::Disk | Measure::Unusual | Measure::Own(_) => Unit::Percent,
        Measure::Count | Measure::Silent | Measure::Gone | Measure::RestartLoop => Unit::Count,
        Measure::Host(figure) => figure.unit(),
    };
    let number = match unit {
        Unit::Percent => text.strip_suffix('%').unwrap_or(text).parse().map_err(|_| "a number, as in 90%"),
        Unit::Bytes => {
            let text = text.strip_suffix("/s").unwrap_or(text);
            Figure::find("mem")
                .map_or(Err(String::new()), |bytes| bytes.read(text))
                .map_err(|_| "a size, as in 500M")
        }
        _ => text.parse().map_err(|_| "a number, as in 42 or 1.5"),
    };
    let number: Result<f64, &str> = number;
    match number {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        Ok(_) => Err("expected a number from zero up".to_owned()),
        Err(expected) => Err(format!("expected {expected}")),
    }
}
