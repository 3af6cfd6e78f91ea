//! The settings file, as far as the helper believes it: the host's name, the control key and `[control]`.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use fleetps_nats::{HostName, settings::SettingsError};

use crate::{own_name::machine_name, policy::Policy, settings::AgentFile};

/// Others than the owner may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// In a folder with this bit, nobody replaces the files of others.
const STICKY: u32 = 0o1000;

/// The file.
#[derive(Debug, Clone)]
pub struct RulesFile(PathBuf);

/// What the file says.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// The host that commands must be signed for.
    pub host: HostName,
    /// The public half of the control key; absent where the host pinned none.
    pub pinned: Option<String>,
    /// What is allowed.
    pub policy: Policy,
    /// How many of the last lines that a unit wrote are told.
    pub output_lines: usize,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// It cannot be looked at.
    #[error("cannot look at {path}")]
    Look {
        /// The file, or its folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Others could write what they like into it.
    #[error(
        "{path} decides what the fleet may do here, and others than root can change it; as root: chown root {path} && \
         chmod go-w {path}"
    )]
    Unsafe {
        /// The file, or its folder.
        path: PathBuf,
    },
    /// It cannot be read, or a value in it is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl RulesFile {
    /// The settings file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads what it says now. Flags and variables count for nothing.
    ///
    /// # Errors
    /// When it cannot be read, a value in it is wrong, or others than its owner, root or this user, can write it.
    pub(super) fn read(&self) -> Result<Rules, RulesError> {
        check(&self.0)?;
        let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty());
        check(folder.unwrap_or(Path::new(".")))?;
        let file = AgentFile::read(Some(&self.0))?;
        Ok(Rules {
            host: file.host.unwrap_or_else(machine_name),
            pinned: file.remote.control_key,
            policy: file.commands.policy(),
            output_lines: file.commands.output_lines,
        })
    }
}

fn check(path: &Path) -> Result<(), RulesError> {
    let found = fs::metadata(path).map_err(|source| RulesError::Look { path: path.to_owned(), source })?;
    is_safe(&found).then_some(()).ok_or_else(|| RulesError::Unsafe { path: path.to_owned() })
}

/// Whether only root and this user can change it.
fn is_safe(found: &Metadata) -> bool {
    let is_ours = found.uid() == 0 || found.uid() == rustix::process::geteuid().as_raw();
    let is_shared = found.is_dir() && found.mode() & STICKY != 0;
    is_ours && (found.mode() & WRITABLE_BY_OTHERS == 0 || is_shared)
}
