//! Follows the log that the managed broker writes, through its rotation and restarts of the broker.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// The most that is read at once: a second of a broker's complaints.
const MAX_READ_BYTES: u64 = 4 << 20;
/// The longest meaningful line: a subject of 4 KiB, each byte escaped. Longer lines are skipped.
const MAX_LINE_BYTES: usize = 64 << 10;

/// A log file, from some place on.
#[derive(Debug)]
pub(crate) struct BrokerLog {
    path: PathBuf,
    file: Option<File>,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
}

impl BrokerLog {
    /// Follows the log from its present end on: an earlier run has read the lines before.
    pub(crate) fn from_its_end(path: &Path) -> Self {
        let file = File::open(path).ok().filter(|mut file| file.seek(SeekFrom::End(0)).is_ok());
        Self { path: path.to_owned(), file, begun: Vec::new() }
    }

    /// The lines finished since the last call. Bytes that are not Unicode are replaced.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn lines(&mut self) -> io::Result<Vec<String>> {
        // Looked at first: when it is another file by now, nothing more comes to the one that is open.
        let is_rotated = self.is_rotated();
        let Some(file) = &mut self.file else {
            self.file = File::open(&self.path).ok();
            return Ok(Vec::new());
        };
        let read = file.take(MAX_READ_BYTES).read_to_end(&mut self.begun)?;
        if is_rotated && read == 0 {
            self.begun.clear();
            self.file = None;
            return Ok(Vec::new());
        }
        Ok(self.finished())
    }

    fn finished(&mut self) -> Vec<String> {
        let end = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        let lines = self.begun[..end].split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty() && line.len() <= MAX_LINE_BYTES);
        let lines = lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        self.begun.drain(..end);
        if self.begun.len() > MAX_LINE_BYTES {
            // Its end is read as a line of its own, which means nothing.
            self.begun.clear();
        }
        lines
    }

    /// Whether the path names another file than the one that is open.
    fn is_rotated(&self) -> bool {
        let open = self.file.as_ref().and_then(|file| file.metadata().ok());
        let named = fs::metadata(&self.path).ok();
        open.zip(named).is_some_and(|(open, named)| is_another(&open, &named))
    }
}

#[cfg(unix)]
fn is_another(open: &fs::Metadata, named: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (open.dev(), open.ino()) != (named.dev(), named.ino())
}

/// Other systems have no file number to compare; a new log is shorter.
#[cfg(not(unix))]
fn is_another(open: &fs::Metadata, named: &fs::Metadata) -> bool {
    named.len() < open.len()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn append(path: &Path, text: &[u8]) {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        file.write_all(text).unwrap();
    }

    /// All lines that there are now.
    fn all(log: &mut BrokerLog) -> Vec<String> {
        (0..4).flat_map(|_| log.lines().unwrap()).collect()
    }

    #[test]
    fn lines_come_once_each_when_they_are_whole_and_across_rotations() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        append(&path, b"earlier\n");
        let mut log = BrokerLog::from_its_end(&path);
        assert_eq!(all(&mut log), Vec::<String>::new());
        append(&path, b"a\nhal");
        assert_eq!(all(&mut log), ["a"]);
        append(&path, b"f\n");
        assert_eq!(all(&mut log), ["half"]);
        append(&path, b"last of the old\n");
        fs::rename(&path, folder.path().join("log.1")).unwrap();
        append(&path, b"first of the new\n");
        assert_eq!(all(&mut log), ["last of the old", "first of the new"]);
        fs::remove_file(&path).unwrap();
        assert_eq!(all(&mut log), Vec::<String>::new());
        append(&path, b"after all\n");
        assert_eq!(all(&mut log), ["after all"]);
    }

    #[test]
    fn a_log_that_is_not_there_yet_is_read_from_its_beginning_and_an_endless_line_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = BrokerLog::from_its_end(&path);
        append(&path, b"first\n");
        assert_eq!(all(&mut log), ["first"]);
        for _ in 0..10 {
            append(&path, &vec![b'x'; MAX_LINE_BYTES]);
            all(&mut log);
            assert!(log.begun.len() <= 2 * MAX_LINE_BYTES);
        }
        append(&path, b"\xff\n\nnext\n");
        assert_eq!(all(&mut log).last().unwrap(), "next");
    }
}
