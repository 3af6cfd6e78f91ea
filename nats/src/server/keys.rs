//! Each part's own key, made at the first start and kept readable by its owner only.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use nkeys::KeyPair;

use super::ServerError;
use crate::{admission::CONTROL_KEY, key};

/// A part that connects to the managed server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Stores the stream.
    Ingestor,
    /// Serves pages and JSON.
    Api,
    /// This host's agent.
    Agent,
    /// The simulated fleet.
    Simulator,
    /// Answers the broker's questions about connections.
    Auth,
    /// Signs those answers; it does not connect.
    Issuer,
    /// Looks after the server itself.
    System,
    /// Signs what is asked of agents; it is of a type that the broker lets in nowhere.
    Control,
}

impl Part {
    pub(super) const ALL: [Self; 8] = [
        Self::Ingestor,
        Self::Api,
        Self::Agent,
        Self::Simulator,
        Self::Auth,
        Self::Issuer,
        Self::System,
        Self::Control,
    ];

    fn file_name(self) -> &'static str {
        match self {
            Self::Ingestor => "ingestor.nk",
            Self::Api => "api.nk",
            Self::Agent => "agent.nk",
            Self::Simulator => "simulator.nk",
            Self::Auth => "auth.nk",
            Self::Issuer => "issuer.nk",
            Self::System => "system.nk",
            Self::Control => CONTROL_KEY,
        }
    }

    fn new_key(self) -> KeyPair {
        match self {
            Self::Issuer => KeyPair::new_account(),
            Self::Control => KeyPair::new_operator(),
            _ => KeyPair::new_user(),
        }
    }
}

/// The folder with the keys.
#[derive(Debug)]
pub(super) struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// Makes the folder and those keys of `parts` that are missing.
    pub(super) fn load_or_make(folder: &Path, parts: &[Part]) -> Result<Self, ServerError> {
        make_private_folder(folder)?;
        let keys = Self::in_folder(folder);
        for part in parts {
            let file = keys.file(*part);
            // A link that leads nowhere, or what this user may not look at, is no missing key.
            if file.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                key::write(&part.new_key(), &file)?;
            }
        }
        Ok(keys)
    }

    /// The keys that are in the folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file with the seed of `part`.
    pub(super) fn file(&self, part: Part) -> PathBuf {
        self.folder.join(part.file_name())
    }

    /// The public key of `part`.
    pub(super) fn public(&self, part: Part) -> Result<String, ServerError> {
        Ok(key::read(&self.file(part))?.public_key())
    }
}

/// Makes `folder` for its owner only.
pub(super) fn make_private_folder(folder: &Path) -> Result<(), ServerError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(ServerError::file(folder))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_missing_key_is_never_replaced_by_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(Part::Api.file_name());
        for make in [&(|path: &Path| fs::write(path, "").unwrap()) as &dyn Fn(&Path), &|path: &Path| {
            std::os::unix::fs::symlink("/no/such/key", path).unwrap()
        }] {
            make(&file);
            let keys = Keys::load_or_make(folder.path(), &Part::ALL).unwrap();
            assert!(keys.public(Part::Api).is_err() && keys.public(Part::Ingestor).is_ok());
            fs::remove_file(&file).unwrap();
        }
        let keys = Keys::load_or_make(folder.path(), &Part::ALL).unwrap();
        assert!(keys.public(Part::Api).is_ok());
    }
}
