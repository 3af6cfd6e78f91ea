//! The fields of a mounted file system.

use serde::{Deserialize, Serialize};

use super::{Field, Unit, record::record};

record! {
    /// One mounted file system: a device, with the first of the places where it is mounted.
    ///
    /// Sizes are what `df` says. A file system that does not answer has none of them.
    #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
    #[serde(default)]
    FilesystemSample, FILESYSTEM {
        /// Where it is mounted: the shortest path, as in `df`.
        mount: String => Field::text();
        /// The mounted device or server, as in "/dev/sda1" or "nas:/export".
        device: Option<String> => Field::text();
        /// Kind, as in "ext4".
        kind: Option<String> => Field::text();
        /// Size. Readers before schema version 7 take it for zero where it is absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        total_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT");
        /// Bytes in use: size less free blocks, as in `df`. Blocks that are reserved for root are neither used nor available.
        /// Agents before schema version 7 sent size less available bytes.
        #[serde(skip_serializing_if = "Option::is_none")]
        used_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT");
        /// Bytes that programs without privileges can still write.
        #[serde(skip_serializing_if = "Option::is_none")]
        available_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT").since(7);
        /// How many files it can hold; absent where that is not limited, as on btrfs.
        #[serde(skip_serializing_if = "Option::is_none")]
        inodes_total: Option<u64> => Field::level(Unit::Count, "BIGINT").since(7);
        /// How many files it holds.
        #[serde(skip_serializing_if = "Option::is_none")]
        inodes_used: Option<u64> => Field::level(Unit::Count, "BIGINT").since(7);
        /// The other places where the same device is mounted, a line each, up to 4 KiB. A line break in a path is written
        /// `\012`.
        #[serde(skip_serializing_if = "Option::is_none")]
        other_mounts: Option<String> => Field::text().since(7);
        /// How many other places there are.
        #[serde(skip_serializing_if = "Option::is_none")]
        other_mount_count: Option<u32> => Field::level(Unit::Count, "UINTEGER").since(7);
        /// Since when it does not answer, in µs since 1970 UTC by the host's clock: a network mount whose server is gone,
        /// for example. Absent where it answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        unanswered_since_us: Option<i64> => Field::time("unanswered_since").since(7);
        /// When it last answered; only where it does not answer now.
        #[serde(skip_serializing_if = "Option::is_none")]
        answered_at_us: Option<i64> => Field::time("answered_at").since(7);
        /// Its size in its last answer; only where it does not answer now.
        #[serde(skip_serializing_if = "Option::is_none")]
        last_total_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT").since(7);
        /// Bytes in use in its last answer; only where it does not answer now.
        #[serde(skip_serializing_if = "Option::is_none")]
        last_used_bytes: Option<u64> => Field::level(Unit::Bytes, "BIGINT").since(7);
        /// The system's refusal to say its sizes, as in "Transport endpoint is not connected".
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String> => Field::text().since(7);
    }
}

impl FilesystemSample {
    /// The other places where the same device is mounted; perhaps not all ([`Self::other_mount_count`] of them).
    pub fn other_mounts(&self) -> impl Iterator<Item = &str> {
        self.other_mounts.iter().flat_map(|text| text.split('\n'))
    }

    /// The used share of what can be used, from 0 to 1, as `df` computes its percentage: blocks that are reserved for root
    /// are not part of it.
    pub fn used_share(&self) -> Option<f64> {
        let (used, total) = (self.used_bytes?, self.total_bytes?);
        let usable = self.available_bytes.map_or(total, |available| used.saturating_add(available));
        (usable > 0).then(|| (used as f64 / usable as f64).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_used_share_leaves_out_reserved_blocks_and_is_unknown_without_sizes() {
        let sample = |total_bytes, used_bytes, available_bytes| FilesystemSample {
            total_bytes,
            used_bytes,
            available_bytes,
            ..FilesystemSample::default()
        };
        assert_eq!(sample(Some(100), Some(45), Some(45)).used_share(), Some(0.5));
        assert_eq!(sample(Some(100), Some(45), None).used_share(), Some(0.45), "an earlier agent");
        assert_eq!(sample(Some(0), Some(0), Some(0)).used_share(), None);
        assert_eq!(sample(None, None, None).used_share(), None);
    }

    #[test]
    fn other_mounts_are_a_line_each() {
        let sample = FilesystemSample { other_mounts: Some("/a b\n/c".to_owned()), ..Default::default() };
        assert!(sample.other_mounts().eq(["/a b", "/c"]));
        assert_eq!(FilesystemSample::default().other_mounts().count(), 0);
    }
}
