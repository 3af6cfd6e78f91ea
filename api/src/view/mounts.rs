//! The file systems of one host: how full each is, where else it is mounted, and which ones do not answer.

use fleetps_nats::{Snapshot, snapshot::FilesystemSample};

use super::table::{Cell, Head, Row, Table};
use crate::display::{self, MISSING};

/// Characters of a text in a cell.
const MAX_CELL_CHARACTERS: usize = 120;
/// File systems shown: those that do not answer, then the fullest.
const MAX_MOUNTS: usize = 100;
/// Other places named beside the first one; the rest is counted.
const MOST_OTHERS: usize = 3;

/// The table of file systems; those that do not answer come first, then the fullest.
pub(super) fn table(snapshot: &Snapshot) -> Table {
    let heads = [
        ("mount", "Mount", ""),
        ("device", "Device", ""),
        ("kind", "Kind", ""),
        ("disk", "Used", "%"),
        ("size", "Used", ""),
        ("size", "Available", ""),
        ("size", "Size", ""),
        ("inodes", "Inodes", "%"),
    ];
    let heads = heads.map(|(column, text, unit)| Head { column, text, unit, ..Head::default() });
    let share = |mount: &FilesystemSample| mount.used_share().unwrap_or_default();
    let mut mounts: Vec<&FilesystemSample> = snapshot.filesystems.iter().collect();
    mounts.sort_by(|a, b| {
        let answers = |mount: &FilesystemSample| mount.unanswered_since_us.is_none() && mount.error.is_none();
        answers(a)
            .cmp(&answers(b))
            .then_with(|| share(b).total_cmp(&share(a)))
            .then_with(|| a.mount.cmp(&b.mount))
    });
    let rows = mounts.iter().take(MAX_MOUNTS).enumerate().map(|(number, mount)| row(number, mount));
    Table { id: "mounts", heads: heads.into(), rows: rows.collect(), ..Table::default() }
}

fn row(number: usize, mount: &FilesystemSample) -> Row {
    let hostile = |column, text: Option<&str>| {
        Cell::hostile(column, text.filter(|text| !text.is_empty()).unwrap_or(MISSING), MAX_CELL_CHARACTERS)
    };
    let size = |bytes| Cell::new("size", display::size_long(bytes));
    let share = |column, share: Option<f64>| {
        let shade = share.map_or("", display::shade);
        Cell::new(column, display::percent(share.map(|share| share * 100.0))).shaded(shade)
    };
    let cells = vec![
        hostile("mount", Some(&mount.mount)).noted(note(mount)),
        hostile("device", mount.device.as_deref()),
        hostile("kind", mount.kind.as_deref()),
        share("disk", mount.used_share()),
        size(mount.used_bytes),
        size(mount.available_bytes),
        size(mount.total_bytes),
        share("inodes", inode_share(mount)),
    ];
    Row { id: format!("m-{number}"), cells, ..Row::default() }
}

fn inode_share(mount: &FilesystemSample) -> Option<f64> {
    let total = mount.inodes_total.filter(|total| *total > 0)?;
    Some((mount.inodes_used? as f64 / total as f64).min(1.0))
}

/// "does not answer since 2026-11-28 03:12:05 UTC, 1.20 TiB of 4.00 TiB used at 2026-11-28 03:11:55 UTC; also at /b"
fn note(mount: &FilesystemSample) -> String {
    let silent = mount
        .unanswered_since_us
        .map(|since_us| format!("does not answer since {}{}", display::time(since_us), last_answer(mount)));
    let error = mount.error.as_deref().map(|error| format!("cannot be read: {}", display::visible(error)));
    [silent, error, others(mount)].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn last_answer(mount: &FilesystemSample) -> String {
    match (mount.answered_at_us, mount.last_used_bytes, mount.last_total_bytes) {
        (Some(at_us), used @ Some(_), total @ Some(_)) => {
            let (used, total) = (display::size_long(used), display::size_long(total));
            format!(", {used} of {total} used at {}", display::time(at_us))
        }
        _ => String::new(),
    }
}

fn others(mount: &FilesystemSample) -> Option<String> {
    let all = mount.other_mount_count.unwrap_or_default() as usize;
    let named: Vec<String> = mount
        .other_mounts()
        .take(MOST_OTHERS)
        .map(|place| display::cut(&display::visible(place), MAX_CELL_CHARACTERS).into_owned())
        .collect();
    let more = all.saturating_sub(named.len());
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| format!("also at {}{tail}", named.join(", ")))
}

/// What the head of a host's pages says of mounts that do not answer.
pub(super) fn warning(snapshot: &Snapshot) -> Option<String> {
    let mut silent = snapshot.filesystems.iter().filter(|mount| mount.unanswered_since_us.is_some());
    let first = display::cut(&display::visible(&silent.next()?.mount), MAX_CELL_CHARACTERS).into_owned();
    match silent.count() {
        0 => Some(format!("mount {first} does not answer")),
        more => Some(format!("mount {first} and {more} more do not answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_that_does_not_answer_stands_first_without_sizes_and_says_so() {
        let full = FilesystemSample {
            mount: "/full".to_owned(),
            total_bytes: Some(100),
            used_bytes: Some(90),
            available_bytes: Some(0),
            inodes_total: Some(4),
            inodes_used: Some(1),
            other_mounts: Some("/a\n/b\n/c\n/d".to_owned()),
            other_mount_count: Some(9),
            ..FilesystemSample::default()
        };
        let dead = FilesystemSample {
            mount: "/nas\u{202e}".to_owned(),
            unanswered_since_us: Some(1_795_000_000_000_000),
            answered_at_us: Some(1_794_999_990_000_000),
            last_used_bytes: Some(1 << 30),
            last_total_bytes: Some(2 << 30),
            ..FilesystemSample::default()
        };
        let snapshot = Snapshot { filesystems: vec![full, dead], ..Snapshot::default() };
        let rows = table(&snapshot).rows;
        let texts = |row: &Row| row.cells.iter().map(|cell| cell.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&rows[0])[3..], [MISSING; 5]);
        let note = &rows[0].cells[0].note;
        assert!(
            note.starts_with("does not answer since 2026-") && note.contains("1.00 GiB of 2.00 GiB"),
            "{note}"
        );
        assert_eq!(rows[1].cells[0].note, "also at /a, /b, /c and 6 more");
        assert_eq!((rows[1].cells[3].text.as_str(), rows[1].cells[7].text.as_str()), ("100", "25.0"));
        let warning = warning(&snapshot).unwrap();
        assert!(warning.ends_with("does not answer") && !warning.contains('\u{202e}'), "{warning}");
    }
}
