//! Packing, unpacking and refusing.

use super::*;
use crate::snapshot::{
    FilesystemSample, HostInfo, HostSample, InterfaceSample, MAX_INTERFACES, MAX_PROCESSES,
};

const NOW_US: i64 = 1_795_000_000_000_000;

fn snapshot() -> Snapshot {
    Snapshot {
        format: FORMAT,
        agent_version: "0.1.0".to_owned(),
        os_host_name: "db.example.com".to_owned(),
        boot_id: "b".to_owned(),
        run_id: "r".to_owned(),
        sequence: 7,
        captured_at_us: NOW_US,
        interval_ms: 10_000,
        host: HostSample { cpu_percent: Some(12.5), ..HostSample::default() },
        host_info: HostInfo { os: Some("Debian".to_owned()), ..HostInfo::default() },
        filesystems: vec![FilesystemSample {
            mount: "/".to_owned(),
            total_bytes: Some(10),
            ..Default::default()
        }],
        interfaces: vec![InterfaceSample {
            name: "eth0".to_owned(),
            received_bytes: Some(1),
            ..Default::default()
        }],
        processes: vec![
            Process { pid: 1, name: "init".to_owned(), state: 'S', ..Process::default() },
            Process {
                pid: 2,
                parent_pid: Some(1),
                name: "<img src=x onerror=alert(1)>".to_owned(),
                command_line: Some("a b".to_owned()),
                state: 'R',
                cpu_percent: Some(99.9),
                ..Process::default()
            },
        ],
        ..Snapshot::default()
    }
}

fn decode(message: &[u8]) -> Result<Snapshot, BadSnapshot> {
    Decoder::new().unwrap().decode(message, NOW_US)
}

fn pack(snapshot: &Snapshot) -> Vec<u8> {
    Encoder::new().unwrap().encode(snapshot).unwrap()
}

/// A message with these bytes inside.
fn message_of(value: &impl Serialize) -> Vec<u8> {
    zstd::bulk::compress(&rmp_serde::to_vec_named(value).unwrap(), 1).unwrap()
}

#[test]
fn what_is_packed_is_unpacked_again() {
    assert_eq!(decode(&pack(&snapshot())).unwrap(), snapshot());
    let empty = Snapshot { processes: Vec::new(), ..snapshot() };
    assert_eq!(decode(&pack(&empty)).unwrap(), empty);
}

#[test]
fn fields_and_columns_of_a_later_version_are_skipped_and_missing_ones_are_absent() {
    #[derive(Serialize)]
    struct Later {
        format: u32,
        boot_id: &'static str,
        run_id: &'static str,
        sequence: u64,
        captured_at_us: i64,
        interval_ms: u32,
        gpu: Vec<(u8, &'static str)>,
        processes: LaterColumns,
    }
    #[derive(Serialize)]
    struct LaterColumns {
        pid: Vec<u32>,
        started_at_us: Vec<i64>,
        name: Vec<&'static str>,
        state: &'static str,
        gpu_percent: Vec<f32>,
    }
    let message = message_of(&Later {
        format: FORMAT,
        boot_id: "b",
        run_id: "r",
        sequence: 1,
        captured_at_us: NOW_US,
        interval_ms: 1000,
        gpu: vec![(1, "x")],
        processes: LaterColumns {
            pid: vec![1],
            started_at_us: vec![5],
            name: vec!["a"],
            state: "S",
            gpu_percent: vec![1.0],
        },
    });
    let snapshot = decode(&message).unwrap();
    assert_eq!(snapshot.processes.len(), 1);
    assert_eq!(snapshot.processes[0].cpu_percent, None);
    assert_eq!(snapshot.host, HostSample::default());
}

/// What version 0.1 of the agent sent, and of the ingestor read: sizes that cannot be absent.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct EarlierFilesystem {
    mount: String,
    total_bytes: u64,
    used_bytes: u64,
}

#[test]
fn sizes_of_file_systems_are_read_from_earlier_agents_and_by_earlier_readers() {
    #[derive(Serialize, Deserialize, Default)]
    #[serde(default)]
    struct Earlier {
        format: u32,
        boot_id: String,
        run_id: String,
        sequence: u64,
        captured_at_us: i64,
        interval_ms: u32,
        filesystems: Vec<EarlierFilesystem>,
    }
    let silent = FilesystemSample { mount: "/nas".to_owned(), ..FilesystemSample::default() };
    let mut latest = snapshot();
    latest.filesystems.push(silent.clone());
    let packed = rmp_serde::to_vec_named(&latest).unwrap();
    let mut read: Earlier = rmp_serde::from_slice(&packed).unwrap();
    let sizes = |earlier: &Earlier| earlier.filesystems.iter().map(|it| it.total_bytes).collect::<Vec<_>>();
    assert_eq!(sizes(&read), [10, 0], "it knows no absent size");
    read.filesystems[1].total_bytes = 7;
    let filesystems = decode(&message_of(&read)).unwrap().filesystems;
    let totals: Vec<_> = filesystems.iter().map(|it| (it.total_bytes, it.used_bytes)).collect();
    assert_eq!(totals, [(Some(10), Some(0)), (Some(7), Some(0))]);
}

#[test]
fn every_kind_of_broken_message_has_its_refusal() {
    let with = |change: fn(&mut Snapshot)| {
        let mut changed = snapshot();
        change(&mut changed);
        pack(&changed)
    };
    let packed = rmp_serde::to_vec_named(&snapshot()).unwrap();
    let mut deep = vec![0x81, 0xa3];
    deep.extend(b"new");
    deep.extend(vec![0x91; 500]);
    deep.push(0xc0);
    let mut bad_utf8 = packed.clone();
    let position = bad_utf8.windows(4).position(|bytes| bytes == b"init").unwrap();
    bad_utf8[position] = 0xff;
    let compress = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).unwrap();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", Vec::new(), "not_a_snapshot"),
        ("not zstd", b"hello, broker".to_vec(), "not_zstd"),
        ("half a message", pack(&snapshot())[..40].to_vec(), "not_zstd"),
        ("too long", vec![0; MAX_COMPRESSED_BYTES + 1], "too_long"),
        ("a bomb", compress(&vec![0; MAX_DECOMPRESSED_BYTES + 1]), "too_long_inside"),
        ("not MessagePack", compress(&[0xc1; 40]), "not_a_snapshot"),
        ("half the MessagePack", compress(&packed[..packed.len() / 2]), "not_a_snapshot"),
        ("another type", message_of(&vec![1, 2, 3]), "not_a_snapshot"),
        ("too deep", compress(&deep), "too_deep"),
        ("bad UTF-8", compress(&bad_utf8), "not_a_snapshot"),
        (
            "a claimed length of 4 G",
            compress(&[
                0x81, 0xab, b'f', b'i', b'l', b'e', b's', b'y', b's', b't', b'e', b'm', b's', 0xdd, 0xff,
                0xff, 0xff, 0xff,
            ]),
            "too_many",
        ),
        ("a later format", with(|s| s.format = 2), "unknown_format"),
        ("no boot id", with(|s| s.boot_id.clear()), "bad_identifier"),
        ("the year 9999", with(|s| s.captured_at_us = 253_370_764_800_000_000), "bad_time"),
        ("the year 1970", with(|s| s.captured_at_us = 5), "bad_time"),
        ("a process of the year 9999", with(|s| s.processes[0].started_at_us = i64::MAX), "bad_time"),
        ("not a number", with(|s| s.host.load_1 = Some(f32::NAN)), "bad_number"),
        ("below zero", with(|s| s.processes[1].cpu_percent = Some(-1.0)), "bad_number"),
        ("a counter past the end", with(|s| s.processes[1].read_bytes = Some(u64::MAX)), "bad_number"),
        ("no interval", with(|s| s.interval_ms = 0), "bad_number"),
        ("a pid twice", with(|s| s.processes[1].pid = 1), "pid_twice"),
        ("a long name", with(|s| s.processes[1].name = "x".repeat(MAX_STRING_BYTES + 1)), "string_too_long"),
        (
            "too many processes",
            with(|s| s.processes = vec![Process { state: 'S', ..Process::default() }; MAX_PROCESSES + 1]),
            "too_many",
        ),
    ];
    for (what, message, reason) in cases {
        let refusal = decode(&message).expect_err(what);
        assert_eq!(refusal.reason(), reason, "{what}: {refusal}");
        assert!(BadSnapshot::REASONS.contains(&refusal.reason()));
    }
}

#[test]
fn file_systems_and_interfaces_that_cannot_be_right_are_refused() {
    let with = |change: fn(&mut Snapshot)| {
        let mut changed = snapshot();
        change(&mut changed);
        pack(&changed)
    };
    let cases = [
        ("a size past the end", with(|s| s.filesystems[0].used_bytes = Some(u64::MAX)), "bad_number"),
        (
            "a mount silent since the year 9999",
            with(|s| s.filesystems[0].unanswered_since_us = Some(253_370_764_800_000_000)),
            "bad_time",
        ),
        (
            "a long interface name",
            with(|s| s.interfaces[0].name = "x".repeat(MAX_STRING_BYTES + 1)),
            "string_too_long",
        ),
        (
            "too many interfaces",
            with(|s| s.interfaces = vec![InterfaceSample::default(); MAX_INTERFACES + 1]),
            "too_many",
        ),
    ];
    for (what, message, reason) in cases {
        assert_eq!(decode(&message).expect_err(what).reason(), reason, "{what}");
    }
}

#[test]
fn columns_of_different_length_are_refused() {
    #[derive(Serialize)]
    struct Columns {
        pid: Vec<u32>,
        started_at_us: Vec<i64>,
        name: Vec<&'static str>,
        state: &'static str,
    }
    #[derive(Serialize)]
    struct Outer {
        processes: Columns,
    }
    let message = message_of(&Outer {
        processes: Columns { pid: vec![1, 2], started_at_us: vec![1], name: vec!["a", "b"], state: "SS" },
    });
    assert_eq!(decode(&message).unwrap_err().reason(), "not_a_snapshot");
}

#[test]
fn what_a_flipped_bit_leaves_is_refused_or_a_snapshot_and_every_cut_is_refused() {
    let packed = rmp_serde::to_vec_named(&snapshot()).unwrap();
    let (mut decoder, mut encoder) = (Decoder::new().unwrap(), Encoder::new().unwrap());
    let (mut refused, mut taken) = (0, 0);
    for bit in 0..packed.len() * 8 {
        let mut flipped = packed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match decoder.decode(&zstd::bulk::compress(&flipped, 1).unwrap(), NOW_US) {
            Err(refusal) => {
                assert!(BadSnapshot::REASONS.contains(&refusal.reason()), "bit {bit}: {refusal}");
                refused += 1;
            }
            // Another value than the sent one, which cannot be detected: it must be one that could have been sent.
            Ok(other) => {
                let again = encoder.encode(&other).unwrap();
                assert_eq!(decoder.decode(&again, NOW_US).unwrap(), other, "bit {bit}");
                taken += 1;
            }
        }
    }
    assert!(refused > 1000 && taken > 1000, "{refused} were refused, {taken} taken");
    for length in 0..packed.len() {
        let cut = decoder.decode(&zstd::bulk::compress(&packed[..length], 1).unwrap(), NOW_US);
        assert!(cut.is_err(), "cut off at {length} of {}", packed.len());
    }
}
