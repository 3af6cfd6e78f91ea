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
    /// The file beside the key cannot be written, or the new key cannot be put in its place.
    #[error("cannot write {path}")]
    Write {
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
            |source| RotationError::Write { path, source }
        };
        match fs::remove_file(&next) {
            // A rotation that was killed has left it; nobody uses it.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&next)(error)),
            _ => {}
        }
        let newer = KeyPair::new_operator();
        key::write(&newer, &next)?;
        let mut successions = read_successions(path);
        let own = older.public_key();
        // What such a rotation said of this key leads nowhere.
        successions.retain(|known| known.older() != own);
        successions.push(Succession::sign(&older, &newer.public_key())?);
        let first = successions.len().saturating_sub(MAX_SUCCESSIONS);
        let beside = beside(path);
        let text = serde_json::to_vec_pretty(&successions[first..]).unwrap_or_default();
        file::replace(&beside, &text).map_err(failed(&beside))?;
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

fn read_successions(path: &Path) -> Vec<Succession> {
    let beside = beside(path);
    let read = match file::read(&beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        read => read,
    };
    let parsed = read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from));
    parsed.unwrap_or_else(|error| {
        let path = beside.display();
        tracing::error!(%path, %error, "cannot read how the control key follows older ones: hosts that trust one of these do nothing that is asked");
        Vec::new()
    })
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
        assert!(!ControlKey::read(&path).unwrap().has_followed());
    }
}
