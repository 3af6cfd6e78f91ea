//! Which DuckDB is linked, and what its ready-made libraries must hash to. This is the only place that says so.
//!
//! To move to another version: change [`VERSION`], the crates `duckdb` and `libduckdb-sys` in `Cargo.toml`, and every
//! checksum here (`python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 --platform … duckdb==…`,
//! then `sha256sum`; for the archives, `sha256sum` of what the release page offers).

/// DuckDB's version. `duckdb` and `libduckdb-sys` 1.20000.x are the bindings of 2.0.0 and work with any 2.0.
pub const VERSION: &str = "2.0.0";

/// What is known of the ready-made library for one kind of machine.
pub struct Pin {
    /// The target triple, as rustc has it.
    pub target: &'static str,
    /// The archive of the release.
    pub archive: Archive,
    /// The wheel on PyPI whose extension module exports DuckDB's whole C interface. Only ELF modules can be linked: on
    /// macOS it is a bundle, which the linker refuses, and on Windows it needs Python's own DLL.
    pub wheel: Option<Wheel>,
}

/// `duckdb-shared-libs-NAME.tar.gz` of the release.
pub struct Archive {
    /// The part of its name that differs.
    pub name: &'static str,
    /// SHA-256 in hex. `None` until somebody who reaches the release page fills it in: it was not to be had where this
    /// was written, and an archive without a checksum is never used.
    pub sha256: Option<&'static str>,
}

/// The wheel `duckdb` of [`VERSION`] for CPython 3.12 and later; no Python is needed to run what it holds.
pub struct Wheel {
    /// pip's name of the platform.
    pub platform: &'static str,
    /// SHA-256 in hex.
    pub sha256: &'static str,
}

/// Only the first was tried on a machine of its kind. The second was fetched, unpacked and linked against, not run.
/// The others are as the bindings' own build script names them, and were never tried.
pub const PINS: &[Pin] = &[
    Pin {
        target: "x86_64-unknown-linux-gnu",
        archive: Archive { name: "linux-amd64", sha256: None },
        wheel: Some(Wheel {
            platform: "manylinux_2_28_x86_64",
            sha256: "ab51ec57d329d6f3df37c0287b55d71c3fc07bb54b61d1afed09104f953b1431",
        }),
    },
    Pin {
        target: "aarch64-unknown-linux-gnu",
        archive: Archive { name: "linux-arm64", sha256: None },
        wheel: Some(Wheel {
            platform: "manylinux_2_28_aarch64",
            sha256: "e38daf0acbad9de7ce892d402b68409519291ee16af3c2cba85ace3b085c7eaa",
        }),
    },
    Pin {
        target: "x86_64-apple-darwin",
        archive: Archive { name: "osx-universal", sha256: None },
        wheel: None,
    },
    Pin {
        target: "aarch64-apple-darwin",
        archive: Archive { name: "osx-universal", sha256: None },
        wheel: None,
    },
    Pin {
        target: "x86_64-pc-windows-msvc",
        archive: Archive { name: "windows-amd64", sha256: None },
        wheel: None,
    },
    Pin {
        target: "aarch64-pc-windows-msvc",
        archive: Archive { name: "windows-arm64", sha256: None },
        wheel: None,
    },
];

/// What is known for a target.
pub fn of(target: &str) -> Option<&'static Pin> {
    PINS.iter().find(|pin| pin.target == target)
}

/// Where DuckDB's releases are.
pub const RELEASES: &str = "https://github.com/duckdb/duckdb/releases/download";

/// Where one of the `releases` has an archive.
pub fn archive_url(releases: &str, archive: &Archive) -> String {
    format!("{releases}/v{VERSION}/duckdb-shared-libs-{}.tar.gz", archive.name)
}
