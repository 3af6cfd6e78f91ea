//! How commands on the server's own machine reach it: its address, and a token that holds until it stops, in a file of the
//! data folder that its owner alone can read.
//!
//! A reader of that file can read the keys of the broker beside it, so it opens nothing that was closed. The address
//! stands with the token, so that the token is never sent to another program on another port.

use std::{fs, io::Write, path::Path};

use fleetps_nats::file;
use serde::{Deserialize, Serialize};

use super::{Secret, tokens};

/// The file in the data folder.
const FILE: &str = "web.json";

/// A server on this machine.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Local {
    /// Its address, as in `http://127.0.0.1:8080`.
    pub server: String,
    /// A token for it; absent where sign-in is off.
    pub token: Option<String>,
}

impl Local {
    /// The server at this address, with the token that holds until it stops.
    pub(crate) fn new(server: String, secret: Option<&Secret>) -> Self {
        Self { server, token: secret.map(tokens::text) }
    }

    /// Writes it into the data folder, in place of the last one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, data: &Path) -> std::io::Result<()> {
        let file = data.join(FILE);
        let new = data.join(format!("{FILE}.new"));
        let _ = fs::remove_file(&new);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&new)?.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(new, file)
    }

    /// The server that was started last on this data folder; `None` when there was none, or the file is another user's.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        serde_json::from_slice(&file::read(&data.join(FILE)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_back_and_nobody_else_can_read_it() {
        let data = tempfile::tempdir().unwrap();
        assert!(Local::read(data.path()).is_none());
        let secret = Secret::new().unwrap();
        for server in ["http://127.0.0.1:1", "http://127.0.0.1:2"] {
            Local::new(server.to_owned(), Some(&secret)).write(data.path()).unwrap();
        }
        let read = Local::read(data.path()).unwrap();
        assert_eq!(read.server, "http://127.0.0.1:2");
        assert_eq!(read.token.and_then(|text| tokens::read(&text)), Some(secret));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(data.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
