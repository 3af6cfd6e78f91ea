//! Each part's own key, made at the first start and kept readable by its owner only.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use nkeys::KeyPair;

use super::ServerError;

/// Who connects to the managed server.
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
    /// Answers authentication.
    Auth,
    /// Looks after the server itself.
    System,
}

impl Part {
    const ALL: [Self; 6] =
        [Self::Ingestor, Self::Api, Self::Agent, Self::Simulator, Self::Auth, Self::System];

    fn file_name(self) -> &'static str {
        match self {
            Self::Ingestor => "ingestor.nk",
            Self::Api => "api.nk",
            Self::Agent => "agent.nk",
            Self::Simulator => "simulator.nk",
            Self::Auth => "auth.nk",
            Self::System => "system.nk",
        }
    }
}

/// The folder with the keys.
#[derive(Debug)]
pub(super) struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// Makes the folder and the keys that are missing.
    pub(super) fn load_or_make(folder: &Path) -> Result<Self, ServerError> {
        make_private_folder(folder)?;
        let keys = Self::in_folder(folder);
        for part in Part::ALL {
            let file = keys.file(part);
            if !file.exists() {
                make_private_key(&file)?;
            }
        }
        Ok(keys)
    }

    /// The keys that are in the folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The file with the seed of `part`.
    pub(super) fn file(&self, part: Part) -> PathBuf {
        self.folder.join(part.file_name())
    }

    /// The public key of `part`.
    pub(super) fn public(&self, part: Part) -> Result<String, ServerError> {
        let path = self.file(part);
        let seed = fs::read_to_string(&path).map_err(ServerError::file(&path))?;
        let pair = KeyPair::from_seed(seed.trim()).map_err(bad_key(&path))?;
        Ok(pair.public_key())
    }
}

/// Makes a key in `file`, which must not exist, readable by its owner only; returns the public half.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn make_key(file: &Path) -> Result<String, ServerError> {
    make_private_key(file).map(|pair| pair.public_key())
}

fn bad_key(file: &Path) -> impl FnOnce(nkeys::error::Error) -> ServerError {
    let path = file.to_owned();
    move |error| ServerError::Key { path, problem: error.to_string() }
}

fn make_private_key(file: &Path) -> Result<KeyPair, ServerError> {
    let pair = KeyPair::new_user();
    let seed = pair.seed().map_err(bad_key(file))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut opened = options.open(file).map_err(ServerError::file(file))?;
    writeln!(opened, "{seed}").map_err(ServerError::file(file))?;
    Ok(pair)
}

/// Makes `folder` for its owner only.
pub(super) fn make_private_folder(folder: &Path) -> Result<(), ServerError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(ServerError::file(folder))
}
