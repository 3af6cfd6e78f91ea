//! Reading what the kernel writes as lines of fields: as bytes, since nothing says that they are UTF-8.

use std::{fs::File, io::Read, path::Path};

/// No file read here comes near it; what does is not what it seems to be.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The whole file; empty where it cannot be read.
pub(super) fn whole_file(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path)
        && file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).is_err()
    {
        bytes.clear();
    }
    bytes
}

/// A small file as a text without the space around it; `None` where it cannot be read or is empty.
pub(super) fn small_text(path: &Path) -> Option<String> {
    let bytes = whole_file(path);
    let text = String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
    (!text.is_empty()).then_some(text)
}

/// The lines.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// What stands between spaces.
pub(super) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// A whole number; `None` where it is anything else.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// As a text, with a mark for what is not UTF-8.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last part of a path that a link points to.
pub(super) fn link_name(path: &Path) -> Option<String> {
    let target = std::fs::read_link(path).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}
