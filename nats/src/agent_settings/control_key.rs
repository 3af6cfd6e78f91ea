//! The private half of the fleet's control key, as it lies in its file, and how another one takes its place.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use nkeys::KeyPair;

use super::{
    frame::{Kind, SignedFrame},
    succession::{MAX_SUCCESSIONS, Succession},
};
use crate::{HostName, file, key, key::KeyError};

/// The control key, and how it follows older ones; a clone is the same.
#[derive(Clone)]
pub struct ControlKey {
    pair: Arc<KeyPair>,
    successions: Arc<[Succession]>,
}

impl fmt::Debug for ControlKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ControlKey").field(&self.public()).finish()
    }
}

impl From<KeyPair> for ControlKey {
    fn from(pair: KeyPair) -> Self {
        Self { pair: Arc::new(pair), successions: Arc::new([]) }
    }
}

/// Another key cannot take the place of the one in a file.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The key that is there cannot be read, or the new one cannot be written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file beside the key cannot be read or written, or the new key cannot be put in its place.
    #[error("cannot read or write {path}; nothing is signed with another key")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The key has no private half.
    #[error("the key cannot sign")]
    Sign(#[from] nkeys::error::Error),
}

impl ControlKey {
    /// Reads the key in `path`, and the file of successions beside it where there is one.
    ///
    /// # Errors
    /// When the key cannot be read. Successions that cannot be read are none, which the log says: hosts that trust an older
    /// key then do nothing that is asked.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let pair = key::read(path)?;
        Ok(Self { pair: Arc::new(pair), successions: read_successions(path).into() })
    }

    /// Makes a new key in the place of the one in `path`, which signs that the new one follows it. The old private half is
    /// gone afterwards. Servers use the new one when they are started again.
    ///
    /// # Errors
    /// When a file cannot be read or written; the old key is in place then.
    pub fn rotate(path: &Path) -> Result<Self, RotationError> {
        let older = key::read(path)?;
        let next = path.with_added_extension("next");
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| RotationError::File { path, source }
        };
        match fs::remove_file(&next) {
            // A rotation that was killed has left it; nobody uses it.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&next)(error)),
            _ => {}
        }
        let beside = beside(path);
        // What cannot be read would be written over, and with it what hosts know older keys by.
        let mut successions = successions(path).map_err(failed(&beside))?;
        let newer = KeyPair::new_operator();
        key::write(&newer, &next)?;
        let own = older.public_key();
        // What such a rotation said of this key leads nowhere.
        successions.retain(|known| known.older() != own);
        successions.push(Succession::sign(&older, &newer.public_key())?);
        let first = successions.len().saturating_sub(MAX_SUCCESSIONS);
        let text = serde_json::to_vec_pretty(&successions[first..]).unwrap_or_default();
        file::replace(&beside, &text).map_err(failed(&beside))?;
        // Root may do this for the user that the servers run as.
        give_to_owner_of(path, &[next.as_path(), beside.as_path()]).map_err(failed(path))?;
        fs::rename(&next, path).map_err(failed(path))?;
        Ok(Self::read(path)?)
    }

    /// The public half.
    pub fn public(&self) -> String {
        self.pair.public_key()
    }

    /// Whether it has followed another one, so that hosts may still trust an older key.
    pub fn has_followed(&self) -> bool {
        !self.successions.is_empty()
    }

    /// Signs `body` for `host`, as [`SignedFrame::sign`] does, for hosts that trust this key or an older one.
    ///
    /// # Errors
    /// When the key has no private half.
    pub fn sign(
        &self,
        kind: Kind,
        host: &HostName,
        after: i64,
        body: String,
    ) -> Result<SignedFrame, nkeys::error::Error> {
        let frame = SignedFrame::sign(kind, host, after, body, &self.pair)?;
        Ok(frame.with_successions(&self.successions))
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("successions.json")
}

/// The successions beside the key in `path`; none where there is no such file.
fn successions(path: &Path) -> io::Result<Vec<Succession>> {
    match file::read(&beside(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => Ok(serde_json::from_slice(&read?)?),
    }
}

fn read_successions(path: &Path) -> Vec<Succession> {
    successions(path).unwrap_or_else(|error| {
        let path = beside(path);
        let path = path.display();
        tracing::error!(%path, %error, "cannot read how the control key follows older ones: hosts that trust one of these do nothing that is asked");
        Vec::new()
    })
}

#[cfg(unix)]
fn give_to_owner_of(path: &Path, files: &[&Path]) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let owner = fs::metadata(path)?;
    files.iter().try_for_each(|file| chown(file, Some(owner.uid()), Some(owner.gid())))
}

#[cfg(not(unix))]
fn give_to_owner_of(_: &Path, _: &[&Path]) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_trusts_an_older_key_believes_what_the_newest_signed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.nk");
        let first = key::write(&KeyPair::new_operator(), &path).unwrap();
        let host: HostName = "web-01".parse().unwrap();
        let mut trusted = vec![first];
        for _ in 0..3 {
            let before = ControlKey::read(&path).unwrap();
            let rotated = ControlKey::rotate(&path).unwrap();
            assert!(rotated.has_followed() && rotated.public() != before.public());
            trusted.push(rotated.public());
            let newest = ControlKey::read(&path).unwrap();
            let frame = newest.sign(Kind::Settings, &host, 0, "{}".to_owned()).unwrap();
            let frame = SignedFrame::read(&frame.to_bytes()).unwrap();
            for trusted in &trusted {
                assert_eq!(frame.open(Kind::Settings, &host, trusted), Ok("{}"), "{trusted}");
            }
            let old = before.sign(Kind::Settings, &host, 0, "{}".to_owned()).unwrap();
            assert!(old.open(Kind::Settings, &host, &newest.public()).is_err());
        }
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "the private half of an older key is kept");
    }

    #[test]
    fn a_rotation_that_was_killed_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.nk");
        let pair = KeyPair::new_operator();
        let first = key::write(&pair, &path).unwrap();
        // As after a kill between the two writes.
        key::write(&KeyPair::new_operator(), &path.with_added_extension("next")).unwrap();
        let lost = Succession::sign(&pair, &KeyPair::new_operator().public_key()).unwrap();
        fs::write(beside(&path), serde_json::to_vec(&[lost]).unwrap()).unwrap();
        let host: HostName = "web-01".parse().unwrap();
        let unchanged = ControlKey::read(&path).unwrap().sign(Kind::Watch, &host, 0, String::new()).unwrap();
        assert_eq!(unchanged.open(Kind::Watch, &host, &first), Ok(""));
        let newest = ControlKey::rotate(&path).unwrap().sign(Kind::Watch, &host, 0, String::new()).unwrap();
        assert_eq!(newest.open(Kind::Watch, &host, &first), Ok(""));
        fs::write(beside(&path), "[{").unwrap();
        let before = ControlKey::read(&path).unwrap();
        assert!(!before.has_followed());
        assert!(matches!(ControlKey::rotate(&path), Err(RotationError::File { .. })));
        assert_eq!(
            fs::read_to_string(beside(&path)).unwrap(),
            "[{",
            "what cannot be read is not written over"
        );
        assert_eq!(ControlKey::read(&path).unwrap().public(), before.public());
    }
}
