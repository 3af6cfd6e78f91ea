//! A packed snapshot without the columns that nobody asks for.
//!
//! A search looks at two or three of some thirty columns of every process of a fleet, and unpacking is most of its time. So what
//! is not asked for is cut out of the MessagePack before that is unpacked: skipping a value takes a nanosecond or two.

use crate::model::process::PROCESS;

/// Columns without which nothing is a process, by name: agents always send these, and its identity is in them.
const ALWAYS: [&str; 5] = ["pid", "started_at_us", "start_ticks", "name", "state"];
/// The list of processes, by name.
const PROCESSES: &[u8] = b"processes";

/// Columns of processes that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns(Vec<&'static str>);

impl Columns {
    /// Those of the fields at these places in [`PROCESS`], and those without which nothing is a process.
    pub fn of(places: impl IntoIterator<Item = usize>) -> Self {
        let asked = places.into_iter().filter_map(|place| PROCESS.get(place)).map(|field| field.name);
        let mut names: Vec<&'static str> = asked.chain(ALWAYS).collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }

    /// Writes `packed` without the other columns to `cut`; `None` where it is no map of maps, as snapshots are.
    pub(super) fn cut_out(&self, packed: &[u8], cut: &mut Vec<u8>) -> Option<()> {
        cut.clear();
        let mut reader = Reader { rest: packed };
        let entries = reader.map()?;
        cut.extend_from_slice(before(packed, reader.rest));
        for _ in 0..entries {
            let entry = reader.rest;
            if reader.text()? != PROCESSES {
                reader.skip()?;
                cut.extend_from_slice(before(entry, reader.rest));
                continue;
            }
            cut.extend_from_slice(before(entry, reader.rest));
            self.cut_columns(&mut reader, cut)?;
        }
        Some(())
    }

    fn cut_columns(&self, reader: &mut Reader<'_>, cut: &mut Vec<u8>) -> Option<()> {
        let mut kept = Vec::with_capacity(self.0.len());
        for _ in 0..reader.map()? {
            let column = reader.rest;
            let name = reader.text()?;
            reader.skip()?;
            if self.0.iter().any(|asked| asked.as_bytes() == name) {
                kept.push(before(column, reader.rest));
            }
        }
        cut.push(MAP_32);
        cut.extend_from_slice(&u32::try_from(kept.len()).ok()?.to_be_bytes());
        kept.into_iter().for_each(|column| cut.extend_from_slice(column));
        Some(())
    }
}

/// The bytes of `all` before its end `rest`.
fn before<'a>(all: &'a [u8], rest: &[u8]) -> &'a [u8] {
    all.get(..all.len() - rest.len()).unwrap_or_default()
}

/// A map with four bytes for its length.
const MAP_32: u8 = 0xdf;

/// Reads MessagePack just so far that it knows where a value ends.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A number of this many bytes.
    fn length(&mut self, bytes: usize) -> Option<usize> {
        let number = self.take(bytes)?.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        usize::try_from(number).ok()
    }

    /// The number of entries of a map.
    fn map(&mut self) -> Option<usize> {
        match self.byte()? {
            short @ 0x80..=0x8f => Some(usize::from(short & 0x0f)),
            0xde => self.length(2),
            MAP_32 => self.length(4),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            short @ 0xa0..=0xbf => usize::from(short & 0x1f),
            0xd9 => self.length(1)?,
            0xda => self.length(2)?,
            0xdb => self.length(4)?,
            _ => return None,
        };
        self.take(length)
    }

    /// Goes behind a value with everything in it. Each value has a byte at least, so this ends with the message.
    fn skip(&mut self) -> Option<()> {
        let mut values = 1_usize;
        while values > 0 {
            let (bytes, inner) = self.head()?;
            self.take(bytes)?;
            values = (values - 1).checked_add(inner)?;
        }
        Some(())
    }

    /// Goes behind the head of a value; how many bytes and how many values follow that are part of it.
    fn head(&mut self) -> Option<(usize, usize)> {
        let short = |byte: u8, mask: u8| usize::from(byte & mask);
        Some(match self.byte()? {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (0, 0),
            map @ 0x80..=0x8f => (0, 2 * short(map, 0x0f)),
            list @ 0x90..=0x9f => (0, short(list, 0x0f)),
            text @ 0xa0..=0xbf => (short(text, 0x1f), 0),
            // Nothing begins with it.
            0xc1 => return None,
            0xc4 | 0xd9 => (self.length(1)?, 0),
            0xc5 | 0xda => (self.length(2)?, 0),
            0xc6 | 0xdb => (self.length(4)?, 0),
            // Extensions have a byte for their kind.
            0xc7 => (self.length(1)?.checked_add(1)?, 0),
            0xc8 => (self.length(2)?.checked_add(1)?, 0),
            0xc9 => (self.length(4)?.checked_add(1)?, 0),
            fixed @ 0xd4..=0xd8 => (1 + (1 << (fixed - 0xd4)), 0),
            0xcc | 0xd0 => (1, 0),
            0xcd | 0xd1 => (2, 0),
            0xca | 0xce | 0xd2 => (4, 0),
            0xcb | 0xcf | 0xd3 => (8, 0),
            0xdc => (0, self.length(2)?),
            0xdd => (0, self.length(4)?),
            0xde => (0, self.length(2)?.checked_mul(2)?),
            MAP_32 => (0, self.length(4)?.checked_mul(2)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::{Decoder, Encoder, HostInfo, Process, Sent, Snapshot};

    fn snapshot() -> Snapshot {
        let process = |pid: u32| Process {
            pid,
            name: "ä".repeat(pid as usize),
            command_line: Some("x".repeat(70_000 / (pid as usize + 1)).chars().take(4096).collect()),
            started_at_us: 1_795_000_000_000_000,
            cpu_percent: Some(12.5),
            resident_bytes: Some(1 << 40),
            nice: Some(-20),
            ..Process::default()
        };
        Snapshot {
            format: super::super::FORMAT,
            agent_version: "1".to_owned(),
            os_host_name: "h".to_owned(),
            boot_id: "b".to_owned(),
            run_id: "r".to_owned(),
            sequence: 1,
            captured_at_us: 1_795_000_000_000_000,
            interval_ms: 1_000,
            host_info: HostInfo { boot_at_us: Some(1_794_000_000_000_000), ..HostInfo::default() },
            processes: (1..=70).map(process).collect(),
            ..Snapshot::default()
        }
    }

    fn place(name: &str) -> usize {
        PROCESS.iter().position(|field| field.name == name).unwrap()
    }

    #[test]
    fn what_is_asked_for_is_as_in_the_whole_snapshot_and_the_rest_is_absent() {
        let message = Encoder::new().unwrap().encode(&snapshot()).unwrap();
        let mut decoder = Decoder::new().unwrap();
        let whole = decoder.decode(&message, i64::MAX).unwrap();
        assert_eq!(decoder.decode_taken(&message, Sent::default(), None).unwrap(), whole);
        let columns = Columns::of([place("cpu_percent"), place("command_line")]);
        let some = decoder.decode_taken(&message, Sent::default(), Some(&columns)).unwrap();
        let kept = |process: &Process| Process {
            pid: process.pid,
            name: process.name.clone(),
            state: process.state,
            started_at_us: process.started_at_us,
            start_ticks: process.start_ticks,
            command_line: process.command_line.clone(),
            cpu_percent: process.cpu_percent,
            ..Process::default()
        };
        let processes = whole.processes.iter().map(kept).collect();
        assert_eq!(some, Snapshot { processes, ..whole });
        // Every column is cut out as it is kept.
        for (place, field) in PROCESS.iter().enumerate() {
            let some = decoder.decode_taken(&message, Sent::default(), Some(&Columns::of([place]))).unwrap();
            let whole = snapshot();
            assert!(some.processes.iter().zip(&whole.processes).all(|(some, whole)| {
                field.name == "start_ticks" || some.value(place) == whole.value(place)
            }));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_or_refused(bytes: Vec<u8>, begin in 0_usize..3) {
            let begins: [&[u8]; 3] = [b"", b"\x81\xa9processes\x82", b"\xdf\xff\xff\xff\xff"];
            let packed = [begins[begin], &bytes].concat();
            let mut cut = Vec::new();
            let _ = Columns::of([]).cut_out(&packed, &mut cut);
            prop_assert!(cut.len() <= packed.len() + 5);
        }
    }
}
