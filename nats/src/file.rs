//! Small files: settings, keys, state kept between two starts.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

/// The largest file that is read: far more than any settings or key.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the text in `path`, of at most 1 MiB. Anything but a regular file is refused: reading a pipe would wait, and a
/// device never ends.
///
/// # Errors
/// When it cannot be read, is no file, is larger, or is no UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read(path)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// Reads the bytes in `path`, in the same way.
///
/// # Errors
/// When it cannot be read, is no file, or is larger than 1 MiB.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is a folder, pipe, socket or device, and should be a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}

/// Writes `text` to the file at `path`, so that there is the whole of the old or the whole of the new at any time. A file
/// that holds it already is left alone, which takes no room. One that is replaced keeps its permissions.
///
/// # Errors
/// When it cannot be written; the earlier content then stays.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    if read(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let permissions = fs::metadata(path).map(|there| there.permissions());
    // A new file: something else with that name, such as a pipe, would be waited for.
    let _ = fs::remove_file(&beside);
    let written = File::create_new(&beside).and_then(|mut file| {
        file.write_all(text)?;
        permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions))?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_one_that_is_the_same_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"one").unwrap();
        let made = fs::metadata(&path).unwrap().modified().unwrap();
        replace(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), made);
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        replace(&folder.path().join("none/file"), b"x").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_small_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "text").unwrap();
        assert_eq!(read_text(&path).unwrap(), "text");
        fs::write(&path, [0xff]).unwrap();
        assert!(read_text(&path).is_err());
        fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        assert!(read_text(&path).is_ok());
        fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("1 MiB"));
        assert!(read_text(folder.path()).unwrap_err().to_string().contains("should be a file"));
        assert_eq!(read_text(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(read_text(&path).unwrap_err().to_string().contains("should be a file"));
    }
}
